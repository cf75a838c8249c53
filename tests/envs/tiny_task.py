"""A task of one's own, as a user would write it: "tests.envs.tiny_task:Tiny-v0", or the class Tiny itself."""

from __future__ import annotations

import os
import signal
from typing import Any

import gymnasium
import numpy as np

LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32)


class Tiny(gymnasium.Env):
    """A place that the action pushes and noise shakes; it terminates beyond 2 and otherwise never ends."""

    def __init__(self, cost_key: str = "cost", mishap: str = "", shaky: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(LOW, HIGH)
        self.cost_key, self.mishap, self.shaky = cost_key, mishap, shaky

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.normal(size=3)
        self.state[2] = 0.0
        return self.state.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        noise = np.random.default_rng() if self.shaky else self.np_random
        self.state[:2] += 0.5 * action + 0.1 * noise.normal(size=2)
        self.state[2] += 1
        if self.mishap == "raise":
            raise ArithmeticError("the tiny world broke")
        if self.mishap == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        info = {self.cost_key: abs(float(action[0])), "count": 1}
        return self.state.copy(), float(self.state[1]), bool(abs(self.state[0]) > 2), False, info


gymnasium.register("Tiny-v0", entry_point=Tiny, max_episode_steps=7)
