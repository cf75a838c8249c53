"""One environment as the trainer wants it: flat float32 observations, actions in [-1, 1], a cost, a horizon, seeds."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyslsac.envs.errors import TaskError

FloatArray = NDArray[np.float32]


class Step(NamedTuple):
    obs: FloatArray  # [S]
    reward: float
    cost: float
    terminated: bool
    truncated: bool


def episode_seed(seed: int, episode: int) -> int:
    """The 32-bit seed that episode number `episode` of an environment with this seed is reset with."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


def spread_seed(seed: int, count: int) -> list[int]:
    """`count` seeds, one per environment, from one: a run's environments share no episode with those of seed + 1."""
    return [int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0]) >> 2 for i in range(count)]


def env_seeds(seed: int | Sequence[int], n: int) -> list[int]:
    """One seed for each of n environments: those given, or n that are spread from one."""
    if isinstance(seed, (int, np.integer)):
        return spread_seed(int(seed), n)
    if len(seed) != n:
        raise ValueError(f"seed: got {len(seed)} seeds for {n} environments; give one each, or a single number")
    seeds = [operator.index(value) for value in seed]
    for value in seeds:
        if not 0 <= value < 2**128:
            raise ValueError(f"seed: got {value}, wanted integers from 0 to 2^128 - 1")
    return seeds


class Single:
    """A Gymnasium environment (five values a step, cost in info[cost_key]) or a safety-gymnasium one (six values).

    Actions in [-1, 1] [A] are stretched to the task's own box, observations flattened to float32 [S]. `horizon` is the
    number of steps after which an episode is truncated: the task's own, or the given one where the task has none or a
    longer one. Raises TaskError where a task has no bounded box of actions, no flat observation or no horizon.
    """

    def __init__(self, env: Any, task: str, *, cost_key: str = "cost", horizon: int | None = None) -> None:
        self.env, self.task, self.cost_key = env, task, cost_key
        self.horizon = _horizon(env, task, horizon)
        self._middle, self._reach, self._action_type = _action_box(env, task)
        self.act_dim = self._middle.size
        self.act_low = (self._middle - self._reach).astype(np.float32)
        self.act_high = (self._middle + self._reach).astype(np.float32)
        self.obs_low, self.obs_high, self._flatten = _flat_observations(env, task)
        self.obs_dim = self.obs_low.size
        self._steps = 0

    def reset(self, seed: int) -> FloatArray:
        """The first observation [S] of the episode that this seed names."""
        self._steps = 0
        return self._flat(self.env.reset(seed=seed)[0])

    def step(self, action: FloatArray) -> Step:
        """What follows `action` [A]. TaskError where info lacks the cost."""
        stretched = (self._middle + self._reach * np.minimum(np.maximum(action, -1.0), 1.0)).astype(self._action_type)
        obs, reward, *cost, terminated, truncated, info = self.env.step(stretched)
        self._steps += 1
        if not cost and self.cost_key not in info:
            keys = ", ".join(sorted(map(str, info))) or "nothing"
            raise TaskError(
                f"{self.task}: info has no cost under {self.cost_key!r} (it holds: {keys}); "
                "write the cost of the step there, or name its key with cost_key=..."
            )
        paid = float(cost[0] if cost else info[self.cost_key])
        timed_out = not terminated and (bool(truncated) or self._steps >= self.horizon)
        return Step(self._flat(obs), float(reward), paid, bool(terminated), timed_out)

    def close(self) -> None:
        self.env.close()

    def _flat(self, obs: Any) -> FloatArray:
        if self._flatten is not None:
            obs = self._flatten(obs)
        return np.asarray(obs, dtype=np.float32).reshape(-1)


def _horizon(env: Any, task: str, wanted: int | None) -> int:
    limits = [] if wanted is None else [wanted]
    own = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    while own is None and env is not None:  # a TimeLimit somewhere among the wrappers
        own = vars(env).get("_max_episode_steps")
        env = vars(env).get("env")
    if own is not None:
        limits.append(int(own))
    if not limits:
        raise TaskError(f"{task}: episodes have no time limit; give one with horizon=<steps>")
    if min(limits) < 1:
        raise TaskError(f"{task}: horizon is {min(limits)}, wanted at least 1")
    return min(limits)


def _action_box(env: Any, task: str) -> tuple[NDArray[np.float64], NDArray[np.float64], np.dtype[Any]]:
    """Middle and half width [A] of the box of actions, and its number type."""
    space = env.action_space
    if not hasattr(space, "low") or len(space.shape) != 1:
        raise TaskError(f"{task}: the action space is {space}, wanted a box of continuous actions [A]")
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise TaskError(f"{task}: the box of actions {space} is unbounded, so [-1, 1] cannot be stretched to it")
    return (low + high) / 2, (high - low) / 2, space.dtype


def _flat_observations(env: Any, task: str) -> tuple[FloatArray, FloatArray, Any]:
    """Bounds [S] of the flat observations and what flattens one, None where it is a vector already."""
    space = env.observation_space
    if hasattr(space, "low") and len(space.shape) == 1:
        return space.low.astype(np.float32), space.high.astype(np.float32), None
    from gymnasium import spaces

    try:
        flat = spaces.flatten_space(space)
        size = math.prod(flat.shape or ())
    except (NotImplementedError, ValueError, TypeError):
        size = 0
    if not isinstance(flat, spaces.Box) or size == 0:
        raise TaskError(f"{task}: observations of {space} cannot be flattened to a vector of fixed length")
    return flat.low.astype(np.float32), flat.high.astype(np.float32), lambda obs: spaces.flatten(space, obs)
