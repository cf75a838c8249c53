"""A process that runs a group of environments, and the parent's handle on it.

Orders are one short message each over a pipe; the numbers travel through shared memory. A worker uses one thread,
leaves Ctrl-C and SIGTERM to its parent (which may want to save first), and ends when its parent does.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from pyslsac.envs.errors import TaskError, WorkerDied, WorkerError
from pyslsac.envs.group import Group
from pyslsac.envs.single import Single

_STEP, _DONE = b"s", b""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_FOR_THE_PARENT = {signal.SIGINT, signal.SIGTERM}


class Worker:
    """A started process with environments first .. first + count - 1; `make` is called in it, once for each."""

    def __init__(self, make: Callable[[], Single], first: int, count: int) -> None:
        import cloudpickle

        last = first + count - 1
        self.name = f"environment {first}" if count == 1 else f"environments {first} to {last}"
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, cloudpickle.dumps(make), first, count), daemon=True)
        with _fit_for_workers():
            self.process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def order(self, method: str, *args: Any) -> None:
        """Order a call of one of the group's methods; `answer` waits for its result."""
        message = _STEP if method in ("step", "run") else pickle.dumps((method, args))
        with suppress(OSError):  # a dead worker's answer tells
            self.pipe.send_bytes(message)

    def answer(self) -> Any:
        """What the last order came to. Raises what it raised, and WorkerDied when the process has ended."""
        try:
            message = self.pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._death() from None
        result = None if message == _DONE else pickle.loads(message)
        if isinstance(result, Exception):
            raise result
        return result

    def join(self) -> None:
        """After the order to close: wait until the process has ended; after three seconds it is killed."""
        self.process.join(3.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def _death(self) -> WorkerDied:
        self.process.join(5.0)
        code = self.process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return WorkerDied(f"the worker process of {self.name} ended {how}; the state of these environments is lost")


def _serve(pipe: Connection, make: bytes, first: int, count: int) -> None:
    """A worker's life: make the environments, say their sizes, then follow orders until `close` or the pipe's end."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        try:
            group = Group(pickle.loads(make), count, first)
        except Exception as error:
            pipe.send_bytes(pickle.dumps(_portable(error)))
            return
        pipe.send_bytes(pickle.dumps(group.sizes))
        method = ""
        while method != "close":
            message = pipe.recv_bytes()
            method, args = ("step", ()) if message == _STEP else pickle.loads(message)
            try:
                result = getattr(group, method)(*args)
            except Exception as error:
                result = _portable(error)
            pipe.send_bytes(_DONE if result is None else pickle.dumps(result))


def _portable(error: Exception) -> Exception:
    """The error as the parent shall raise it: a TaskError as it is, others as text with the traceback."""
    if isinstance(error, TaskError):
        return error
    return WorkerError(f"{type(error).__name__} in an environment: {error}\n{traceback.format_exc()}")


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _fit_for_workers() -> Iterator[None]:
    """What a process started meanwhile inherits: one thread, signals blocked, and nothing of the script that runs here.

    Without the script's name the new process does not import it, so a script needs no `if __name__ == "__main__"`.
    """
    resource_tracker.ensure_running()  # its start would unblock the signals again
    threads = {name: os.environ.get(name) for name in _ONE_THREAD}
    script = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        os.environ.update(_ONE_THREAD)
        script.update(dict.fromkeys(hidden))
        yield
    finally:
        script.update(hidden)
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
