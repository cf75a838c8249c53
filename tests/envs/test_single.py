"""One environment behind our interface: actions stretched, observations flat, costs found, horizons kept."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pyslsac.envs import TaskError, spread_seed
from pyslsac.envs.single import Single, env_seeds, episode_seed
from tests.envs.tiny_task import HIGH, LOW, Tiny


class Echo(gymnasium.Env):
    """Gives back the action it was given; its spaces are the test's to choose."""

    def __init__(self, action_space: Any, observation_space: Any = None, values: int = 5) -> None:
        self.action_space = action_space
        self.observation_space = observation_space or spaces.Box(-9.0, 9.0, (2,), np.float64)
        self.values, self.seen = values, np.zeros(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.seen = action
        obs = self.observation_space.sample()
        if self.values == 6:
            return obs, 1.0, 0.25, False, False, {}
        return obs, 1.0, False, False, {"cost": 0.5}


def single(env: Any, **options: Any) -> Single:
    return Single(env, "task", **{"horizon": 9, **options})


def test_actions_are_stretched_to_an_asymmetric_box() -> None:
    echo = Echo(spaces.Box(LOW, HIGH))
    env = single(echo)
    for given, wanted in [((-1, -1), LOW), ((1, 1), HIGH), ((0, 0), [-0.5, 0.25]), ((0.5, -5), [0.25, 0.0])]:
        env.step(np.array(given, np.float32))
        np.testing.assert_array_equal(echo.seen, np.float32(wanted))
        assert echo.seen.dtype == np.float32


def test_a_box_of_plus_minus_one_passes_actions_bit_by_bit() -> None:
    echo = Echo(spaces.Box(-1.0, 1.0, (3,), np.float32))
    action = np.float32([0.1, -0.7654321, 1e-30])
    single(echo).step(action)
    assert echo.seen.tobytes() == action.tobytes()


def test_humanoid_like_box_reaches_its_bounds_exactly() -> None:
    echo = Echo(spaces.Box(-0.4, 0.4, (2,), np.float32))
    single(echo).step(np.float32([1, -1]))
    assert echo.action_space.contains(echo.seen)
    np.testing.assert_array_equal(echo.seen, np.float32([0.4, -0.4]))


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.Box(-np.inf, 1.0, (2,)), spaces.Box(0, 1, (2, 2))], ids=str
)
def test_actions_that_cannot_be_stretched_are_refused(space: Any) -> None:
    with pytest.raises(TaskError, match=r"task: the .*action"):
        single(Echo(space))


def test_dict_observations_are_flattened_to_float32() -> None:
    parts = {"a": spaces.Box(-1.0, 1.0, (2, 2), np.float64), "b": spaces.Discrete(3)}
    env = single(Echo(spaces.Box(-1.0, 1.0, (2,)), spaces.Dict(parts)))
    obs = env.step(np.zeros(2, np.float32)).obs
    assert obs.shape == (env.obs_dim,) == (7,) and obs.dtype == np.float32
    assert sorted(obs[4:].tolist()) == [0, 0, 1]


def test_observations_without_a_fixed_length_are_refused() -> None:
    sequence = spaces.Sequence(spaces.Box(-1.0, 1.0, (2,)))
    with pytest.raises(TaskError, match="cannot be flattened"):
        single(Echo(spaces.Box(-1.0, 1.0, (2,)), sequence))


def test_the_cost_is_the_third_of_six_values_or_in_info() -> None:
    box, action = spaces.Box(-1.0, 1.0, (2,)), np.zeros(2, np.float32)
    assert single(Echo(box, values=6)).step(action).cost == 0.25
    assert single(Echo(box)).step(action).cost == 0.5


def test_a_missing_cost_names_cost_key_and_what_info_holds() -> None:
    env = single(Tiny(cost_key="pain"))
    env.reset(0)
    with pytest.raises(TaskError, match=r"task: info has no cost under 'cost' \(it holds: count, pain\).*cost_key"):
        env.step(np.zeros(2, np.float32))
    env = single(Tiny(cost_key="pain"), cost_key="pain")
    env.reset(0)
    assert env.step(np.float32([1, 0])).cost == 1.0


@pytest.mark.parametrize(("own", "given", "wanted"), [(7, None, 7), (7, 4, 4), (7, 20, 7), (None, 3, 3)])
def test_an_episode_is_truncated_at_the_nearer_horizon(own: int | None, given: int | None, wanted: int) -> None:
    env: Any = Echo(spaces.Box(-1.0, 1.0, (2,)))
    if own:
        env = gymnasium.wrappers.TimeLimit(env, own)
    task = single(env, horizon=given)
    assert task.horizon == wanted
    for seed in (0, 1):
        task.reset(seed)
        flags = [task.step(np.zeros(2, np.float32)).truncated for _ in range(wanted)]
        assert flags == [False] * (wanted - 1) + [True]


def test_a_task_without_a_horizon_is_refused() -> None:
    with pytest.raises(TaskError, match=r"no time limit; .*horizon="):
        single(Tiny(), horizon=None)
    with pytest.raises(TaskError, match="wanted at least 1"):
        single(Tiny(), horizon=0)


def test_an_end_at_the_horizon_is_no_time_out() -> None:
    env = single(Tiny(), horizon=1)
    for seed in range(60):
        env.reset(seed)
        result = env.step(np.float32([-1, 0]))
        assert result.truncated != result.terminated


def test_seeds_are_pinned_and_do_not_collide() -> None:
    assert (episode_seed(0, 0), episode_seed(7, 3)) == (2_968_811_710, 3_466_196_061)
    assert spread_seed(0, 2) == [3_948_308_845_846_928_943, 1_459_132_311_362_927_889]
    seeds = [s for seed in range(50) for s in spread_seed(seed, 20)]
    assert len(set(seeds)) == 1000 and min(seeds) >= 0 and max(seeds) < 2**62
    assert spread_seed(3, 20)[:5] == spread_seed(3, 5)
    assert env_seeds([5, 6], 2) == [5, 6]
    with pytest.raises(ValueError, match="got 2 seeds for 3 environments"):
        env_seeds([5, 6], 3)
