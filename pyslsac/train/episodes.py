"""The books on training episodes: returns, costs and lengths, running and finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

WINDOW = 10


class Episodes:
    """Accounts of R runs with n environments each; every array leads with the run."""

    def __init__(self, runs: int, num_envs: int, cost_limit: float) -> None:
        self.cost_limit = cost_limit
        self.running = np.zeros((runs, num_envs, 3))  # return, cost, length so far
        self.last = np.full((runs, WINDOW, 3), np.nan)  # of the last ended episodes, oldest first
        self.ended = np.zeros(runs, dtype=np.int64)
        self.over_limit = np.zeros(runs, dtype=np.int64)
        self.cost = np.zeros(runs)  # since the start of training
        self.epoch = np.zeros((runs, 5))  # episodes; sums of return, cost, length; largest cost

    def add(self, reward: np.ndarray, cost: np.ndarray, done: np.ndarray) -> list[tuple[int, float]]:
        """Take one vector step's [R, n] arrays; the (run, cost) of every episode that ended with it."""
        self.running[..., 0] += reward
        self.running[..., 1] += cost
        self.running[..., 2] += 1
        self.cost += cost.sum(axis=1)
        ended: list[tuple[int, float]] = []
        if not done.any():
            return ended
        for run, env in zip(*np.nonzero(done), strict=True):
            episode = self.running[run, env].copy()
            self.running[run, env] = 0.0
            self.last[run] = np.concatenate([self.last[run, 1:], episode[None]])
            self.ended[run] += 1
            self.over_limit[run] += episode[1] > self.cost_limit
            self.epoch[run, :4] += (1.0, *episode)
            self.epoch[run, 4] = max(self.epoch[run, 4], episode[1])
            ended.append((int(run), float(episode[1])))
        return ended

    def read(self, env_steps: int) -> dict[str, np.ndarray]:
        """The log's columns [R] on episodes (NaN where none has ended), and a fresh epoch."""
        ended = ~np.isnan(self.last[:, :, 0])  # [R, W]
        with np.errstate(invalid="ignore"):
            window = np.where(ended[..., None], self.last, 0.0).sum(axis=1) / ended.sum(axis=1, keepdims=True)  # [R, 3]
            epoch = self.epoch[:, 1:4] / self.epoch[:, :1]  # [R, 3]
        columns = {
            "Metrics/EpRet": window[:, 0],
            "Metrics/EpCost": window[:, 1],
            "Metrics/EpLen": window[:, 2],
            "Epoch/Episodes": self.epoch[:, 0].copy(),
            "Epoch/EpRet": epoch[:, 0],
            "Epoch/EpCost": epoch[:, 1],
            "Epoch/EpCostMax": np.where(self.epoch[:, 0] > 0, self.epoch[:, 4], np.nan),
            "Epoch/EpLen": epoch[:, 2],
            "Metrics/Episodes": self.ended.astype(float),
            "Metrics/EpisodesOverLimit": self.over_limit.astype(float),
            "Metrics/CostRate": self.cost / max(env_steps, 1),
        }
        self.epoch[:] = 0.0
        return columns

    def last_costs(self, run: int) -> list[float]:
        costs = self.last[run, :, 1]
        return costs[~np.isnan(costs)].tolist()

    def select(self, keep: Sequence[int]) -> None:
        for name, value in self._arrays().items():
            setattr(self, name, value[list(keep)])

    def state_dict(self) -> dict[str, Any]:
        return {name: torch.from_numpy(value.copy()) for name, value in self._arrays().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._arrays():
            setattr(self, name, state[name].numpy().copy())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
