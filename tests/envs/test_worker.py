"""Worker processes: their errors arrive, their deaths are told, signals pass them by, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pyslsac.envs import TaskError, WorkerDied, WorkerError, make_vec
from tests.envs.tiny_task import Tiny

ROOT = Path(__file__).resolve().parents[2]
REST = np.zeros((3, 2), np.float32)


def test_a_killed_worker_is_told_at_once_with_its_environments() -> None:
    venv = make_vec(Tiny, 3, horizon=9, workers=2)
    venv.reset()
    victim = venv._crew[1].process
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="the worker process of environments 1 to 2 ended by SIGKILL"):
        for _ in range(2):
            venv.step(REST)
    assert venv.closed and not any(worker.process.is_alive() for worker in venv._crew)


def test_a_worker_that_dies_within_a_step_is_told() -> None:
    venv = make_vec(Tiny, 1, horizon=9, workers=1, mishap="die")
    venv.reset()
    with pytest.raises(WorkerDied, match="environment 0 ended by SIGKILL"):
        venv.step(REST[:1])


def test_an_environment_that_raises_is_told_with_its_traceback() -> None:
    venv = make_vec(Tiny, 1, horizon=9, workers=1, mishap="raise")
    venv.reset()
    with pytest.raises(WorkerError, match=r"ArithmeticError in an environment: the tiny world broke\n(.|\n)*step"):
        venv.step(REST[:1])
    assert venv.closed


def test_a_task_error_keeps_its_kind_across_processes() -> None:
    venv = make_vec(Tiny, 1, horizon=9, workers=1, cost_key="pain")
    venv.reset()
    with pytest.raises(TaskError, match="no cost under 'pain'"):
        venv.step(REST[:1])
    with pytest.raises(TaskError, match="no time limit"):
        make_vec(Tiny, 1, workers=1)


def test_a_worker_uses_one_thread_and_leaves_signals_to_its_parent() -> None:
    venv = make_vec(Tiny, 3, horizon=9, workers=1)
    start = venv.reset()[0]
    pid = venv._crew[0].process.pid
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    environment = Path(f"/proc/{pid}/environ").read_bytes() if Path("/proc/self/environ").exists() else None
    assert environment is None or b"OMP_NUM_THREADS=1\0" in environment
    np.testing.assert_array_equal(venv.reset(seed=0)[0], start)
    venv.close()
    assert venv._crew[0].process.exitcode == 0


def test_starting_workers_leaves_this_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    main, mask = vars(sys.modules["__main__"]).copy(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    make_vec(Tiny, 1, horizon=9, workers=1).close()
    assert os.environ["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in os.environ
    assert vars(sys.modules["__main__"]) == main and signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


ORPHANS = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pyslsac.envs import make_vec
from tests.envs.tiny_task import Tiny
venv = make_vec(Tiny, 2, horizon=9, workers=2)
venv.reset()
print(*[worker.process.pid for worker in venv._crew], flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit", "venv.step_async([[0, 0]] * 2)"]
)
def test_no_worker_outlives_its_parent(end: str) -> None:
    script = ORPHANS.format(root=str(ROOT), end=end)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and "leaked" not in done.stderr, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.05)
