"""Free pages go back to the system."""

import ctypes
import os
import platform
from pathlib import Path

import pytest

from pyslsac.train import heap

BLOCKS, SIZE = 2_000, 100_000  # below the size from which glibc asks the system for each


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's heap")
def test_holes_are_given_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    blocks = [libc.malloc(ctypes.c_size_t(SIZE)) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, SIZE)
    for block in blocks[:-1]:  # the last one keeps the top of the heap where it is
        libc.free(ctypes.c_void_p(block))
    before = resident()
    heap.trim()
    assert before - resident() > BLOCKS * SIZE / 2
    libc.free(ctypes.c_void_p(blocks[-1]))


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    heap.trim()
