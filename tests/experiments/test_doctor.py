"""The doctor finds what is slow without anybody noticing, and says why an environment does not load."""

import importlib.util

import pytest
import torch

from pyslsac import ops
from pyslsac.cli import main
from pyslsac.experiments import doctor
from pyslsac.ops import _library

BUILT = {"cuda_version": "", "version": "0.1.0"}
QUICK = ["doctor", "--tasks", "pyslsac/Bandit-v0"]


def test_an_op_on_its_reference_where_the_core_was_built_is_a_fault():
    (fault,) = doctor.faults_of(BUILT, {"asgld_": {"cpu": "reference"}, "quantile_huber": {"cpu": "compiled"}})
    assert "asgld_ runs on the slow reference" in fault
    assert "quantile_huber" not in fault
    assert _library.MENDING in fault


def test_without_a_core_the_reference_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(_library, "FOLDER", tmp_path)
    assert doctor.faults_of(None, {"asgld_": {"cpu": "reference"}}) == []
    (tmp_path / "libpyslsac_cpu.so").touch()  # built, but what says so is gone
    assert len(doctor.faults_of(None, {"asgld_": {"cpu": "reference"}})) == 1


def test_a_core_that_was_built_and_is_missing_is_a_fault_with_its_reason(monkeypatch):
    monkeypatch.setitem(_library.MISSING, "cpu", "libpyslsac_cpu.so is not there")
    (fault,) = doctor.faults_of(BUILT, {"asgld_": {"cpu": "reference"}})
    assert "libpyslsac_cpu.so is not there" in fault


def test_cuda_counts_only_where_it_was_built():
    assert not doctor.built_for(BUILT, "cuda") or (_library.FOLDER / "libpyslsac_cuda.so").exists()
    assert doctor.built_for(BUILT | {"cuda_version": "12.8"}, "cuda")
    assert doctor.device_types() == (["cpu"] if torch.version.cuda is None else ["cpu", "cuda"])


def test_doctor_exits_1_when_an_op_runs_on_its_reference(monkeypatch, capsys):
    monkeypatch.setattr(ops, "backend", lambda op, device: "reference")
    monkeypatch.setattr(doctor, "build_info", lambda: BUILT)
    assert main(QUICK) == 1
    said = capsys.readouterr()
    assert "slow reference" in said.err
    assert "reference" in said.out


@pytest.mark.skipif(importlib.util.find_spec("pyslsac._C") is None, reason="no core was built here")
def test_every_op_of_a_built_core_is_compiled(capsys):
    assert main(QUICK) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert all(op in said for op in _library.OPS)
    assert "reference" not in said.split("On what each op runs")[1].split("Environments")[0]


def test_it_says_which_environments_load_and_why_others_do_not(capsys):
    found = doctor.diagnose(["pyslsac/LinearQuadratic-v0", "Nowhere-v0"]).environments
    assert found["pyslsac/LinearQuadratic-v0"] == "loads"
    assert "Nowhere-v0" in found["Nowhere-v0"].removeprefix("does not load: ")


def test_a_workers_traceback_is_cut_down_to_its_reason():
    error = RuntimeError("Traceback:\n  File 'x.py', line 3\n    f()\nValueError: no texture\nObject name = floor")
    assert doctor._reason(error) == "ValueError: no texture Object name = floor"
    assert doctor._reason(RuntimeError()) == "RuntimeError"


def test_what_is_installed_is_named():
    found = doctor.diagnose([]).installed
    assert found["torch"] == torch.__version__
    assert {"python", "numpy", "gymnasium", "safety-gymnasium", "GPUs"} <= found.keys()
