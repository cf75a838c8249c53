"""The examples of the docs run, and draw what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("script", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_draws_its_picture(script: Path, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--steps", "560", "--out", str(tmp_path / "picture.png")]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert (tmp_path / "picture.png").stat().st_size > 20_000
    assert (ROOT / "docs" / "examples" / f"{script.stem}.png").is_file(), "draw it and keep the picture"
