"""Sweeps on a Ray cluster of two nodes, each with one core: interrupted, killed, and then one node is lost."""

import importlib
import importlib.util
import os
import signal
import sys

import pytest

from pyslsac.experiments.grid import plan
from tests.experiments.toy_sweep import CELLS, assert_same, begin, reference, statuses, wait_for, write

if importlib.util.find_spec("ray") is None and not os.environ.get("CI"):  # CI installs it: there its absence fails
    pytest.skip("Ray is not installed: pip install 'pyslsac[ray]'", allow_module_level=True)

NODE = dict(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes, each with processes of its own."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    made = Cluster(initialize_head=True, head_node_args=NODE)
    yield made
    made.shutdown()


def running(out) -> list[str]:
    return [folder for folder, status in statuses(out).items() if status == "running"]


def ages(out) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("environment.json")}


def test_interrupted_killed_and_with_a_lost_node_it_ends_as_if_nothing_had_happened(tmp_path, cluster):
    file, out = write(tmp_path / "toy.yaml"), tmp_path / "out"
    node = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    words = (file, "--engine", "ray", "--out", out)

    first = begin(*words, RAY_ADDRESS=cluster.address)
    wait_for(lambda: running(out))
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=900)
    assert first.returncode == 143, said
    assert "SIGTERM: the cells are saved" in said and "Traceback" not in said and "failed" not in said
    left = list(statuses(out).values())
    assert not running(out) and left.count("finished") < 8  # a cell that the signal reached too late has ended

    whole = reference(file, tmp_path / "whole")
    second = begin(*words, RAY_ADDRESS=cluster.address)
    wait_for(lambda: running(out))
    second.kill()
    second.communicate()
    assert set(statuses(out).values()) != {"finished"}
    stale = ages(out)

    third = begin(*words, RAY_ADDRESS=cluster.address)
    wait_for(lambda: ages(out) != stale and running(out))
    cluster.remove_node(node, allow_graceful=False)
    said, _ = third.communicate(timeout=900)
    assert third.returncode == 0, said
    assert all(f"{cell}: finished, return" in said for cell in CELLS[2:])
    assert_same(out, whole)


def test_a_cell_asks_for_its_threads_and_for_a_gpu_where_it_trains_on_one(tmp_path, monkeypatch):
    engine = importlib.import_module("pyslsac.experiments.ray")
    cells = {}
    for device in ("cpu", "cuda", "auto"):
        cells[device] = plan(str(write(tmp_path / "toy.yaml", device=device, threads=3, gpus=0.25))).cells[0]
    for there in (0, 8):
        monkeypatch.setattr(engine.ray, "cluster_resources", lambda there=there: {"CPU": 64.0, "GPU": there})
        needs = {device: engine.resources(cell, 0.25)["num_gpus"] for device, cell in cells.items()}
        assert needs == {"cpu": 0, "cuda": 0.25, "auto": 0.25 if there else 0}
    assert engine.resources(cells["cpu"], 1)["num_cpus"] == 3
    (first, *_) = plan(str(write(tmp_path / "toy.yaml", device="cuda:1"))).cells
    with pytest.raises(ValueError, match="device is cuda:1, wanted cuda: Ray picks the GPU"):
        engine.resources(first, 1)


def test_without_ray_the_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    from pyslsac.cli import main

    monkeypatch.setitem(sys.modules, "pyslsac.experiments.ray", None)
    assert main(["sweep", str(write(tmp_path / "toy.yaml")), "--engine", "ray", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'pyslsac[ray]'" in capsys.readouterr().err
    assert not os.path.exists(tmp_path / "out")
