"""A cell of a sweep: what it trains, how its files say it stands, and the process that trains it.

The process is this file, run with the cell as JSON. It stops, after a checkpoint, when its standard input ends: because
the sweep closed it, or because the sweep is no more. It holds a lock on its log, so no two train one cell at a time.
"""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyslsac.train.settings import FILE, seed_folder

ENDED = ("finished", "failed")


@dataclass(frozen=True)
class Progress:
    """How a cell stands: waiting, begun, finished or failed; the numbers are means over its seeds."""

    state: str
    steps: float = 0.0
    seconds: float = 0.0  # of training so far
    episode_return: float = math.nan  # of the last training episodes; of the last evaluation once it has finished
    episode_cost: float = math.nan
    failure: str = ""


@dataclass(frozen=True)
class Cell:
    """An algorithm on a task with its options; all `seeds` train in lockstep in one process, into out/seed-*."""

    name: str
    algo: str
    task: str
    seeds: list[int]
    out: Path
    log: Path
    steps: int
    options: dict[str, Any]  # further arguments of `train`
    wandb: bool = False

    @property
    def folders(self) -> list[Path]:
        return [seed_folder(self.out, seed) for seed in self.seeds]

    @property
    def begun(self) -> bool:
        return any((folder / FILE).is_file() for folder in self.folders)

    def progress(self) -> Progress:
        """How the files say it stands."""
        if not self.begun:
            return Progress("waiting")
        records = [_record(folder) for folder in self.folders]
        states = [record.get("status", "") for record in records]
        done = all(state in ENDED for state in states)
        state = ("failed" if "failed" in states else "finished") if done else "begun"
        rows = [row for folder in self.folders if (row := _last_row(folder / "progress.csv"))]
        source = "Metrics/Test" if state == "finished" else "Metrics/"
        broken = [
            f"seed {s}: {r['failure']['reason']}" for s, r in zip(self.seeds, records, strict=True) if r.get("failure")
        ]
        return Progress(
            state,
            _mean(rows, "TotalEnvSteps", 0.0),
            _mean(rows, "Time/Total", 0.0),
            _mean(rows, f"{source}EpRet"),
            _mean(rows, f"{source}EpCost"),
            "; ".join(broken),
        )

    def arguments(self) -> dict[str, Any]:
        """What `train` is called with: to go on with what there is, or to begin."""
        if self.begun:
            alone = len(self.seeds) == 1  # other seeds beside it may be cells of their own
            return {"resume": self.folders[0] if alone else self.out, "wandb": self.wandb}
        named = {"algo": self.algo, "task": self.task, "seeds": self.seeds, "out": self.out, "steps": self.steps}
        agent = {name: tuple(v) if isinstance(v, list) else v for name, v in self.options["agent"].items()}
        return named | {"wandb": self.wandb} | self.options | {"agent": agent}


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "environment.json"
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content


def _last_row(path: Path) -> dict[str, str]:
    """The newest row of a log; nothing where there is none, or while it is being written anew."""
    with suppress(OSError), path.open(newline="") as file:
        return next(reversed(list(csv.DictReader(file))), {})
    return {}


def _mean(rows: list[dict[str, str]], column: str, missing: float = math.nan) -> float:
    """The mean of a column over the rows that have it; a line that is being written may lack its last cells."""
    values = []
    for row in rows:
        with suppress(ValueError):
            values.append(float(row.get(column) or ""))
    return sum(values) / len(values) if values else missing


def start(cell: Cell, threads: int, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """The process that trains `cell`; BlockingIOError while another one does. Its log grows at cell.log."""
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    options = {"threads": threads} | cell.options
    content = dataclasses.asdict(dataclasses.replace(cell, options=options))
    told = json.dumps({"cell": content, "command": [Path(sys.argv[0]).name, *sys.argv[1:]]}, default=str)
    with cell.log.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # passes to the process, with the open file
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise  # else the file system has no locks
        return subprocess.Popen(
            [sys.executable, "-m", "pyslsac.experiments.cell", told],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(options["threads"])} | (environment or {}),
            start_new_session=True,  # a terminal's Ctrl-C is for the sweep, which then tells its cells
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Tell a cell's process to save and end; it may take a while."""
    assert process.stdin is not None
    process.stdin.close()


def reason(cell: Cell, code: int) -> str:
    """Why the process of `cell` ended with an exit code other than 0, in a line."""
    if said := cell.progress().failure:
        return said
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = cell.log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")


def main() -> int:
    """Train the cell that the command line holds; returns the exit code, as `pyslsac train` does."""
    told = json.loads(sys.argv[1])
    content = told["cell"]
    cell = Cell(**content | {"out": Path(content["out"]), "log": Path(content["log"])})
    sys.argv = told["command"]  # what a person would type again
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    if cell.progress().state in ENDED:  # another sweep has been here
        return int(cell.progress().state == "failed")

    from pyslsac.train.errors import Interrupted
    from pyslsac.train.run import train

    try:
        return int(not train(**cell.arguments()).finished)
    except Interrupted as stopped:
        print(stopped)
        return 128 + stopped.signum


def _stop_at_end_of_input() -> None:
    """SIGTERM for this process once its input has ended, when it can be heard: before, no training has begun.

    A process that has been told already, by whoever else, is left to its saving: it listens no more.
    """
    while os.read(0, 1):
        pass
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
