"""n running MuJoCo simulations: the threads that step them, and their arrays side by side.

Each environment keeps one MjData for life, so that the solver's warm start carries over from step to step. `mj_step`
releases the interpreter's lock, so a few Python threads, each with a contiguous slice of the environments, use as many
cores.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
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
    """`workers` threads that call work(first, last), each for its own slice of range(n); 0: the caller does it all.

    They hold `work` weakly where it is a method, and end with the pool or the process.
    """

    def __init__(self, work: Callable[[int, int], None], n: int, workers: int) -> None:
        shares = max(1, min(workers, n))
        self._work = weakref.WeakMethod(work) if inspect.ismethod(work) else lambda: work
        self._slices = [(n * w // shares, n * (w + 1) // shares) for w in range(shares)]
        self._orders: list[SimpleQueue[tuple[int, int] | None]] = [SimpleQueue() for _ in range(min(workers, shares))]
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._owed = 0
        threads = [
            threading.Thread(target=_serve, args=(self._work, orders, self._answers), daemon=True)
            for orders in self._orders
        ]
        self._end = weakref.finalize(self, _end, self._orders, threads)
        for thread in threads:
            thread.start()

    def start(self) -> None:
        """Begin the work; without threads it is also done."""
        self._give(0)
        if not self._orders:
            self._own_share()

    def run(self) -> None:
        """start and wait in one; the caller takes the first slice itself, which spares a thread's waking up."""
        self._give(1)
        try:
            self._own_share()
        finally:
            self.wait()

    def wait(self) -> None:
        """Return when all is done. Raises what the work raised."""
        errors = []
        while self._owed:
            errors.append(self._answers.get())
            self._owed -= 1
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the threads, when they have done what they were given."""
        self._end()

    def _give(self, first: int) -> None:
        """Give out the slices from number `first` on. What an interrupted call left undone is done first."""
        if not self._end.alive:
            raise RuntimeError("the environments are closed")
        with suppress(Exception):
            self.wait()
        for orders, part in zip(self._orders[first:], self._slices[first:], strict=False):
            orders.put(part)
            self._owed += 1

    def _own_share(self) -> None:
        work = self._work()
        assert work is not None
        work(*self._slices[0])


def _serve(work: Callable[[], Any], orders: Any, answers: Any) -> None:
    while (part := orders.get()) is not None:
        try:
            work()(*part)
            answers.put(None)
        except BaseException as error:  # the caller's `wait` raises it
            answers.put(error)


def _end(orders: Sequence[Any], threads: Sequence[threading.Thread]) -> None:
    """Else a thread may be in the midst of physics when the interpreter goes down."""
    for order in orders:
        order.put(None)
    for thread in threads:
        if thread is not threading.current_thread():  # the last reference may go in one of them
            thread.join()
