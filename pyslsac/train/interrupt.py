"""Ctrl-C and SIGTERM, noted when they come and answered when the loop stands between two vector steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalWatch:
    """Inside its `with` block the first signal only sets `signum`; a second one acts as ever. Main thread only."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            self.handlers = {which: signal.signal(which, self._note) for which in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore()

    def _restore(self) -> None:
        for which, handler in self.handlers.items():
            signal.signal(which, handler)
