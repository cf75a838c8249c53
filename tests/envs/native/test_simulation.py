"""The threads do each piece of work once, and say what went wrong."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac.envs.native.simulation import Pool


@given(st.integers(1, 9), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_a_pool_does_each_piece_once(n: int, workers: int) -> None:
    done = np.zeros(n, int)

    def work(first: int, last: int) -> None:
        done[first:last] += 1

    pool = Pool(work, n, workers)
    pool.run()
    pool.start()
    pool.wait()
    pool.close()
    assert (done == 2).all()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_goes_wrong_in_a_thread_is_raised_here(workers: int) -> None:
    def work(first: int, last: int) -> None:
        raise ArithmeticError("broken")

    pool = Pool(work, 4, workers)
    with pytest.raises(ArithmeticError):
        pool.run()
    with pytest.raises(ArithmeticError):
        pool.start()
        pool.wait()
    pool.close()


def test_what_is_left_of_an_interrupted_call_is_done_before_the_next() -> None:
    go, done = threading.Event(), []

    def work(first: int, last: int) -> None:
        if first:
            go.wait(10)
        done.append(first)

    pool = Pool(work, 2, 2)
    pool.start()  # and an interrupt comes before `wait`
    go.set()
    pool.run()
    assert sorted(done) == [0, 0, 1, 1]
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.run()
