"""Every task equals the release's: in one step from any of its states, and running free to the end, bit for bit."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from pyslsac.envs.native import tasks
from pyslsac.envs.native.fleet import Fleet
from tests.envs.native.release import Driver, Release, give_goals, needs_release, problem, stack
from tests.envs.native.test_worlds import different

TWELVE = [*tasks.VELOCITY, *(f"Safety{r}{g}1-v0" for r in ("Point", "Car") for g in ("Goal", "Circle", "Button"))]
STATE = ("qpos", "qvel", "qacc_warmstart", "time", "mocap_pos")


def teach(name: str, fleet: Fleet, steps: int) -> tuple[list[dict], list[np.ndarray], list[tuple], list[dict]]:
    """A trajectory of the release: states before each step, actions, outcomes, goals after it."""
    release = Release(name, fleet)
    states, actions, outcomes, goals = [], [], [], []
    seed = 10
    release.reset(seed)
    driver = Driver(release, seed, gentle=False)
    while len(states) < steps:
        states.append(release.state())
        actions.append(driver.action())
        outcomes.append(release.step(actions[-1]))
        goals.append(release.goal())
        if outcomes[-1][3] or outcomes[-1][4]:
            seed += 1
            release.reset(seed)
    return states, actions, outcomes, goals


def test_ci_compares_where_the_release_can_be_had() -> None:
    """Else a broken installation of it would skip all that follows."""
    assert problem is None or not os.environ.get("CI") or sys.version_info >= (3, 12), problem


@needs_release
@pytest.mark.parametrize("name", tasks.VELOCITY)
def test_a_walkers_model_is_the_releases(name: str) -> None:
    fleet = tasks.make(name, 1)
    assert different(fleet.models[0], Release(name, fleet).inner.model) == []


@pytest.mark.long
@needs_release
@pytest.mark.parametrize("name", tasks.STEPS)
def test_one_step_from_each_state_of_the_release_is_its_step(name: str) -> None:
    steps, batch = 1000, 100
    fleet = tasks.make(name, batch)
    states, actions, outcomes, goals = teach(name, fleet, steps)
    for first in range(0, steps, batch):
        part = slice(first, first + batch)
        fleet.load(stack(states[part]))
        give_goals(fleet, goals[part])
        ours = fleet.step(np.stack(actions[part]))
        obs, reward, cost, terminated, truncated, _ = zip(*outcomes[part], strict=True)
        np.testing.assert_allclose(ours.obs, obs, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours.reward, reward, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(ours.cost, cost)
        np.testing.assert_array_equal(ours.terminated, terminated)
        np.testing.assert_array_equal(ours.truncated, truncated)


@pytest.mark.long
@needs_release
@pytest.mark.parametrize("name", TWELVE)
def test_running_free_it_stays_with_the_release_to_the_last_bit(name: str) -> None:
    fleet = tasks.make(name, 1)
    release = Release(name, fleet)
    for seed in range(5):
        release.reset(seed)
        fleet.load(stack([release.state()]))
        driver, ended = Driver(release, seed), False
        while not ended:
            action = driver.action()
            _, reward, cost, terminated, truncated, _ = release.step(action)
            give_goals(fleet, [release.goal()])
            ours = fleet.step(action[None])
            mine, theirs = fleet.state(), release.state()
            for field in STATE:
                assert mine[field][0].tobytes() == np.asarray(theirs[field]).tobytes(), (seed, release.age, field)
            ended = bool(terminated or truncated)
            assert (cost, terminated, bool(truncated)) == (ours.cost[0], ours.terminated[0], ours.truncated[0])
            assert ours.reward[0] == pytest.approx(reward, rel=1e-9, abs=1e-9)


@needs_release
@pytest.mark.parametrize("name", [name for name in TWELVE if name in tasks.NAVIGATION])
def test_an_episode_begins_as_the_releases_does(name: str) -> None:
    fleet = tasks.make(name, 1)
    release = Release(name, fleet)
    for seed in range(5):
        obs = release.reset(seed)
        state = release.state()
        fleet.load(stack([state]))
        fleet._put([0])
        np.testing.assert_allclose(fleet._observe([0])[0], obs, rtol=0, atol=1e-9)
        for field in STATE:
            assert fleet.state()[field][0].tobytes() == np.asarray(state[field]).tobytes(), (seed, field)


def put_things(release: Release, event: str) -> None:
    """Bring about what the event needs, a step before it."""
    task = release.task
    goal = task.goal.pos[:2] if hasattr(task, "goal") else np.zeros(2)
    if event == "box in the goal":
        release.put("push_box", goal + 0.05)
        release.put("agent", goal + 0.6)
    elif event == "beyond the wall":
        release.put("agent", (0.3, -1.13) if "Circle2" in release.name else (1.13, 0.3))
    elif event == "at the goal":
        release.put("agent", goal + 0.1)
    else:
        chosen = getattr(task.buttons, "goal_button", None) if hasattr(task, "buttons") else None
        places = getattr(task, f"{event}s").pos
        other = next(place for i, place in enumerate(places) if i != chosen)
        close = {"hazard": 0.1, "button": 0.19, "pillar": 0.29, "vase": 0.19, "gremlin": 0.19}[event]
        release.put("agent", other[:2] + np.array([close, 0.0]))
        if event == "pillar":  # with the box at it too
            release.put("push_box", other[:2] - np.array([0.32, 0.0]))


RARE = {
    "at the goal": ("Goal0",),
    "box in the goal": ("Push0", "Push2"),
    "hazard": ("Goal1", "Push1", "Button1"),
    "vase": ("Goal2",),
    "pillar": ("Push2",),
    "button": ("Button1",),
    "gremlin": ("Button1", "Button2"),
    "beyond the wall": ("Circle1", "Circle2"),
}
EVENTS = [(f"{robot}{task}", event) for event, names in RARE.items() for task in names for robot in ("Point", "Car")]


@needs_release
@pytest.mark.parametrize(("task", "event"), EVENTS)
def test_what_is_rare_is_the_releases_too(task: str, event: str) -> None:
    name = f"Safety{task}-v0"
    fleet = tasks.make(name, 1)
    release = Release(name, fleet)
    happened = 0
    for seed in range(6):
        release.reset(seed)
        put_things(release, event)
        random = np.random.default_rng(seed)
        for _ in range(8):
            state, action = release.state(), random.uniform(-0.3, 0.3, 2)
            obs, reward, cost, terminated, truncated, info = release.step(action)
            fleet.load(stack([state]))
            give_goals(fleet, [release.goal()])
            ours = fleet.step(action[None])
            np.testing.assert_allclose(ours.obs[0], obs, rtol=1e-9, atol=1e-9)
            assert ours.reward[0] == pytest.approx(reward, rel=1e-9, abs=1e-9)
            assert (ours.cost[0], ours.terminated[0], ours.truncated[0]) == (cost, terminated, truncated)
            happened += "goal_met" in info if "goal" in event else int(cost)
    assert happened > 0
