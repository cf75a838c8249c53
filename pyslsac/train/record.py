"""environment.json: on what a run was made, how it stands, and whether it is still exact."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from pyslsac.train.atomic import write_atomic
from pyslsac.train.settings import Settings

FILE = "environment.json"
PACKAGES = ("pyslsac", "torch", "numpy", "gymnasium", "safety-gymnasium", "mujoco")


class Record:
    """The environment.json of one run.

    status: running, finished, stopped (by `on_epoch`), interrupted (by a signal), broken off (by an error; it can be
    resumed) or failed (its numbers became NaN or infinite). exact: False once a resume was not bit-identical; notes say
    why. failure: of a failed run, the update, the step and the reason. command: what started it. facts: what it was
    made on.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.path = folder / FILE
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.content: dict[str, Any] = {"status": "running", "started": started, "exact": True, "notes": []}
        self.content |= {"failure": None, "command": [program(), *sys.argv[1:]], "facts": facts} | read_record(folder)

    def set(self, **changes: Any) -> None:
        self.content |= changes
        write_atomic(self.path, json.dumps(self.content, indent=1).encode())

    def mark_inexact(self, reason: str) -> None:
        """This run is no longer the one that an uninterrupted training would have made."""
        self.set(exact=False, notes=[*self.content["notes"], reason])


def program() -> str:
    """The program's name, without where it lies: `pyslsac`, also for `python -m pyslsac`, or a script's."""
    path = Path(sys.argv[0])
    return path.parent.name if path.name == "__main__.py" else path.name


def read_record(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content


def facts_of(settings: Settings, seeds: list[int], precision: str) -> dict[str, Any]:
    """What bit-identity depends on, and what a reader of the numbers wants to know, of runs `seeds` in lockstep."""
    return {
        "runs": len(seeds),
        "seeds": seeds,
        "seed": settings.seed,
        "num_envs": settings.num_envs,
        "faithful": settings.faithful,
        "threads": torch.get_num_threads(),
        "precision": f"{precision}, float32 matmul {torch.get_float32_matmul_precision()}",
        "device": _device(settings.device),
        "build": _build(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Those facts that bit-identity depends on and that have changed, in words."""
    names = ("runs", "num_envs", "faithful", "threads", "precision", "device", "build", "versions", "processor")
    old, new = (_flat({name: facts.get(name) for name in names}) for facts in (then, now))
    return [f"{name} was {old.get(name)}, is {new.get(name)}" for name in new | old if old.get(name) != new.get(name)]


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """The same with "build": {"simd": ...} as "build simd"."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _build() -> dict[str, Any] | None:
    """Build facts of the compiled core; None where it is not there."""
    try:
        core = importlib.import_module("pyslsac._C")
    except ImportError:
        return None
    facts: dict[str, Any] = core.build_info()
    return facts


def _device(device: str) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device


def _processor() -> str:
    """The processor's name: its instruction sets decide how sums are rounded."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
