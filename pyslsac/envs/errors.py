"""What may go wrong with a task, in three classes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TaskError(ValueError):
    """The task cannot be made or cannot be trained on: unknown name, missing package, discrete actions, no cost."""


class WorkerError(RuntimeError):
    """An environment raised inside a worker process; the message ends with the traceback from there."""


class WorkerDied(WorkerError):
    """A worker process ended by itself, so its environments are gone."""


def close_matches(name: str, known: Iterable[str]) -> str:
    """The known names that look like `name`, as a remark to put behind an error, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=4, cutoff=0.7)
    return f" (close to it: {', '.join(matches)})" if matches else ""
