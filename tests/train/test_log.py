"""The log: known columns only, rows that widen and are cut, TensorBoard beside it, Weights & Biases when asked."""

import csv
import math
import re
import sys
import types

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pyslsac.agents import AGENTS
from pyslsac.train.log import COLUMNS, RunLog
from tests.train.tiny_run import tiny_run


def read(folder):
    with (folder / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def row(step, **values):
    return {"TotalEnvSteps": step, **{name.replace("__", "/"): value for name, value in values.items()}}


def test_unknown_columns_are_refused(tmp_path):
    log = RunLog(tmp_path)
    with pytest.raises(ValueError, match=r"unknown log columns \['Loss/made_up'\]: give each a meaning"):
        log.write(row(1, Loss__made_up=1.0))
    log.close()


def test_every_column_an_agent_names_has_a_meaning():
    for agent, _ in AGENTS.values():
        logged = re.findall(r"[A-Z]\w+/\w+", (sys.modules[agent.__module__].__doc__ or "").partition("Logged:")[2])
        assert logged and not set(logged) - COLUMNS.keys()


def test_rows_widen_and_keep_every_bit(tmp_path):
    log = RunLog(tmp_path)
    log.write(row(20, Metrics__EpRet=0.1 + 0.2, Metrics__EpCost=math.nan))
    log.write(row(40, Metrics__EpRet=-1e-300, Loss__Loss_pi=3.0))
    log.write(row(60, Metrics__EpRet=7.0))
    log.close()
    rows = read(tmp_path)
    assert list(rows[0]) == ["TotalEnvSteps", "Metrics/EpRet", "Loss/Loss_pi"]
    assert [r["Loss/Loss_pi"] for r in rows] == ["", "3.0", ""]
    assert float(rows[0]["Metrics/EpRet"]) == 0.1 + 0.2 and float(rows[1]["Metrics/EpRet"]) == -1e-300


def test_a_resumed_log_drops_what_came_after(tmp_path):
    log = RunLog(tmp_path)
    for step in (20, 40, 60):
        log.write(row(step, Metrics__EpRet=float(step)))
    log.close()
    log = RunLog(tmp_path, rows=1, env_steps=20)
    assert [r["TotalEnvSteps"] for r in read(tmp_path)] == ["20"]
    log.write(row(40, Metrics__EpRet=-40.0))
    log.close()
    assert [r["Metrics/EpRet"] for r in read(tmp_path)] == ["20.0", "-40.0"]
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("Metrics/EpRet")] == [(20, 20.0), (40, -40.0)]


def test_a_log_cut_short_is_said(tmp_path):
    log = RunLog(tmp_path)
    log.write(row(20, Metrics__EpRet=1.0))
    log.close()
    with pytest.warns(UserWarning, match="has 1 rows, the checkpoint was made after 2"):
        RunLog(tmp_path, rows=2, env_steps=40).close()


def test_weights_and_biases_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        tiny_run(tmp_path / "run", wandb=True)
    assert not (tmp_path / "run").exists()


def test_weights_and_biases_gets_the_rows(tmp_path, monkeypatch):
    calls = []

    class Run:
        def log(self, values, step):
            calls.append((step, values))

        def finish(self):
            calls.append("finish")

    def init(**account):
        calls.append(account)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    log = RunLog(tmp_path, wandb={"project": "p", "id": "x"})
    log.write(row(20, Metrics__EpRet=1.0, Metrics__EpCost=math.nan))
    log.close()
    assert calls == [
        {"dir": str(tmp_path), "project": "p", "id": "x"},
        (20, {"TotalEnvSteps": 20, "Metrics/EpRet": 1.0}),
        "finish",
    ]
