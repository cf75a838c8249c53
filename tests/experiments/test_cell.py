"""How a cell's files say it stands, and what its process is told."""

import json
import math
import time

import pytest

from pyslsac.experiments import cell as module
from pyslsac.experiments.cell import Cell, Progress, reason, start

ROW = "TotalEnvSteps,Time/Total,Metrics/EpRet,Metrics/EpCost,Metrics/TestEpRet,Metrics/TestEpCost\n"


@pytest.fixture
def cell(tmp_path) -> Cell:
    options = {"agent": {"betas": [0.5, 0.9]}, "num_envs": 2}
    return Cell(
        "a/b", "sl-sac", "pyslsac/Bandit-v0", [3, 4], tmp_path / "a/b", tmp_path / "logs/a--b.txt", 100, options
    )


def note(cell: Cell, seed: int, status: str, rows: str = "", failure: str | None = None) -> None:
    folder = cell.out / f"seed-{seed:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").touch()
    record = {"status": status, "failure": failure and {"reason": failure}}
    (folder / "environment.json").write_text(json.dumps(record))
    if rows:
        (folder / "progress.csv").write_text(ROW + rows)


def test_a_cell_waits_then_trains_then_has_finished(cell):
    assert cell.progress().state == "waiting"
    note(cell, 3, "running")
    assert cell.progress().state == "begun" and cell.progress().steps == 0
    note(cell, 3, "running", "20,1.5,3.0,7.0,,\n40,2.5,4.0,8.0,,\n")
    note(cell, 4, "running", "20,1.5,3.0,7.0,,\n40,2.5,6.0,9.0,,\n")
    assert cell.progress() == Progress("begun", 40.0, 2.5, 5.0, 8.5)
    note(cell, 3, "finished", "100,9.0,4.0,8.0,1.0,2.0\n")
    assert cell.progress().state == "begun"
    note(cell, 4, "finished", "100,9.0,4.0,8.0,3.0,4.0\n")
    assert cell.progress() == Progress("finished", 100.0, 9.0, 2.0, 3.0)


@pytest.mark.parametrize("status", ["interrupted", "broken off", "stopped", "running"])
def test_what_has_stopped_before_its_end_goes_on(cell, status):
    note(cell, 3, "finished")
    note(cell, 4, status)
    assert cell.progress().state == "begun"
    assert cell.arguments() == {"resume": cell.out, "wandb": False}


def test_a_seed_whose_numbers_were_lost_fails_the_cell(cell):
    note(cell, 3, "finished", "100,9.0,4.0,8.0,1.0,2.0\n")
    note(cell, 4, "failed", "60,9.0,4.0,8.0,,\n", failure="not finite by update 46: action")
    progress = cell.progress()
    assert (progress.state, progress.failure) == ("failed", "seed 4: not finite by update 46: action")
    assert reason(cell, 1) == progress.failure


def test_a_line_that_is_being_written_does_no_harm(cell):
    note(cell, 3, "running", "20,1.5,3.0,7.0,,\n40,2.")
    assert cell.progress().steps == 40 and math.isnan(cell.progress().episode_return)


def test_the_reason_of_a_failure_is_the_last_line_of_its_log(cell):
    cell.log.parent.mkdir()
    cell.log.write_text("Traceback\n  ...\nValueError: too hot\n\n")
    assert reason(cell, 1) == "ValueError: too hot"
    assert reason(cell, -9) == "killed by SIGKILL"


def test_a_new_cell_is_trained_with_what_the_file_says(cell):
    named = dict(algo="sl-sac", task="pyslsac/Bandit-v0", seeds=[3, 4], out=cell.out, steps=100, wandb=False)
    assert cell.arguments() == named | dict(agent={"betas": (0.5, 0.9)}, num_envs=2)


def test_one_process_at_a_time_holds_the_log_and_one_that_has_nothing_to_do_ends_at_once(cell, monkeypatch):
    note(cell, 3, "finished")
    note(cell, 4, "finished")
    monkeypatch.setattr(module.sys, "argv", ["somewhere/pyslsac", "sweep", "toy.yaml"])
    process = start(cell, 1)
    assert json.loads(process.args[-1])["command"] == ["pyslsac", "sweep", "toy.yaml"]
    with pytest.raises(BlockingIOError):
        start(cell, 1)
    began = time.monotonic()
    assert process.wait(60) == 0, cell.log.read_text()
    assert time.monotonic() - began < 60
    process.stdin.close()
    start(cell, 1).communicate(timeout=60)
