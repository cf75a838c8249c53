"""The safety-gymnasium release: ten standard tasks as the table says, numbers bit for bit, without its slow sky."""

from __future__ import annotations

import dataclasses
import functools
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from pyslsac import envs
from pyslsac.envs import TaskError, list_tasks, safety_gymnasium
from pyslsac.envs.single import Single, episode_seed, spread_seed

make_vec = functools.partial(envs.make_vec, backend="safety-gymnasium")
problem = next(listing.problem for listing in list_tasks() if listing.backend == "safety-gymnasium")
needs_release = pytest.mark.skipif(problem is not None, reason=str(problem))
TABLE = {  # obs, act, horizon, terminates, threshold
    "SafetyAntVelocity-v1": (27, 8, 1000, True, 2.6222),
    "SafetyHalfCheetahVelocity-v1": (17, 6, 1000, False, 3.2096),
    "SafetyWalker2dVelocity-v1": (17, 6, 1000, True, 2.3415),
    "SafetySwimmerVelocity-v1": (8, 2, 1000, False, 0.2282),
    "SafetyHumanoidVelocity-v1": (376, 17, 1000, True, 1.4149),
    "SafetyHopperVelocity-v1": (11, 3, 1000, True, 0.7402),
    "SafetyCarCircle1-v0": (40, 2, 500, False, None),
    "SafetyCarGoal1-v0": (72, 2, 1000, False, None),
    "SafetyPointCircle1-v0": (28, 2, 500, False, None),
    "SafetyPointGoal1-v0": (60, 2, 1000, False, None),
}


def noise(steps: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, width)).astype(np.float32)


@needs_release
@pytest.mark.parametrize("task", TABLE)
def test_the_ten_tasks_are_as_the_table_says(task: str) -> None:
    if "Swimmer" in task and version("mujoco") >= "3":
        pytest.skip("the release's swimmer.xml is not read by MuJoCo 3")
    obs_dim, act_dim, horizon, terminates, threshold = TABLE[task]
    venv = make_vec(task, workers=0, seed=1)
    spec = venv.spec_
    assert (spec.obs_dim, spec.act_dim, spec.horizon) == (obs_dim, act_dim, horizon)
    assert venv.reset()[0].dtype == np.float32
    costs, ends = set(), 0
    for action in noise(200, act_dim):
        _, _, terminated, truncated, info = venv.step(action[None])
        costs |= set(info["cost"])
        ends += int(terminated[0])
        assert not truncated
    assert costs <= {0.0, 1.0} and (ends > 0) == terminates
    if threshold:
        assert venv._crew[0].group.envs[0].env.unwrapped._velocity_threshold == threshold


@needs_release
@pytest.mark.parametrize("task", ["SafetyHalfCheetahVelocity-v1", "SafetyHumanoidVelocity-v1", "SafetyPointGoal1-v0"])
def test_rollouts_equal_the_release_bit_for_bit(task: str) -> None:
    release = safety_gymnasium.load().make(task)  # with its sky and its checkers
    venv = make_vec(task, workers=0, seed=[77])
    reach = float(release.action_space.high[0])
    obs, _ = venv.reset()
    episode = 0
    expected, _ = release.reset(seed=episode_seed(77, 0))
    np.testing.assert_array_equal(obs[0], np.float32(expected))
    path = noise(150, venv.spec_.act_dim)
    path[75:] = 1.0  # into the hazards
    for action in path:
        scaled = (np.float64(reach) * action).astype(release.action_space.dtype)
        expected, reward, cost, terminated, truncated, _ = release.step(scaled)
        obs, ours, ended, timed_out, info = venv.step(action[None])
        np.testing.assert_array_equal(info["final_obs"][0], np.float32(expected))
        assert (ours[0], info["cost"][0], ended[0], timed_out[0]) == (reward, cost, terminated, truncated)
        if terminated:
            episode += 1
            expected, _ = release.reset(seed=episode_seed(77, episode))
            np.testing.assert_array_equal(obs[0], np.float32(expected))
    assert (episode > 0) == TABLE[task][3]


@needs_release
def test_navigation_resets_take_milliseconds_and_a_rendered_world_keeps_its_sky() -> None:
    venv = make_vec("SafetyCarGoal1-v0", workers=0)
    venv.reset()
    start = time.process_time()
    for _ in range(5):
        venv.reset()
    assert time.process_time() - start < 1.0  # five resets of the release take more than five seconds
    for mode, textures in ((None, 1), ("rgb_array", 2)):
        model = safety_gymnasium.make("SafetyPointGoal1-v0", render_mode=mode).unwrapped.task.model
        assert model.ntex == textures


@needs_release
def test_a_time_out_keeps_the_true_next_observation() -> None:
    venv = make_vec("SafetyPointCircle1-v0", workers=0, seed=2)
    alone = Single(safety_gymnasium.make("SafetyPointCircle1-v0"), "alone")
    venv.reset()
    alone.reset(episode_seed(spread_seed(2, 1)[0], 0))
    for step, action in enumerate(noise(500, 2), 1):
        obs, _, terminated, truncated, info = venv.step(action[None])
        last = alone.step(action).obs
        assert not terminated and truncated == (step == 500) == info["_final_obs"]
    np.testing.assert_array_equal(info["final_obs"][0], last)
    np.testing.assert_array_equal(obs[0], alone.reset(episode_seed(spread_seed(2, 1)[0], 1)))


@needs_release
@pytest.mark.parametrize("task", ["SafetyHopperVelocity-v1", "SafetyPointGoal1-v0", "SafetyRacecarGoal1-v0"])
def test_a_state_comes_back_in_another_process(task: str) -> None:
    venv = make_vec(task, 2, seed=6, workers=1, **({} if "Hopper" in task else {"horizon": 60}))
    venv.reset()
    for action in noise(100, 2 * venv.spec_.act_dim):
        venv.step(action.reshape(2, -1))
    state = venv.state_dict()
    assert min(state["episode"]) > 0 and min(len(past) for past in state["actions"]) > 0
    fresh = make_vec(task, 2, workers=0, **({} if "Hopper" in task else {"horizon": 60}))
    assert fresh.load_state_dict(state)[1].all()
    for action in noise(30, 2 * venv.spec_.act_dim, seed=1):
        for got, want in zip(fresh.step(action.reshape(2, -1))[:4], venv.step(action.reshape(2, -1))[:4], strict=True):
            np.testing.assert_array_equal(got, want)
    venv.close()


@needs_release
def test_every_registered_name_is_known_and_others_are_told() -> None:
    names = safety_gymnasium.task_names()
    assert set(TABLE) < set(names) and "SafetyCarButton1-v0" in names
    assert make_vec("SafetyPointGoal1Gymnasium-v0", workers=0).spec_.obs_dim == 60
    with pytest.raises(TaskError, match=r"no task 'SafetyPointGaol1-v0' \(close to it: SafetyPointGoal1-v0"):
        make_vec("SafetyPointGaol1-v0", workers=1)


def test_while_importing_array_defaults_become_copies() -> None:
    original = dataclasses.dataclass
    default = np.zeros(2)
    with safety_gymnasium.array_defaults_copied():

        @dataclasses.dataclass
        class Geom:
            color: Any = default
            name: str = "geom"

        @dataclasses.dataclass(frozen=True)
        class Fixed:
            color: np.ndarray = default

    assert dataclasses.dataclass is original
    a, b = Geom(), Geom()
    a.color[0] = 1.0
    assert b.color[0] == default[0] == 0.0 and a.name == "geom" and Fixed().color is not default


def test_unhashable_defaults_that_are_no_arrays_still_fail() -> None:
    with safety_gymnasium.array_defaults_copied(), pytest.raises(ValueError, match="mutable default"):
        dataclasses.dataclass(type("Bad", (), {"__annotations__": {"x": list}, "x": []}))
    assert "dataclass" in dataclasses.dataclass.__name__
