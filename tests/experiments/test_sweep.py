"""Sweeps on this machine: killed and started again they end as if nothing had happened."""

import os
import signal
from pathlib import Path

from tests.experiments.toy_sweep import CELLS, assert_same, begin, reference, statuses, wait_for, write


def children(process) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_killed_twice_it_ends_as_if_it_had_not_been(tmp_path):
    """Once by SIGTERM; once by SIGKILL, with one of its cells, while the other cell's process finds itself alone."""
    file, out = write(tmp_path / "toy.yaml"), tmp_path / "out"

    first = begin(file, "--out", out)
    wait_for(lambda: list(out.rglob("progress.csv")))
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=900)
    assert first.returncode == 143, said
    assert "SIGTERM: the cells are saved; the same command goes on with them" in said and "Traceback" not in said
    left = list(statuses(out).values())
    assert "running" not in left and left.count("finished") < 8  # a cell that the signal reached too late has ended

    whole = reference(file, tmp_path / "whole")  # meanwhile nothing runs
    second = begin(file, "--out", out, "--jobs", 2)
    wait_for(lambda: "running" in statuses(out).values())
    second.send_signal(signal.SIGSTOP)
    killed, *_ = children(second)
    os.kill(killed, signal.SIGKILL)
    second.kill()
    second.communicate()
    assert set(statuses(out).values()) != {"finished"}

    third = begin(file, "--out", out, "--jobs", 2)
    said, _ = third.communicate(timeout=900)
    assert third.returncode == 0, said
    assert all(f"{cell}: finished, return" in said for cell in CELLS[2:]) and f"pyslsac report {out}" in said
    assert_same(out, whole)
