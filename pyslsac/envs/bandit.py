"""A one-step constrained task with a known optimum, for tests: one action, one reward, one cost.

With the goal g the action a earns 1 - |a - g|²/|g|² and costs max(0, g·a)/|g|². The reward is concave and the cost
convex in a, so by Jensen's inequality no random policy beats the best single action. Among actions of equal g·a the one
on the line through g is nearest to g, so that action is κ g. It earns 1 - (1 - κ)² and costs κ: κ = min(1, cost limit).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

GOAL = np.array([0.6, -0.3])


def optimal(cost_limit: float) -> tuple[float, float]:
    """The largest expected return under `cost_limit`, and the expected cost at which it is had."""
    if cost_limit < 0:
        raise ValueError(f"cost_limit is {cost_limit}, wanted at least 0: no action has a negative cost")
    share = min(1.0, cost_limit)
    return 1 - (1 - share) ** 2, share


def reward_and_cost(place: Any, goal: Any) -> tuple[float, float]:
    """1 - |x - g|²/|g|² and max(0, g·x)/|g|² of a place x [2], for a goal g [2]."""
    miss = place - goal
    size = goal @ goal
    return float(1 - miss @ miss / size), float(max(0.0, goal @ place) / size)


class Bandit(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observation: always 1. The episode ends with its first step."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(1.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        reward, cost = reward_and_cost(action, GOAL)
        return np.ones(1, np.float32), reward, True, False, {"cost": cost}
