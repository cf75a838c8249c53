"""How cells share this machine: who starts when, who fails alone, what a signal does. Cells of a moment stand in."""

import fcntl
import io
import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from pyslsac.experiments import sweep as engine
from pyslsac.experiments.cell import Cell
from pyslsac.experiments.grid import Plan
from pyslsac.train.errors import Interrupted

STAND_IN = """
import json, os, sys, time
folder, act = sys.argv[1:]
if act == "fail":
    sys.exit("RuntimeError: the motor is on fire")
if act == "die":
    os.abort()
os.makedirs(folder)
open(folder + "/config.yaml", "w").close()
note = lambda status: open(folder + "/environment.json", "w").write(json.dumps({"status": status}))
if act == "stay":
    note("running")
    os.read(0, 1)
    note("interrupted")
    sys.exit(143)
time.sleep(0.3)
row = "TotalEnvSteps,Time/Total,Metrics/TestEpRet,Metrics/TestEpCost\\n100,2.0,7.5,1.25\\n"
open(folder + "/progress.csv", "w").write(row)
note("finished")
"""


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """`sweep` of cells that do as they are called, and what it started: name, process, how many beside it, threads."""
    real, begun = engine.start, []

    def popen(words, **options):
        told = {cell.name: cell for cell in cells}[next(name for name in names if f'"name": "{name}"' in words[-1])]
        return launch([sys.executable, "-c", STAND_IN, str(told.folders[0]), told.name.rpartition("-")[2]], **options)

    def start(cell, threads, environment):
        beside = sum(process.poll() is None for _, process, *_ in begun)
        process = real(cell, threads, environment)
        begun.append((cell.name, process, beside, threads))
        return process

    def run(*called, **options):
        names.extend(called)
        for name in called:
            cells.append(Cell(name, "algo", "task", [0], tmp_path / name, tmp_path / f"{name}.txt", 100, {"agent": {}}))
        monkeypatch.setattr(engine, "plan_apart", lambda name, out: Plan(cells, tmp_path, 1.0, 0))
        said = io.StringIO()
        try:
            return engine.sweep("file", console=Console(file=said, width=200), **options), said.getvalue()
        except Interrupted as stopped:
            return stopped, said.getvalue()

    names, cells, launch = [], [], subprocess.Popen
    monkeypatch.setattr(engine, "start", start)
    monkeypatch.setattr("pyslsac.experiments.cell.subprocess.Popen", popen)
    return run, begun


def test_a_failed_cell_never_stops_the_rest(stand_ins, tmp_path):
    run, begun = stand_ins
    code, said = run("a-fail", "b-work", "c-die", "d-work")
    assert code == 1 and [name for name, *_ in begun] == ["a-fail", "b-work", "c-die", "d-work"]
    assert f"a-fail failed: RuntimeError: the motor is on fire ({tmp_path / 'a-fail.txt'})" in said
    assert "c-die failed: killed by SIGABRT" in said
    assert "d-work: finished, return 7.5, cost 1.2" in said and "2 failed, 2 finished" in said
    assert f"Tables: pyslsac report {tmp_path}" in said


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_cells_as_jobs_share_the_cores(stand_ins, jobs):
    run, begun = stand_ins
    assert run("a-work", "b-work", "c-work", "d-work", jobs=jobs)[0] == 0
    assert [beside for *_, beside, _ in begun] == [0] * 4 if jobs == 1 else max(beside for *_, beside, _ in begun) == 1
    assert {threads for *_, threads in begun} == {max(1, len(os.sched_getaffinity(0)) // jobs)}


def test_what_is_finished_is_not_started_again(stand_ins):
    run, begun = stand_ins
    assert run("a-work", "b-fail")[0] == 1
    assert run()[0] == 1
    assert [name for name, *_ in begun] == ["a-work", "b-fail", "b-fail"]


def test_a_dry_run_starts_nothing(stand_ins, tmp_path):
    run, begun = stand_ins
    code, said = run("a-work", "b-work", dry_run=True)
    assert code == 0 and not begun and "2 waiting" in said and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="jobs: got 0"):
        run(jobs=0)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_cells_which_save_and_starts_no_more(stand_ins, signum):
    run, begun = stand_ins
    threading.Timer(1.0, os.kill, (os.getpid(), signum)).start()
    before = signal.getsignal(signum)
    stopped, said = run("a-stay", "b-stay", "c-work", jobs=2)
    assert isinstance(stopped, Interrupted) and stopped.signum == signum
    assert str(stopped) == f"{signum.name}: the cells are saved; the same command goes on with them"
    assert [(name, process.returncode) for name, process, *_ in begun] == [("a-stay", 143), ("b-stay", 143)]
    assert "2 interrupted, 1 waiting" in said and signal.getsignal(signum) is before


def test_a_cell_that_another_sweep_trains_waits_its_turn(stand_ins, tmp_path):
    run, begun = stand_ins
    with (tmp_path / "a-work.txt").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        release = threading.Timer(1.0, fcntl.flock, (log, fcntl.LOCK_UN))
        release.start()
        assert run("a-work", "b-work")[0] == 0
        release.join()
    assert [name for name, *_ in begun] == ["b-work", "a-work"]


def test_jobs_take_gpus_in_turn(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [engine.gpu_of(slot, 1) for slot in range(2)] == [{}, {}]
    assert [engine.gpu_of(slot, 2)["CUDA_VISIBLE_DEVICES"] for slot in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [engine.gpu_of(slot, 2)["CUDA_VISIBLE_DEVICES"] for slot in range(3)] == ["5", "7", "5"]


def test_the_sweep_itself_holds_no_torch(tmp_path):
    """Neither to plan nor to wait: the module, and a plan that is made elsewhere."""
    code = "import sys; from pyslsac.experiments.sweep import plan_apart\nif __name__ == '__main__':\n"
    code += " print(len(plan_apart('c2', None).cells), 'torch' in sys.modules)"
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"], done.stderr
