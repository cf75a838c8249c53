"""Every task equals the release's: in one step from any of its states, and running free to the end, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyslsac.envs.native import tasks
from pyslsac.envs.native.fleet import Fleet
from tests.envs.native.release import Driver, Release, give_goals, needs_release, stack
from tests.envs.native.test_worlds import different

TWELVE = [*tasks.VELOCITY, *(f"Safety{r}{g}1-v0" for r in ("Point", "Car") for g in ("Goal", "Circle", "Button"))]
STATE = ("qpos", "qvel", "qacc_warmstart", "time", "mocap_pos")


def teach(name: str, fleet: Fleet, steps: int) -> tuple[list[dict], list[np.ndarray], list[tuple], list[dict]]:
    """A trajectory of the release: states before each step, actions, outcomes, goals after it."""
    release = Release(name, fleet)
    states, actions, outcomes, goals = [], [], [], []
    seed = 10
    release.reset(seed)
    driver = Driver(release, seed)
    while len(states) < steps:
        states.append(release.state())
        actions.append(driver.action())
        outcomes.append(release.step(actions[-1]))
        goals.append(release.goal())
        if outcomes[-1][3] or outcomes[-1][4]:
            seed += 1
            release.reset(seed)
    return states, actions, outcomes, goals


@needs_release
@pytest.mark.parametrize("name", tasks.VELOCITY)
def test_a_walkers_model_is_the_releases(name: str) -> None:
    fleet = tasks.make(name, 1)
    assert different(fleet.models[0], Release(name, fleet).inner.model) == []


@needs_release
@pytest.mark.parametrize("name", tasks.STEPS)
def test_one_step_from_each_state_of_the_release_is_its_step(name: str) -> None:
    steps, batch = 1000, 100
    fleet = tasks.make(name, batch)
    states, actions, outcomes, goals = teach(name, fleet, steps)
    seen: dict[str, Any] = {"cost": 0.0, "goal": 0}
    for first in range(0, steps, batch):
        part = slice(first, first + batch)
        fleet.load(stack(states[part]))
        give_goals(fleet, goals[part])
        ours = fleet.step(np.stack(actions[part]))
        obs, reward, cost, terminated, truncated, infos = zip(*outcomes[part], strict=True)
        np.testing.assert_allclose(ours.obs, obs, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours.reward, reward, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(ours.cost, cost)
        np.testing.assert_array_equal(ours.terminated, terminated)
        np.testing.assert_array_equal(ours.truncated, truncated)
        seen["cost"] += sum(cost)
        seen["goal"] += sum("goal_met" in info for info in infos)
    if any(game in name for game in ("Goal", "Button")):
        assert seen["goal"] > 0, "the trajectory shows no new goal"
    if "Goal1" in name or "Goal2" in name or "Button1" in name or "Button2" in name:
        assert seen["cost"] > 0, "the trajectory shows no cost"


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
