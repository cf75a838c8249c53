"""Every bench runs; its numbers are nobody's business here."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHES = sorted((ROOT / "bench").glob("bench_*.py")) + [
    ROOT / "bench" / f"{name}.py" for name in ("env_physics", "memory", "paper_table3")
]
SHORTER = {"bench_envs": ["--tasks", "SafetyHalfCheetahVelocity-v1", "--num-envs", "2"]}
SAYS = {
    "env_physics": "SafetyCarButton1-v0           scripted",
    "memory": "60 steps",
    "paper_table3": "6.57",
}  # the others "x ours"


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.stem)
def test_bench_runs_and_writes_nothing(bench: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "bench" / "results").rglob("*")}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, bench, "--quick", *SHORTER.get(bench.stem, [])]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert SAYS.get(bench.stem, "x ours") in answer.stdout
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "bench" / "results").rglob("*")} == before


@pytest.mark.parametrize("task", ["SafetyHopperVelocity-v1", "SafetyPointGoal1-v0", "SafetyPointButton1-v0"])
def test_bare_physics_follows_the_environments(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the rivals of bench_envs would step different states, which take different times."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    bench = import_module("bench_envs")
    ours = bench.Ours(task, 3, 1)
    bare = bench.Physics(task, ours, 2)
    for _ in range(2):
        ours.turn(30)
        bare.turn(30)
    assert bare.episodes.tolist() == ours.venv.state_dict()["episode"]
    assert bare.episodes.any() == (task == "SafetyHopperVelocity-v1")
    fleet = ours.venv._crew[0].group.fleet
    np.testing.assert_allclose(bare.fleet.field("qpos").all(), fleet.field("qpos").all(), atol=0.05)
    ours.close()
    bare.close()


def test_physics_of_a_version_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    physics = import_module("env_physics")
    monkeypatch.setattr(physics, "RESULTS", tmp_path / "physics")
    for task in ("SafetyPointGoal1-v0", "SafetyAntVelocity-v1", "SafetyPointGoal1-v0"):
        path = physics.write({task: {"uniform": {"cost": physics.summary(np.array([0.0, 2.0, 4.0]))}}})
    kept = json.loads(path.read_text("utf-8"))
    assert [*kept["tasks"]] == ["SafetyAntVelocity-v1", "SafetyPointGoal1-v0"]
    cost = kept["tasks"]["SafetyPointGoal1-v0"]["uniform"]["cost"]
    assert cost == {"mean": 2.0, "low": 0.0, "high": 4.0, "episodes": [0.0, 2.0, 4.0]}
    assert [entry.name for entry in path.parent.iterdir()] == [f"{kept['versions']['mujoco']}.json"]
