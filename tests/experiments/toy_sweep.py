"""A sweep of seconds: two algorithms on the two toy tasks, two seeds each; and what it comes to unstopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pyslsac.experiments.grid import plan
from pyslsac.train.run import train
from tests.train.tiny_run import rows

ROOT = Path(__file__).resolve().parent.parent.parent
TOY: dict[str, Any] = {
    "algos": {
        "sl-sac": {
            "preset": "step",
            "agent": {"ensemble": 1, "quantiles": 2, "target_quantiles": 2, "risk_quantiles": 2, "cosines": 4},
        },
        "sac-lag": {},
    },
    "tasks": ["pyslsac/Bandit-v0", "pyslsac/LinearQuadratic-v0"],
    "seeds": [0, 1],
    "steps": 240,
    "eager": True,  # recording costs more than so few updates
    "num_envs": 2,
    "threads": 1,
    "device": "cpu",
    "eval_every": 5,
    "eval_episodes": 2,
    "final_episodes": 3,
    "checkpoint_every": 4,
    "agent": {"width": 8, "batch_size": 8, "start_steps": 40, "steps_per_epoch": 20, "multiplier_warmup": 100},
}
CELLS = [f"{algo}/pyslsac-{task}" for algo in ("sl-sac", "sac-lag") for task in ("Bandit-v0", "LinearQuadratic-v0")]


def write(path: Path, **changes: Any) -> Path:
    """The toy sweep's file, with changes; a change to None leaves the key out."""
    content = {key: value for key, value in (TOY | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def begin(*words: object, **environment: str) -> subprocess.Popen[str]:
    """`pyslsac sweep words`, started."""
    return subprocess.Popen(
        [sys.executable, "-m", "pyslsac", "sweep", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for(what: Callable[[], Any], seconds: float = 600) -> Any:
    """What `what` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def statuses(out: Path) -> dict[str, str]:
    """The status of every seed that has one, by its folder."""
    found = {}
    for path in out.rglob("environment.json"):
        found[str(path.parent.relative_to(out))] = json.loads(path.read_bytes())["status"]
    return found


def reference(file: Path, out: Path) -> Path:
    """The sweep's cells, trained to their end one after the other in this process; returns their folder."""
    for cell in plan(str(file), out).cells:
        assert train(**cell.arguments(), quiet=True).finished
    return out


def assert_same(out: Path, other: Path) -> None:
    """The same seeds with the same rows, times apart, and the same evaluations, all of them exact."""
    folders = sorted(path.parent.relative_to(other) for path in other.rglob("progress.csv"))
    assert folders == sorted(path.parent.relative_to(out) for path in out.rglob("progress.csv"))
    assert len(folders) == 8
    for folder in folders:
        assert rows(out / folder) == rows(other / folder), folder
        assert (out / folder / "eval.json").read_bytes() == (other / folder / "eval.json").read_bytes(), folder
        assert json.loads((out / folder / "environment.json").read_bytes())["exact"], folder
    assert set(statuses(out).values()) == {"finished"}
