"""Whole on-policy runs: what they leave behind, killed and interrupted ones that go on, a NaN, evaluation, plots."""

import json
import math
import os
import shutil
import signal

import numpy as np
import pytest
import torch

import pyslsac
from pyslsac.agents import CPO, PPOLag
from pyslsac.plots import find_runs
from pyslsac.train.checkpoint import read_latest
from pyslsac.train.errors import Interrupted, TrainingFailed
from pyslsac.train.policy import evaluate_run
from pyslsac.train.run import train
from tests.train.tiny_run import SETTINGS, TASK, assert_same_run, resume, rows

AGENT = dict(width=8, iterations=2, batch_size=16, steps_per_epoch=30, cost_limit=2.0)
CLASSES = {"ppo-lag": PPOLag, "cpo": CPO}


def tiny(algo, out, **changes):
    return train(algo, TASK, out=out, **SETTINGS | dict(seeds=[0], agent=AGENT) | changes)


@pytest.fixture(scope="module", params=CLASSES)
def whole(request, tmp_path_factory):
    return request.param, tiny(request.param, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_directory(whole, tmp_path):
    algo, result = whole
    seed = result.seeds[0]
    assert result.finished and seed.env_steps == 120 and seed.updates == 4 and seed.episodes == 12
    assert [float(row["TotalEnvSteps"]) for row in rows(seed.out)] == [30, 60, 90, 120]
    own = {"ppo-lag": "Train/StopIter", "cpo": "Misc/OptimCase"}[algo]
    assert all(row[own] and row["Train/KL"] and row["Loss/Loss_cost_critic"] for row in rows(seed.out))
    assert find_runs([seed.out])[0].constraint()
    policy = pyslsac.load_policy(seed.out)
    assert policy(np.zeros(policy.spec.obs_dim)).shape == (2,)
    again = evaluate_run(shutil.copytree(seed.out, tmp_path / "copy"), 3)
    assert again["return"] == seed.evaluation["return"]  # with the observations' moments of the run's end


@pytest.mark.parametrize("step", [30, 44, 118])
def test_interrupted_between_updates_and_in_the_middle_of_a_rollout(whole, tmp_path, monkeypatch, step):
    algo, result = whole
    honest = CLASSES[algo].after_env_steps

    def interrupt(agent, count):
        honest(agent, count)
        if agent.counters["env_steps"] == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CLASSES[algo], "after_env_steps", interrupt)
        with pytest.raises(Interrupted, match=f"saved at step {step}"):
            tiny(algo, tmp_path / "run")
    again = resume(tmp_path / "run")
    assert again.seeds[0].exact
    assert_same_run(result.seeds[0].out, again.seeds[0].out)


def test_killed_after_a_checkpoint(whole, tmp_path, monkeypatch):
    """What came after the last checkpoint is lived again."""
    algo, result = whole
    honest = CLASSES[algo].after_env_steps

    def die(agent, count):
        honest(agent, count)
        if agent.counters["env_steps"] == 76:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(CLASSES[algo], "after_env_steps", die)
        with pytest.raises(RuntimeError, match="killed"):
            tiny(algo, tmp_path / "run")
    assert read_latest(tmp_path / "run/seed-000")["loop"]["env_steps"] == 60
    assert_same_run(result.seeds[0].out, resume(tmp_path / "run").seeds[0].out)


def test_longer_than_planned(whole, tmp_path):
    """The part of a rollout that the first end cut off is completed."""
    algo, result = whole
    assert tiny(algo, tmp_path / "run", steps=70).seeds[0].updates == 2
    longer = resume(tmp_path / "run", steps=120).seeds[0]
    assert rows(longer.out)[-1] == rows(result.seeds[0].out)[-1]


def test_a_nan_stops_the_run_with_its_last_good_checkpoint(whole, tmp_path, monkeypatch):
    algo, honest = whole[0], CLASSES[whole[0]].update

    def poisoned(agent, rollout):
        if agent.counters["updates"] == 2:
            with torch.no_grad():
                agent.actor.log_std[0, 0] = math.nan
        return honest(agent, rollout)

    monkeypatch.setattr(CLASSES[algo], "update", poisoned)
    with pytest.raises(TrainingFailed, match=r"no run is left: not finite by update 3 .*Loss/Loss_pi"):
        tiny(algo, tmp_path / "run")
    folder = tmp_path / "run/seed-000"
    assert json.loads((folder / "environment.json").read_text())["status"] == "failed"
    kept = read_latest(folder)["loop"]
    assert kept["env_steps"] == 60 and kept["agent"]["parts"]["actor"]["log_std"].isfinite().all()


def test_another_number_of_environments_goes_on_inexactly(tmp_path):
    tiny("ppo-lag", tmp_path / "run", steps=40)
    with pytest.warns(UserWarning, match="not bit-identical: num_envs was 2, is 3"):
        result = resume(tmp_path / "run", steps=120, num_envs=3)
    assert result.finished and not result.seeds[0].exact


@pytest.mark.parametrize("algo", CLASSES)
def test_more_seeds_than_one_leave_nothing_behind(algo, tmp_path):
    with pytest.raises(ValueError, match="trains one seed"):
        tiny(algo, tmp_path / "run", seeds=[0, 1])
    assert not (tmp_path / "run").exists()
