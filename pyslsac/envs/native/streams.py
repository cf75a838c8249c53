"""Random numbers that depend on names alone: one Philox stream per (seed, episode, draw) of an environment.

Philox is a counter-based generator (Salmon et al. 2011): its key is the environment's seed, its 256-bit counter starts
at (0, draw, episode, 0), and a draw may take 2^64 blocks. So no number depends on how many environments there are, on
threads, or on what other environments drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_WORD = 2**64 - 1


class Streams:
    """A generator for each of n environments, put at the start of a draw by `next`."""

    def __init__(self, n: int) -> None:
        self.seeds = [0] * n
        self.episode = np.zeros(n, np.int64)  # [n]
        self.draw = np.zeros(n, np.int64)  # [n] the number of the next one in the episode
        self._philox = [np.random.Philox(key=0) for _ in range(n)]
        self._generators = [np.random.Generator(philox) for philox in self._philox]
        self._state: Any = np.random.Philox(key=0).state

    def begin(self, rows: Sequence[int], seeds: Sequence[int], episodes: Sequence[int]) -> None:
        """Name the episodes that environments `rows` [m] are in from now on."""
        for row, seed, episode in zip(rows, seeds, episodes, strict=True):
            self.seeds[row] = int(seed)
            self.episode[row] = episode
            self.draw[row] = 0

    def next(self, rows: Sequence[int]) -> list[np.random.Generator]:
        """The generators of `rows` [m], each at the start of its episode's next draw."""
        names = self._state["state"]
        for row in rows:
            seed = self.seeds[row]
            names["key"][:] = seed & _WORD, (seed >> 64) & _WORD
            names["counter"][:] = 0, self.draw[row], self.episode[row], 0
            self._philox[row].state = self._state
            self.draw[row] += 1
        return [self._generators[row] for row in rows]
