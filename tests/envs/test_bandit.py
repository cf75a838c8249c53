"""The one-step task's known optimum, against brute force and against random policies."""

from __future__ import annotations

import numpy as np
import pytest

from pyslsac.envs import make_vec
from pyslsac.envs.bandit import GOAL, optimal, reward_and_cost


def outcomes(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array([reward_and_cost(action, GOAL) for action in actions])
    return pairs[:, 0], pairs[:, 1]


@pytest.mark.parametrize("limit", [0.0, 0.3, 0.5, 0.9, 1.0, 7.0])
def test_no_action_beats_the_optimum(limit: float) -> None:
    line = np.linspace(-1, 1, 201)
    reward, cost = outcomes(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2))
    best, paid = optimal(limit)
    assert best - 0.02 <= reward[cost <= limit].max() <= best + 1e-12
    action = min(1.0, limit) * GOAL
    np.testing.assert_allclose(reward_and_cost(action, GOAL), (best, paid), atol=1e-12)


def test_no_mixture_of_actions_beats_the_optimum() -> None:
    rng = np.random.default_rng(0)
    reward, cost = outcomes(rng.uniform(-1, 1, (400, 2)))
    share = rng.uniform(size=(400, 400))
    mixed_reward = share * reward + (1 - share) * reward[:, None]
    mixed_cost = share * cost + (1 - share) * cost[:, None]
    limits = np.array([optimal(limit)[0] for limit in mixed_cost.ravel()])
    assert (mixed_reward.ravel() <= limits + 1e-12).all()


def test_the_task_pays_what_the_optimum_says() -> None:
    venv = make_vec("pyslsac/Bandit-v0", 3)
    obs, _ = venv.reset()
    np.testing.assert_array_equal(obs, np.ones((3, 1), np.float32))
    _, reward, terminated, truncated, info = venv.step(np.stack([0.5 * GOAL, GOAL, -GOAL]))
    np.testing.assert_allclose(reward, [optimal(0.5)[0], 1.0, -3.0], atol=1e-6)
    np.testing.assert_allclose(info["cost"], [0.5, 1.0, 0.0], atol=1e-6)
    assert terminated.all() and not truncated.any() and venv.spec_.horizon == 1


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="no action has a negative cost"):
        optimal(-0.1)
