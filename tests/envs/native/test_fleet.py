"""The native tasks behind Gymnasium's interfaces: numbers from seeds alone, both autoresets, single environments."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pyslsac.envs import TaskError, list_tasks, make_vec, register
from pyslsac.envs.native import tasks

SIZES = {  # observations, actions: the table of the release's ten tasks, and LAC's two
    "SafetyAntVelocity-v1": (27, 8),
    "SafetyHalfCheetahVelocity-v1": (17, 6),
    "SafetyWalker2dVelocity-v1": (17, 6),
    "SafetySwimmerVelocity-v1": (8, 2),
    "SafetyHumanoidVelocity-v1": (376, 17),
    "SafetyHopperVelocity-v1": (11, 3),
    "SafetyCarCircle1-v0": (40, 2),
    "SafetyCarGoal1-v0": (72, 2),
    "SafetyPointCircle1-v0": (28, 2),
    "SafetyPointGoal1-v0": (60, 2),
    "SafetyPointButton1-v0": (76, 2),
    "SafetyCarButton1-v0": (88, 2),
}
FEW = ("SafetyHopperVelocity-v1", "SafetyHumanoidVelocity-v1", "SafetyPointGoal1-v0", "SafetyCarButton2-v0")
register()


def actions(steps: int, n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, n, width)).astype(np.float32)


def walk(venv: Any, steps: int, rows: slice = slice(None), seed: int = 0) -> list[np.ndarray]:
    """All numbers of `rows` over some steps, when every environment of eight gets its own actions."""
    path = actions(steps, 8, venv.single_action_space.shape[0], seed)[:, rows]
    numbers = [venv.reset()[0]]
    for action in path:
        *arrays, info = venv.step(action)
        numbers += [*arrays, info["cost"], info["final_obs"], info["_final_obs"]]
    return numbers


@pytest.mark.parametrize("name", tasks.STEPS)
def test_every_task_runs(name: str) -> None:
    venv = make_vec(name, 2, seed=1, workers=0)
    spec = venv.spec_
    assert (spec.obs_dim, spec.act_dim) == SIZES.get(name, (spec.obs_dim, spec.act_dim))
    assert spec.horizon == (500 if "Circle" in name else 1000)
    obs, _ = venv.reset()
    assert obs.dtype == np.float32 and venv.observation_space.contains(obs)
    for action in actions(25, 2, spec.act_dim):
        obs, reward, terminated, truncated, info = venv.step(action)
        assert np.isfinite(obs).all() and np.isfinite(reward).all() and set(info["cost"]) <= {0.0, 1.0}
        assert not (terminated & truncated).any()


@pytest.mark.parametrize("name", FEW)
def test_numbers_depend_on_the_seeds_alone(name: str) -> None:
    with make_vec(name, 8, seed=5, workers=0) as venv:
        seeds, whole = venv._seeds, walk(venv, 60)
    for rows, workers in ((slice(0, 8), 2), (slice(0, 8), 5), (slice(3, 6), 0), (slice(6, 7), 1)):
        with make_vec(name, len(seeds[rows]), seed=seeds[rows], workers=workers) as venv:
            for one, other in zip(walk(venv, 60, rows), whole, strict=True):
                np.testing.assert_array_equal(one, other[rows])


def test_step_async_and_step_wait_are_step() -> None:
    one, two = (make_vec("SafetyPointGoal1-v0", 4, seed=2, workers=2) for _ in range(2))
    one.reset(), two.reset()
    for action in actions(30, 4, 2):
        two.step_async(action)
        for a, b in zip(one.step(action)[:4], two.step_wait()[:4], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["SafetyHopperVelocity-v1", "SafetyPointGoal1-v0", "SafetyCarButton1-v0"])
def test_a_saved_state_goes_on_as_if_nothing_had_been(name: str) -> None:
    venv, later = make_vec(name, 3, seed=4, workers=2), make_vec(name, 3, seed=9, workers=0)
    venv.reset()
    path = actions(80, 3, venv.single_action_space.shape[0])
    for action in path[:40]:
        obs = venv.step(action)[0]
    found, came_back = later.load_state_dict(venv.state_dict())
    assert came_back.all()
    np.testing.assert_array_equal(found, obs)
    for action in path[40:]:
        for a, b in zip(venv.step(action)[:4], later.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["SafetyPointButton1-v0", "SafetyPointGoal1-v0", "SafetyHumanoidVelocity-v1"])
def test_environments_of_different_ages_come_back(name: str) -> None:
    alone, states = [make_vec(name, 1, seed=[seed], workers=0) for seed in (4, 5)], []
    path = actions(40, 2, alone[0].single_action_space.shape[0])
    for i, (venv, age) in enumerate(zip(alone, (3, 17), strict=True)):
        venv.reset()
        for action in path[:age]:
            venv.step(action[i : i + 1])
        states.append(venv.state_dict())
    both = {key: [*states[0][key], *states[1][key]] for key in states[0]}
    together = make_vec(name, 2, seed=0, workers=2)
    obs, came_back = together.load_state_dict(both)
    assert came_back.all()
    np.testing.assert_array_equal(obs, both["obs"])
    assert [len(past) for past in together.state_dict()["actions"]] == [3, 17]
    for action in path[17:]:
        for i, venv in enumerate(alone):
            apart = venv.step(action[i : i + 1])
            if i == 0:
                here = together.step(action)
            for a, b in zip(apart[:4], here[:4], strict=True):
                np.testing.assert_array_equal(a[0], b[i])


@pytest.mark.parametrize("name", FEW)
def test_a_fleets_state_holds_all_that_the_future_depends_on(name: str) -> None:
    fleet, other = tasks.make(name, 2), tasks.make(name, 2)
    fleet.reset([0, 1], [3, 4], [0, 5])
    other.reset([0, 1], [8, 9], [1, 2])
    path = actions(30, 2, fleet.act_low.size)
    for action in path[:10]:
        fleet.step(action)
    other.load(fleet.state())
    for action in path[10:]:
        for a, b in zip(fleet.step(action), other.step(action), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(*(f.reset([1], [f.streams.seeds[1]], [6]) for f in (fleet, other)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["SafetyHopperVelocity-v1", "SafetyPointCircle1-v0"])
def test_next_step_autoreset_shows_the_same_episodes(name: str, workers: int) -> None:
    make = functools.partial(make_vec, name, 3, seed=7, workers=workers, horizon=12)
    same, late = make(), make(autoreset="next_step")
    mode = getattr(gymnasium.vector, "AutoresetMode", None)
    assert late.metadata["autoreset_mode"] == (mode.NEXT_STEP if mode else "NextStep")
    path = actions(200, 3, same.single_action_space.shape[0])
    np.testing.assert_array_equal(same.reset()[0], late.reset()[0])
    clock, waiting = np.zeros(3, np.int64), np.zeros(3, bool)  # steps of each that were real
    ends = 0
    known: list[list[tuple]] = [[], [], []]
    for t in range(60):
        out = same.step(path[t])
        for i in range(3):
            known[i].append((out[4]["final_obs"][i], out[1][i], out[2][i], out[3][i], out[4]["cost"][i], out[0][i]))
    for _ in range(60):
        action = np.stack([path[clock[i], i] for i in range(3)])
        obs, reward, terminated, truncated, info = late.step(action)
        for i in range(3):
            if waiting[i]:
                assert (reward[i], terminated[i], truncated[i], info["cost"][i]) == (0.0, False, False, 0.0)
                np.testing.assert_array_equal(obs[i], known[i][clock[i] - 1][5])
                continue
            final, *numbers, _ = known[i][clock[i]]
            np.testing.assert_array_equal(obs[i], final)
            assert [reward[i], terminated[i], truncated[i], info["cost"][i]] == numbers
        clock += ~waiting
        waiting = terminated | truncated
        ends += waiting.sum()
    assert ends > 5


@pytest.mark.parametrize("name", [*FEW, "SafetyCarCircle2-v0"])
def test_single_environments_pass_gymnasiums_checker(name: str) -> None:
    env = gymnasium.make(f"pyslsac/{name}")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.dtype == np.float64 and env.spec is not None
    assert env.spec.max_episode_steps == tasks.STEPS[name]


@pytest.mark.parametrize("name", FEW)
def test_a_single_environment_is_the_vectors(name: str) -> None:
    env, venv = gymnasium.make(f"pyslsac/{name}"), make_vec(name, 1, seed=[11], workers=0)
    obs, first = env.reset(seed=11)[0], venv.reset()[0]
    high = env.action_space.high.astype(np.float64)
    for action in actions(80, 1, high.size)[:, 0]:
        np.testing.assert_array_equal(np.float32(obs), first[0])
        obs, reward, terminated, truncated, info = env.step((high * action).astype(env.action_space.dtype))
        first, rewards, *flags, infos = venv.step(action[None])
        assert (reward, info["cost"]) == (rewards[0], infos["cost"][0])
        assert [terminated, truncated] == [flags[0][0], flags[1][0]]
        if terminated or truncated:
            with pytest.raises(RuntimeError, match="reset"):
                env.unwrapped.step(env.action_space.sample())
            obs, _ = env.reset()


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(TaskError, match="close to it: SafetyPointGoal1-v0"):
        make_vec("SafetyPointGoal1-v1", backend="native")
    with pytest.raises(TaskError, match="no argument called colour"):
        make_vec("SafetyPointGoal1-v0", colour=1)
    with pytest.raises(TaskError, match="wanted one of same_step, next_step"):
        make_vec("SafetyPointGoal1-v0", autoreset="never")
    env = gymnasium.make("pyslsac/SafetyPointGoal1-v0").unwrapped
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(2))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"got shape \(3,\), wanted \(2,\)"):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match="NaN"):
        env.step(np.full(2, np.nan))
    with make_vec("SafetyPointGoal1-v0", 2) as venv:
        venv.reset()
        with pytest.raises(ValueError, match="NaN"):
            venv.step(np.full((2, 2), np.nan))
        venv.step(np.zeros((2, 2)))  # nothing is lost
    assert set(tasks.STEPS) == set(next(listing for listing in list_tasks() if listing.backend == "native").tasks)


def test_an_error_in_the_midst_of_a_step_closes_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (0, 2):
        venv = make_vec("SafetyHopperVelocity-v1", 4, workers=workers)
        venv.reset()

        def broken(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(venv._crew[0].group.fleet, "_outcome", broken)
        with pytest.raises(KeyboardInterrupt):
            venv.step(np.zeros((4, 3)))
        assert venv.closed


def test_single_environments_can_be_copied() -> None:
    env = gymnasium.make("pyslsac/SafetyPointGoal1-v0").unwrapped
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        np.testing.assert_array_equal(twin.reset(seed=3)[0], env.reset(seed=3)[0])


def test_threads_end_with_the_vector() -> None:
    gc.collect()
    before = threading.active_count()
    venv = make_vec("SafetyHopperVelocity-v1", 4, workers=3)
    assert threading.active_count() == before + 3
    del venv
    gc.collect()
    assert threading.active_count() == before  # they are joined
