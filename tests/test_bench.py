"""Every bench runs; its numbers are nobody's business here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHORTER = {"bench_envs": ["--tasks", "SafetyHalfCheetahVelocity-v1", "--num-envs", "2"]}


@pytest.mark.parametrize("bench", sorted((ROOT / "bench").glob("bench_*.py")), ids=lambda path: path.stem)
def test_bench_runs_and_writes_nothing(bench: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "bench" / "results").rglob("*")}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, bench, "--quick", *SHORTER.get(bench.stem, [])]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "x ours" in answer.stdout
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "bench" / "results").rglob("*")} == before
