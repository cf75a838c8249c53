"""A fleet as a group of the vector: actions in [-1, 1], observations in float32, one episode after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyslsac.envs.errors import TaskError
from pyslsac.envs.group import Board, Sizes
from pyslsac.envs.native import tasks
from pyslsac.envs.native.fleet import Outcome
from pyslsac.envs.single import FloatArray


class FleetGroup:
    """What `pyslsac.envs.group.Group` is for single environments: the same methods, for all environments at once."""

    def __init__(self, task: str, count: int, workers: int, horizon: int | None = None) -> None:
        if horizon is not None and horizon < 1:
            raise TaskError(f"{task}: horizon is {horizon}, wanted at least 1")
        self.fleet = fleet = tasks.make(task, count, workers)
        fleet.horizon = min(fleet.horizon, horizon or fleet.horizon)
        self.seeds = [0] * count
        low, high = fleet.act_low.astype(np.float64), fleet.act_high.astype(np.float64)
        self._middle, self._reach = (low + high) / 2, (high - low) / 2
        self._wide = self._middle.any() or (self._reach != 1).any()  # the task's box is another than [-1, 1]
        bounds = (fleet.obs_low.astype(np.float32), fleet.obs_high.astype(np.float32), fleet.act_low, fleet.act_high)
        self.sizes = Sizes(fleet.obs_low.size, fleet.act_low.size, fleet.horizon, *bounds)

    def bind(self, memory: Any, n: int) -> None:
        """Write from now on to the board laid over `memory`."""
        self.board = Board.over(memory, n, self.sizes)

    def reset(self, seeds: Sequence[int] | None = None) -> None:
        """Begin episode 0 under new seeds, or every environment's next episode."""
        if seeds is not None:
            self.seeds = list(seeds)
        episodes = np.zeros_like(self.board.episode) if seeds is not None else self.board.episode + 1
        self._begin(np.arange(self.fleet.n), episodes)

    def start(self) -> None:
        """Let the fleet's threads take the board's actions; `finish` must follow."""
        self.fleet.start(*self._orders())

    def finish(self) -> None:
        self._note(self.fleet.finish())

    def step(self) -> None:
        """start and finish in one; this thread works too."""
        self._note(self.fleet.step(*self._orders()))

    def replay(self, seeds: Sequence[int], episodes: Sequence[int], actions: Sequence[FloatArray]) -> list[bool]:
        """As in Group: live through `actions` [T_i, A] again; where that leads elsewhere, begin a new episode."""
        board, rows = self.board, np.arange(self.fleet.n)
        wanted, lengths = board.obs.copy(), np.array([len(past) for past in actions])
        self.seeds = list(seeds)
        self._begin(rows, np.asarray(episodes))
        ended = np.zeros(self.fleet.n, np.bool_)
        for left in range(lengths.max(initial=0), 0, -1):  # all arrive together: who has little to live through waits
            held = (lengths < left) | ended
            action = [
                np.zeros(self.sizes.act_dim, np.float32) if h else p[-left] for h, p in zip(held, actions, strict=True)
            ]
            outcome = self.fleet.step(self._stretched(np.stack(action)), np.flatnonzero(held).tolist())
            board.obs[~held] = outcome.obs[~held]
            ended |= ~held & (outcome.terminated | outcome.truncated)
        same = ~ended & np.array([row.tobytes() == was.tobytes() for row, was in zip(board.obs, wanted, strict=True)])
        lost = np.flatnonzero(~same)
        if lost.size:
            self._begin(lost, np.asarray(episodes)[lost] + 1)
        return same.tolist()

    def close(self) -> None:
        self.fleet.close()

    def _stretched(self, action: FloatArray) -> Any:
        inside = np.minimum(np.maximum(action, -1.0), 1.0)
        return (self._middle + self._reach * inside if self._wide else inside).astype(self.fleet.act_type)

    def _orders(self) -> tuple[Any, list[int]]:
        self._held = self.board.held.nonzero()[0].tolist()
        return self._stretched(self.board.action), self._held

    def _note(self, outcome: Outcome) -> None:
        """Write a step's outcome to the board; where an episode ended, begin the next."""
        board = self.board
        board.terminated[:] = outcome.terminated
        np.greater(outcome.truncated, outcome.terminated, out=board.truncated)
        board.reward[:], board.cost[:] = outcome.reward, outcome.cost
        board.final_obs[:] = outcome.obs
        board.obs[:] = board.final_obs
        if self._held:
            for array in (board.terminated, board.truncated, board.reward, board.cost):
                array[self._held] = 0
        ended = (board.terminated | board.truncated).nonzero()[0]
        if ended.size:
            self._begin(ended, board.episode[ended] + 1)

    def _begin(self, rows: Any, episodes: Any) -> None:
        self.board.episode[rows] = episodes
        self.board.obs[rows] = self.fleet.reset(rows, [self.seeds[row] for row in rows], episodes)
