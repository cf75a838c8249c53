"""What may come between: a NaN, a signal, a dead worker, a full disk."""

import errno
import json
import math
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from pyslsac.agents import SLSAC
from pyslsac.envs.linear_quadratic import LinearQuadratic
from pyslsac.train import checkpoint, off_policy
from pyslsac.train.checkpoint import read_latest
from pyslsac.train.errors import CheckpointError, Interrupted, TrainingFailed
from pyslsac.train.finite import nonfinite_parts
from pyslsac.train.graph import Graph
from tests.train.tiny_run import assert_same_run, resume, rows, tiny_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("whole") / "run")


def poison(monkeypatch, seeds, update, part="critics"):
    """From that update on, recorded or not, the networks of these seeds hold a NaN."""

    class Poisoned(Graph):
        def _several(self, given, times):
            if self.agent.counters["updates"] == update:
                for run in (self.agent.seeds.index(seed) for seed in seeds if seed in self.agent.seeds):
                    with torch.no_grad():
                        next(getattr(self.agent, part).parameters())[run, 0] = math.nan
            return super()._several(given, times)

    monkeypatch.setattr(off_policy, "Graph", Poisoned)


@pytest.mark.parametrize("checkpoint_every", [1, 100])
def test_a_nan_stops_its_run_alone(tmp_path, monkeypatch, checkpoint_every):
    """In float64: how float32 GEMMs this small are summed depends on how many there are."""
    exact = dict(agent=dict(precision="fp64"), checkpoint_every=checkpoint_every)
    whole = tiny_run(tmp_path / "whole", **exact)
    poison(monkeypatch, [1], update=45)
    result = tiny_run(tmp_path / "run", **exact)
    good, bad = result.seeds
    assert (good.status, bad.status) == ("finished", "failed") and not result.finished
    assert rows(good.out) == rows(whole.seeds[0].out)
    assert (good.out / "eval.json").read_bytes() == (whole.seeds[0].out / "eval.json").read_bytes()
    assert bad.failure.startswith("not finite by update 46: ") and "Loss/Loss_reward_critic" in bad.failure
    record = json.loads((bad.out / "environment.json").read_text())
    assert record["failure"]["update"] == 46 and record["status"] == "failed"
    assert [int(row["TotalEnvSteps"]) for row in rows(bad.out)] == [20, 40, 60]
    if checkpoint_every == 1:
        kept = read_latest(bad.out)
        assert kept["loop"]["env_steps"] == 60
        assert all(torch.isfinite(p).all() for p in kept["loop"]["agent"]["parts"]["critics"].values())


def test_a_nan_action_is_not_taken(tmp_path, monkeypatch):
    """The environments see zeros in its place, and its run has failed."""
    taken = []
    honest = LinearQuadratic.step
    monkeypatch.setattr(LinearQuadratic, "step", lambda env, action: taken.append(action) or honest(env, action))
    poison(monkeypatch, [1], update=45, part="actor")
    monkeypatch.setattr("pyslsac.train.meter.Meter.bad_runs", lambda meter: {})
    result = tiny_run(tmp_path / "run", checkpoint_every=100)
    assert result.seeds[1].failure == "not finite by update 48: action" and result.seeds[0].status == "finished"
    assert np.isfinite(taken).all()


def test_the_others_resume_without_the_failed_run(tmp_path, monkeypatch):
    def interrupt_at_80(columns):
        return bool(columns["TotalEnvSteps"][0] < 80)

    with monkeypatch.context() as patch:
        poison(patch, [0], update=30)
        whole = tiny_run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        poison(patch, [0], update=30)
        tiny_run(tmp_path / "run", on_epoch=interrupt_at_80)
    result = resume(tmp_path / "run")
    assert [seed.seed for seed in result.seeds] == [1] and result.seeds[0].exact
    assert_same_run(whole.seeds[1].out, result.seeds[0].out)


def test_no_run_left(tmp_path, monkeypatch):
    poison(monkeypatch, [0, 1], update=25)
    with pytest.raises(TrainingFailed, match=r"no run is left: not finite by update 26 .*seed 0.*seed 1"):
        tiny_run(tmp_path / "run")
    assert json.loads((tmp_path / "run/seed-001/environment.json").read_text())["status"] == "failed"
    with pytest.raises(ValueError, match=r"every run in .* has failed"):
        resume(tmp_path / "run")


def test_no_checkpoint_holds_a_nan(tmp_path, monkeypatch):
    """A NaN that no loss shows yet is found when parameters are about to be saved."""
    poison(monkeypatch, [1], update=19, part="target_cost_critic")  # the last one before the checkpoint at step 40
    monkeypatch.setattr("pyslsac.train.meter.Meter.bad_runs", lambda meter: {})
    result = tiny_run(tmp_path / "run")
    assert result.seeds[1].status == "failed" and "target_cost_critic" in result.seeds[1].failure


def test_nonfinite_parts_names_run_and_part(tmp_path):
    agent = SLSAC.__new__(SLSAC)
    layer = torch.nn.ParameterList([torch.zeros(3, 2), torch.zeros(3)])
    optimizer = torch.optim.Adam(layer.parameters())
    agent.parts = {"layer": layer, "optimizer": optimizer, "window": object()}
    assert nonfinite_parts(agent) == {}
    layer[1].data[2] = math.inf
    assert nonfinite_parts(agent) == {2: ["layer"]}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first(whole, tmp_path, signum):
    def interrupt(columns):
        if columns["TotalEnvSteps"][0] == 60:
            os.kill(os.getpid(), signum)

    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=rf"{signum.name}: saved at step 60; resume with") as error:
        tiny_run(tmp_path / "run", on_epoch=interrupt, checkpoint_every=100)
    assert error.value.signum == signum and isinstance(error.value, KeyboardInterrupt)
    assert signal.getsignal(signum) is before
    assert read_latest(tmp_path / "run" / "seed-000")["loop"]["env_steps"] == 60
    result = resume(tmp_path / "run", checkpoint_every=1)
    for one, two in zip(whole.seeds, result.seeds, strict=True):
        assert_same_run(one.out, two.out)


def test_a_signal_between_two_rows(whole, tmp_path, monkeypatch):
    honest = SLSAC.after_env_steps

    def interrupt(agent, count):
        honest(agent, count)
        if agent.counters["env_steps"] == 74:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(SLSAC, "after_env_steps", interrupt)
        with pytest.raises(Interrupted, match="saved at step 74"):
            tiny_run(tmp_path / "run")
    result = resume(tmp_path / "run")
    for one, two in zip(whole.seeds, result.seeds, strict=True):
        assert_same_run(one.out, two.out)


def test_a_dead_worker(whole, tmp_path):
    def kill_a_worker(columns):
        if columns["TotalEnvSteps"][0] == 60:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(TrainingFailed, match=r"worker process .* SIGKILL.*last good checkpoint is kept: resume with"):
        tiny_run(tmp_path / "run", env=dict(workers=1), on_epoch=kill_a_worker)
    assert json.loads((tmp_path / "run/seed-000/environment.json").read_text())["status"] == "broken off"
    result = resume(tmp_path / "run")
    assert rows(result.seeds[0].out) == rows(whole.seeds[0].out)


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_a_checkpoint(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def fill(columns):
            if columns["TotalEnvSteps"][0] == 60:
                patch.setattr(checkpoint, "write_synced", full_disk)

        with pytest.raises(CheckpointError, match=r"step 60 could not be written \(.*No space.*\); the one at step 40"):
            tiny_run(tmp_path / "run", on_epoch=fill)
    result = resume(tmp_path / "run")
    for one, two in zip(whole.seeds, result.seeds, strict=True):
        assert_same_run(one.out, two.out)


def test_a_full_disk_in_the_log(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def fill(columns):
            if columns["TotalEnvSteps"][0] == 60:
                patch.setattr("pyslsac.train.run_files.RunFiles.write_row", full_disk)

        with pytest.raises(TrainingFailed, match=r"No space left on device.*resume with"):
            tiny_run(tmp_path / "run", on_epoch=fill)
    assert resume(tmp_path / "run").finished
