"""The cells of a sweep on a Ray cluster: a task each, which a lost node sends elsewhere, where its run folder goes on.

Ray starts the same process as a sweep on one machine does, on the node where there is room, and tells how it ended.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import Any

import ray
from ray.exceptions import RayError

from pyslsac.experiments.board import Board
from pyslsac.experiments.cell import Cell, start, stop
from pyslsac.experiments.grid import Plan
from pyslsac.train.interrupt import SignalWatch

RETRIES = 10  # times that a cell's node may be lost
POLL = 0.2  # seconds


def train_cell(cell: Cell, threads: int, environment: dict[str, str]) -> int:
    """Train `cell` in a process on this node; its exit code. Cancelling the task has it save first."""
    while True:
        try:
            process = start(cell, threads, environment)
            break
        except BlockingIOError:  # the process of a lost worker is still saving
            time.sleep(POLL)
    try:
        while process.poll() is None:
            time.sleep(POLL)
    finally:
        stop(process)
        process.wait()
    return process.returncode


def run(planned: Plan, jobs: int | None, board: Board, watch: SignalWatch) -> None:
    """Train the open cells on the cluster of RAY_ADDRESS, on that of this machine, or on one started for them."""
    ray.init(log_to_driver=False, logging_level=logging.WARNING)  # takes SIGTERM for itself: watch afterwards
    try:
        with watch:
            _run(planned, jobs, board, watch)
    finally:
        ray.shutdown()


def _run(planned: Plan, jobs: int | None, board: Board, watch: SignalWatch) -> None:
    waiting, running = deque(board.open), dict[Any, Cell]()
    needs = {cell.name: resources(cell, planned.gpus) for cell in waiting}
    passed = {name: os.environ[name] for name in ("GOMP_SPINCOUNT",) if name in os.environ}
    remote, told = ray.remote(max_retries=RETRIES)(train_cell), False
    while (waiting and watch.signum is None) or running:
        while waiting and watch.signum is None and (jobs is None or len(running) < jobs):
            cell = waiting.popleft()
            placed = remote.options(name=cell.name, **needs[cell.name])
            running[placed.remote(cell, needs[cell.name]["num_cpus"], passed)] = cell
        ended, _ = ray.wait(list(running), timeout=POLL)
        if watch.signum is not None and not told:
            told = True
            for task in running:
                ray.cancel(task)
        for task in ended:
            _note(board, running.pop(task), task)
        board.refresh()


def _note(board: Board, cell: Cell, task: Any) -> None:
    try:
        board.ended(cell, ray.get(task))
    except ray.exceptions.TaskCancelledError:
        board.ended(cell, 143)
    except RayError as error:
        board.ended(cell, 1, str(error).strip().split("\n")[-1])


def resources(cell: Cell, gpus: float) -> dict[str, Any]:
    """What a cell asks of its node: its threads, and a share of a GPU where it trains on one. Not a certain one."""
    device = cell.options.get("device", "auto")
    if ":" in device:
        raise ValueError(f"{cell.name}: device is {device}, wanted cuda: Ray picks the GPU")
    on_gpu = device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    return {"num_cpus": cell.options.get("threads", 1), "num_gpus": gpus if on_gpu else 0}
