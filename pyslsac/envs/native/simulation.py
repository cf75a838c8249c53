"""n running MuJoCo simulations: the threads that step them, and their arrays side by side.

Each environment keeps one MjData for life, so that the solver's warm start carries over from step to step. `mj_step`
releases the interpreter's lock, so a few Python threads use as many cores.
"""

from __future__ import annotations

import inspect
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PIECES = 4  # for each thread


class Field:
    """One float64 array of every MjData, in this moment's values; or several, side by side, which are only read."""

    def __init__(self, *arrays: Sequence[Array]) -> None:
        own = zip(*arrays, strict=True)
        self._views = [view.reshape(-1) for views in own for view in views]  # views still: MuJoCo's are contiguous
        edges = np.cumsum([0, *(views[0].size for views in arrays)]).tolist()
        self.parts = [slice(*edge) for edge in itertools.pairwise(edges)]  # the columns of each array
        self.width = edges[-1]

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
    """`workers` threads that call work(first, last) for pieces of range(n), each piece once; 0: the caller does it all.

    Who is free takes the next piece, so nobody waits for a thread that is slow to wake up. The threads hold `work`
    weakly where it is a method, and end with the pool or the process.
    """

    def __init__(self, work: Callable[[int, int], None], n: int, workers: int) -> None:
        count = min(n, PIECES * max(1, workers))
        self._work = weakref.WeakMethod(work) if inspect.ismethod(work) else lambda: work
        self._pieces = [(n * i // count, n * (i + 1) // count) for i in range(count)]
        self._orders: list[SimpleQueue[Iterator[tuple[int, int]] | None]] = [SimpleQueue() for _ in range(workers)]
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._owed = 0  # pieces without an answer
        threads = [
            threading.Thread(target=_serve, args=(self._work, orders, self._answers), daemon=True)
            for orders in self._orders
        ]
        self._end = weakref.finalize(self, _end, self._orders, threads)
        for thread in threads:
            thread.start()

    def start(self) -> None:
        """Begin the work; without threads it is also done."""
        pieces = self._give(self._orders)
        if not self._orders:
            self._take(pieces)

    def run(self) -> None:
        """start and wait in one; the caller works too, in place of the first thread."""
        pieces = self._give(self._orders[1:])
        try:
            self._take(pieces)
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

    def _give(self, orders: Sequence[Any]) -> Iterator[tuple[int, int]]:
        """Hand the pieces, of which anyone takes the next, to threads. What an interrupted call left is done first."""
        if not self._end.alive:
            raise RuntimeError("the environments are closed")
        with suppress(Exception):
            self.wait()
        pieces = iter(self._pieces)
        self._owed = len(self._pieces)
        for order in orders:
            order.put(pieces)
        return pieces

    def _take(self, pieces: Iterator[tuple[int, int]]) -> None:
        """Work here while there are pieces; after an error nobody takes another."""
        work = self._work()
        assert work is not None
        try:
            for piece in pieces:
                self._owed -= 1
                work(*piece)
        except BaseException:
            self._owed -= len(list(pieces))
            raise


def _serve(work: Callable[[], Any], orders: Any, answers: Any) -> None:
    while (pieces := orders.get()) is not None:
        for piece in pieces:
            try:
                work()(*piece)
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
