"""Sweeps: every cell of a grid of algorithms, tasks, variants and seeds, on this machine's cores or on a Ray cluster.

A sweep keeps no record of its own. What is finished, what goes on and what begins is read from the run folders, so that
a sweep that was killed is started again by the same command.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from pyslsac.experiments.board import Board
from pyslsac.experiments.cell import Cell, start, stop
from pyslsac.experiments.grid import PAPER, Plan, plan
from pyslsac.train.errors import Interrupted
from pyslsac.train.interrupt import SignalWatch

POLL = 0.1  # seconds


def sweep(
    name: str,
    *,
    engine: str = "local",
    jobs: int | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    console: Console | None = None,
) -> int:
    """Train what is not finished of the sweep in file `name`; 1 where a cell failed, else 0.

    `jobs` cells train at a time: 1 if not said otherwise, with "ray" as many as the cluster has room for. ValueError is
    raised before anything trains; `Interrupted` on Ctrl-C and SIGTERM, when every cell has saved a checkpoint.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs: got {jobs}, wanted at least 1")
    planned = plan_apart(name, out)
    board = Board(planned.cells, console or Console())
    if dry_run:
        board.report()
        return 0
    watch = SignalWatch()
    with board:
        if board.open and engine == "ray":
            run_on_ray(planned, jobs, board, watch)
        elif board.open:
            run_here(planned, jobs or 1, board, watch)
    board.report()
    if watch.signum is not None:
        word = signal.Signals(watch.signum).name
        raise Interrupted(watch.signum, f"{word}: the cells are saved; the same command goes on with them")
    board.console.print(f"Tables: pyslsac report {planned.out}", soft_wrap=True, highlight=False, markup=False)
    return int(bool(board.open or board.failures))


def plan_apart(name: str, out: Path | None) -> Plan:
    """`plan` in a process of its own: it needs torch, which this one then does not hold for as long as it waits."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(plan, name, out).result()


def run_here(planned: Plan, jobs: int, board: Board, watch: SignalWatch) -> None:
    """Train the open cells, `jobs` at a time: they share the cores, and take the GPUs in turn."""
    threads = max(1, cores() // jobs)
    waiting = deque(board.open)
    running: dict[int, tuple[Cell, subprocess.Popen[bytes]]] = {}
    try:
        with watch:
            while (waiting and watch.signum is None) or running:
                free = [slot for slot in range(jobs) if slot not in running and watch.signum is None]
                for slot in free[: len(waiting)]:
                    cell = waiting.popleft()
                    try:
                        running[slot] = cell, start(cell, threads, gpu_of(slot, planned.devices))
                    except BlockingIOError:  # another sweep's process trains it, or is still saving it
                        waiting.append(cell)
                    except OSError as error:
                        board.ended(cell, 1, str(error))
                time.sleep(POLL)
                for slot, (cell, process) in list(running.items()):
                    if watch.signum is not None:
                        stop(process)
                    if process.poll() is not None:
                        board.ended(cell, process.returncode)
                        del running[slot]
                board.refresh()
    finally:  # a second signal does not wait
        for _, process in running.values():
            process.kill()


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_of(slot: int, devices: int) -> dict[str, str]:
    """The environment that shows the processes of one slot one of several GPUs."""
    if devices < 2:
        return {}
    shown = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(devices)))
    return {"CUDA_VISIBLE_DEVICES": shown.split(",")[slot % devices]}


def run_on_ray(planned: Plan, jobs: int | None, board: Board, watch: SignalWatch) -> None:
    try:
        ray = importlib.import_module("pyslsac.experiments.ray")
    except ModuleNotFoundError as error:
        raise ValueError("--engine ray needs Ray, which is not there: pip install 'pyslsac[ray]'") from error
    ray.run(planned, jobs, board, watch)


def paper_sweeps() -> dict[str, str]:
    """The paper's experiments that come with the package, and the first line of each."""
    files: Sequence[Path] = sorted(PAPER.glob("*.yaml"))
    return {path.stem: path.read_text().split("\n")[0].removeprefix("# ") for path in files}
