"""A few environments stepped one after the other on shared arrays: what a worker process, or this process, runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyslsac.envs.single import FloatArray, Single, Step, episode_seed


@dataclass(frozen=True)
class Sizes:
    """What all environments of one task share."""

    obs_dim: int
    act_dim: int
    horizon: int
    obs_low: FloatArray  # [S]
    obs_high: FloatArray  # [S]
    act_low: FloatArray  # [A] of the task's own actions
    act_high: FloatArray  # [A]


@dataclass(frozen=True)
class Board:
    """Arrays over n environments through which actions go in and transitions come out; workers map the same memory."""

    action: FloatArray  # [n, A]
    held: NDArray[np.bool_]  # [n] stays as it is for a step, which is worth nothing
    obs: FloatArray  # [n, S] to act on next: of the new episode where one ended
    final_obs: FloatArray  # [n, S] that the action led to
    reward: NDArray[np.float64]  # [n]
    cost: NDArray[np.float64]  # [n]
    terminated: NDArray[np.bool_]  # [n]
    truncated: NDArray[np.bool_]  # [n]
    episode: NDArray[np.int64]  # [n]

    @staticmethod
    def nbytes(n: int, sizes: Sizes) -> int:
        return sum(-(-width * n // 64) * 64 for width in _widths(sizes).values())

    @classmethod
    def over(cls, memory: Any, n: int, sizes: Sizes) -> Board:
        """The arrays laid over `memory`, a buffer of at least nbytes(n, sizes), each at a multiple of 64 bytes."""
        arrays, offset = {}, 0
        for name, width in _widths(sizes).items():
            kind, shape = _FIELDS[name], (n, width // np.dtype(_FIELDS[name]).itemsize)
            array: NDArray[Any] = np.ndarray(shape, kind, memory, offset)
            arrays[name] = array if name in ("action", "obs", "final_obs") else array[:, 0]
            offset += -(-width * n // 64) * 64
        return cls(**arrays)


_FIELDS: dict[str, Any] = {
    "action": np.float32,
    "held": np.bool_,
    "obs": np.float32,
    "final_obs": np.float32,
    "reward": np.float64,
    "cost": np.float64,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode": np.int64,
}


def _widths(sizes: Sizes) -> dict[str, int]:
    """Bytes that one environment takes of each array."""
    columns = {"action": sizes.act_dim, "obs": sizes.obs_dim, "final_obs": sizes.obs_dim}
    return {name: np.dtype(kind).itemsize * columns.get(name, 1) for name, kind in _FIELDS.items()}


class Group:
    """Environments first, first + 1, ... of a vector; everything it computes is written to its rows of the board."""

    def __init__(self, make: Callable[[], Single], count: int, first: int) -> None:
        self.envs = [make() for _ in range(count)]
        self.first = first
        self.seeds = [0] * count
        lead = self.envs[0]
        bounds = (lead.obs_low, lead.obs_high, lead.act_low, lead.act_high)
        self.sizes = Sizes(lead.obs_dim, lead.act_dim, lead.horizon, *bounds)

    def bind(self, memory: Any, n: int) -> None:
        """Write from now on to the board laid over `memory`, a buffer or the path of a file that holds one."""
        if isinstance(memory, str):
            memory = np.memmap(memory, mode="r+")
        self.board = Board.over(memory, n, self.sizes)

    def reset(self, seeds: Sequence[int] | None = None) -> None:
        """Begin episode 0 under new seeds (this group's share), or the next episode under the old ones."""
        if seeds is not None:
            self.seeds = list(seeds)
        for row, _ in self._rows():
            self._begin(row, 0 if seeds is not None else int(self.board.episode[row]) + 1)

    def step(self) -> None:
        """Step every environment with its row of the board's actions; where an episode ends, begin the next."""
        board = self.board
        for row, env in self._rows():
            stays = Step(board.obs[row], 0.0, 0.0, False, False) if board.held[row] else None
            result = stays or env.step(board.action[row])
            board.final_obs[row] = result.obs
            board.reward[row] = result.reward
            board.cost[row] = result.cost
            board.terminated[row] = result.terminated
            board.truncated[row] = result.truncated
            if result.terminated or result.truncated:
                self._begin(row, int(board.episode[row]) + 1)
            else:
                board.obs[row] = result.obs

    def start(self) -> None:
        """All of a step; nothing goes on by itself here."""
        self.step()

    def finish(self) -> None:
        """Nothing to wait for."""

    def replay(self, seeds: Sequence[int], episodes: Sequence[int], actions: Sequence[FloatArray]) -> list[bool]:
        """Live through `actions` [T_i, A] again; True where that led to the observations now on the board, bit for bit.

        An environment that does not come back begins a new episode.
        """
        self.seeds = list(seeds)
        came_back = []
        for (row, env), episode, past in zip(self._rows(), episodes, actions, strict=True):
            wanted = self.board.obs[row].tobytes()
            self._begin(row, episode)
            obs, ended = self.board.obs[row], False
            for action in past:
                if ended:
                    break
                result = env.step(action)
                obs, ended = result.obs, result.terminated or result.truncated
            same = not ended and obs.tobytes() == wanted
            if same:
                self.board.obs[row] = obs
            else:
                self._begin(row, episode + 1)
            came_back.append(same)
        return came_back

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _rows(self) -> list[tuple[int, Single]]:
        return list(enumerate(self.envs, self.first))

    def _begin(self, row: int, episode: int) -> None:
        """Reset one environment to the start of `episode`."""
        index = row - self.first
        self.board.episode[row] = episode
        self.board.obs[row] = self.envs[index].reset(episode_seed(self.seeds[index], episode))


class InProcess:
    """A group in this process behind the orders and answers of a worker."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self._answer: Any = group.sizes
        self._started = False

    def order(self, method: str, *args: Any) -> None:
        """ "step" only starts a step, "run" does all of it; other orders are the group's methods."""
        self._started = method == "step"
        self._answer = getattr(self.group, {"step": "start", "run": "step"}.get(method, method))(*args)

    def answer(self) -> Any:
        """What the last order came to; of a step that was started, the end."""
        if self._started:
            self._started = False
            self.group.finish()
        return self._answer

    def join(self) -> None:
        """Nothing to wait for."""
