"""Trainings in processes of their own that take turns: each trains for an epoch when asked, and says how long it took.

Only what any Python has is imported, for a side may be another project's.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Turns:
    """The training process's end: call it at the end of every epoch. What else it prints is dropped."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        self._wait()

    def __call__(self) -> None:
        print(time.perf_counter() - self.start, file=self.answers, flush=True)
        self._wait()

    def _wait(self) -> None:
        if not sys.stdin.readline():  # nobody asks any more
            sys.exit()
        self.start = time.perf_counter()


class Side:
    """The other end: starts `command`, and `turn` lets it train for an epoch."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def turn(self) -> float:
        """Seconds of the epoch; RuntimeError when the process is no more."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()} instead of an epoch")
        return float(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
