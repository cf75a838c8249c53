"""n running MuJoCo simulations: the threads that step them, and their arrays side by side.

Each environment keeps one MjData for life, so that the solver's warm start carries over from step to step. `mj_step`
releases the interpreter's lock, so a few Python threads, each with a contiguous slice of the environments, use as many
cores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Field:
    """One float64 array of every MjData, in this moment's values."""

    def __init__(self, views: Sequence[Array]) -> None:
        self._views = [view.reshape(-1) for view in views]  # views still: MuJoCo's arrays are contiguous
        self.width = self._views[0].size

    def all(self) -> Array:
        """A copy [n, width]."""
        return np.concatenate(self._views).reshape(-1, self.width)

    def of(self, rows: Sequence[int]) -> Array:
        """A copy [m, width] of some."""
        return np.concatenate([self._views[row] for row in rows]).reshape(-1, self.width)

    def write(self, values: Any, rows: Sequence[int] | None = None) -> None:
        """Set every environment's array, or those of `rows`, from values [n or m, width]."""
        for view, value in zip(self._views if rows is None else [self._views[r] for r in rows], values, strict=True):
            view[:] = value


class Pool:
    """`workers` threads that call work(first, last), each for its own slice of range(n); 0: the caller does it all."""

    def __init__(self, work: Callable[[int, int], None], n: int, workers: int) -> None:
        shares = max(1, min(workers, n))
        self._work = work
        self._slices = [(n * w // shares, n * (w + 1) // shares) for w in range(shares)]
        self._orders: list[SimpleQueue[tuple[int, int] | None]] = [SimpleQueue() for _ in range(min(workers, shares))]
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        for orders in self._orders:
            threading.Thread(target=_serve, args=(work, orders, self._answers), daemon=True).start()
        self._owed = 0

    def start(self) -> None:
        """Begin the work; without threads it is also done."""
        if not self._orders:
            self._work(*self._slices[0])
        for orders, part in zip(self._orders, self._slices, strict=False):
            orders.put(part)
        self._owed = len(self._orders)

    def wait(self) -> None:
        """Return when all is done. Raises what the work raised."""
        errors = [self._answers.get() for _ in range(self._owed)]
        self._owed = 0
        for error in errors:
            if error is not None:
                raise error

    def run(self) -> None:
        """start and wait in one; the caller takes the first slice itself, which spares a thread's waking up."""
        for orders, part in zip(self._orders[1:], self._slices[1:], strict=True):
            orders.put(part)
        self._owed = max(0, len(self._orders) - 1)
        try:
            self._work(*self._slices[0])
        finally:
            self.wait()

    def close(self) -> None:
        """End the threads."""
        for orders in self._orders:
            orders.put(None)
        self._orders = []


def _serve(work: Callable[[int, int], None], orders: Any, answers: Any) -> None:
    while (part := orders.get()) is not None:
        try:
            work(*part)
            answers.put(None)
        except BaseException as error:  # the caller's `wait` raises it
            answers.put(error)
