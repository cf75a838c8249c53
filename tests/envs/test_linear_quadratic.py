"""The ten-step task's known optimum, against a search over action sequences and against the task itself."""

from __future__ import annotations

import numpy as np
import pytest

from pyslsac.envs import make_vec
from pyslsac.envs.linear_quadratic import DRIFT, GAIN, GOAL, HORIZON, SPREAD, optimal


def play(share: float, n: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns [n], costs [n] and actions [T, n, 2] of the policy that moves to share * g at every step."""
    venv = make_vec("pyslsac/LinearQuadratic-v0", n, seed=5)
    obs, _ = venv.reset()
    total = np.zeros((2, n))
    taken = []
    for step in range(HORIZON):
        taken.append((share * GOAL - obs @ DRIFT.T) / GAIN)
        obs, reward, terminated, truncated, info = venv.step(taken[-1])
        total += reward, info["cost"]
        assert not terminated.any() and truncated.all() == (step == HORIZON - 1)
    return total[0], total[1], np.array(taken)


@pytest.mark.parametrize("limit", [0.0, 2.0, 5.0, 10.0, 12.0])
def test_the_optimum_is_attained_inside_the_box(limit: float) -> None:
    reward, cost, taken = play(min(1.0, limit / HORIZON))
    best, paid = optimal(limit)
    np.testing.assert_allclose(reward, best, atol=1e-5)
    np.testing.assert_allclose(cost, paid, atol=1e-5)
    assert np.abs(taken).max() < 1


def test_the_box_suffices_from_the_corners_of_the_start() -> None:
    corners = SPREAD * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    for share in (0.0, 0.5, 1.0):
        assert np.abs((share * GOAL - corners @ DRIFT.T) / GAIN).max() < 1
        assert np.abs((share * GOAL - share * GOAL @ DRIFT.T) / GAIN).max() < 1


def returns(plan: np.ndarray, start: np.ndarray) -> tuple[float, float]:
    place, reward, cost = start, 0.0, 0.0
    for action in plan:
        place = DRIFT @ place + GAIN * np.clip(action, -1, 1)
        reward += 1 - (place - GOAL) @ (place - GOAL) / (GOAL @ GOAL)
        cost += max(0.0, GOAL @ place) / (GOAL @ GOAL)
    return reward, cost


@pytest.mark.parametrize("limit", [3.0, 6.0])
def test_no_plan_found_by_search_beats_the_optimum(limit: float) -> None:
    rng, start, best = np.random.default_rng(0), np.zeros(2), optimal(limit)[0]
    plan, value = np.zeros((HORIZON, 2)), -np.inf
    for trial in range(6000):  # hill climbing with a penalty that no violation repays: the multiplier is below 2
        other = plan + rng.normal(size=plan.shape) * rng.choice([0.3, 0.03]) * (rng.random(plan.shape) < 0.3)
        reward, cost = returns(other, start)
        assert reward <= optimal(cost)[0] + 1e-9, trial
        penalised = reward - 2.0 * max(0.0, cost - limit)
        if penalised > value:
            plan, value = other, penalised
    assert best - 0.1 <= value <= best + 1e-9


def test_random_actions_are_far_from_it() -> None:
    venv = make_vec("pyslsac/LinearQuadratic-v0", 50, seed=0)
    venv.reset()
    venv.action_space.seed(0)
    total = sum(venv.step(venv.action_space.sample())[1] for _ in range(HORIZON))
    assert total.mean() < 0 < 0.95 * optimal(5.0)[0]
