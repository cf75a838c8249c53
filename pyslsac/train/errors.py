"""How training may end before its time."""

from __future__ import annotations


class CheckpointError(RuntimeError):
    """No checkpoint could be written, or none could be read."""


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says why and what was kept."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by signal `signum`, after a checkpoint was saved; the message says how to go on."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum
