"""A ten-step constrained linear-quadratic task with a known optimum, for tests.

x' = A x + b u, reward 1 - |x' - g|²/|g|², cost max(0, g·x')/|g|², with u in [-1, 1]² and x near 0 at the start. It is
the bandit of `bandit.py` with a place instead of an action, ten times over. From the start, and from κ g, every κ g
with 0 <= κ <= 1 is one move away: u = (κ g - A x) / b stays inside the box. So each step can be the best one on its
own, and as the bandit's return is concave in its limit, spreading the limit evenly is best: x' = κ g at every step with
κ = min(1, cost limit / 10). The optimum needs no clock and is the same at every discount.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from pyslsac.envs import bandit

HORIZON = 10
DRIFT = np.array([[0.3, 0.2], [-0.2, 0.3]])  # A
GAIN = 0.8  # b
GOAL = np.array([0.5, 0.3])  # g
SPREAD = 0.2  # the start is uniform in [-SPREAD, SPREAD]²


def optimal(cost_limit: float) -> tuple[float, float]:
    """The largest expected return of an episode under `cost_limit`, and the expected cost at which it is had."""
    reward, cost = bandit.optimal(cost_limit / HORIZON)
    return HORIZON * reward, HORIZON * cost


class LinearQuadratic(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observation: the place x [2]. Never ends by itself; registered with a time limit of ten steps."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-SPREAD, SPREAD, 2)
        return self.place.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        self.place = DRIFT @ self.place + GAIN * np.clip(action, -1.0, 1.0)
        reward, cost = bandit.reward_and_cost(self.place, GOAL)
        return self.place.astype(np.float32), reward, False, False, {"cost": cost}
