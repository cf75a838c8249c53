"""What is installed, on what each op runs on each device, and which environments load.

A fault is an op that runs on its reference on a device for which the core was built: everything works then, slowly, and
nobody would notice. A package installed without a compiler has no core and therefore no faults.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from pyslsac import ops
from pyslsac.envs import list_tasks, make_vec
from pyslsac.ops import _library

PACKAGES = (
    *("pyslsac", "torch", "numpy", "gymnasium", "mujoco", "safety-gymnasium", "gymnasium-robotics"),
    *("tyro", "rich", "tensorboard", "matplotlib", "wandb"),
)
PROBES = (  # one task of each kind that has reasons of its own to fail: bare MuJoCo, navigation, textures, pictures
    *("SafetyHalfCheetahVelocity-v1", "SafetyPointGoal1-v0", "SafetyPointRace1-v0", "SafetyPointGoal1Vision-v0"),
    *("pyslsac/Bandit-v0", "pyslsac/LinearQuadratic-v0"),
)


@dataclass(frozen=True)
class Diagnosis:
    """Findings, by the name of what was looked at; `faults` are what should be mended."""

    installed: dict[str, str]
    core: dict[str, str]
    backends: dict[str, dict[str, str]]  # op -> type of device -> compiled or reference
    environments: dict[str, str]
    faults: list[str]

    def tables(self) -> list[Table]:
        """The findings as tables for a terminal."""
        devices = Table("op", *device_types(), title="On what each op runs", title_justify="left")
        for op, where in self.backends.items():
            devices.add_row(op, *where.values())
        return [
            _pairs("Installed", self.installed),
            _pairs("Compiled core", self.core),
            devices,
            _pairs("Environments", self.environments),
        ]


def diagnose(tasks: Sequence[str] = PROBES) -> Diagnosis:
    """Look at everything; of the environments `tasks` are tried, each in a process of its own."""
    info = build_info()
    backends = {op: {device: ops.backend(op, device) for device in device_types()} for op in _library.OPS}
    environments = _listings() | {task: probe(task) for task in tasks}
    return Diagnosis(_installed(), _core(info), backends, environments, faults_of(info, backends))


def device_types() -> list[str]:
    """The types of device that this torch was built for and the core may be."""
    return ["cpu"] if torch.version.cuda is None else ["cpu", "cuda"]


def build_info() -> dict[str, str] | None:
    """The facts of the core's build; None where no core was built, or its module does not load."""
    try:
        module: Any = importlib.import_module("pyslsac._C")
    except ImportError:
        return None
    return dict(module.build_info())


def built_for(info: dict[str, str] | None, device: str) -> bool:
    """Whether the core was built for this type of device, by its own account or by the library that lies there."""
    recorded = info is not None and (device == "cpu" or bool(info["cuda_version"]))
    return recorded or (_library.FOLDER / f"libpyslsac_{device}.so").exists()


def faults_of(info: dict[str, str] | None, backends: dict[str, dict[str, str]]) -> list[str]:
    """One sentence for every op that should run compiled on a device and does not."""
    faults = []
    for device in device_types():
        slow = [op for op, where in backends.items() if where[device] == "reference"]
        if slow and built_for(info, device):
            reason = _library.MISSING[device] or "the library has no kernel of that name: it is of another version"
            faults.append(
                f"the core was built for {device}, but there {', '.join(slow)} run{'s' * (len(slow) == 1)} on the slow "
                f"reference: {reason}. To mend it, {_library.MENDING}."
            )
    return faults


def probe(task: str) -> str:
    """ "loads", or why `task` cannot be made, reset and stepped."""
    try:
        venv = make_vec(task, 1, workers=1)
        try:
            venv.reset(seed=0)
            venv.step(venv.action_space.sample())
        finally:
            venv.close()
    except Exception as error:  # whatever an environment raises is the finding
        return f"does not load: {_reason(error)}"
    return "loads"


def _installed() -> dict[str, str]:
    found = {"python": f"{platform.python_version()} ({sys.executable})", "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["CUDA of torch"] = torch.version.cuda or "none: a CPU build"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found["GPUs"] = ", ".join(gpus) or "none"
    found["threads"] = str(torch.get_num_threads())
    return found


def _core(info: dict[str, str] | None) -> dict[str, str]:
    found = {name: str(value) or "none" for name, value in (info or {"pyslsac._C": "not there"}).items()}
    return found | {f"ops on {device}": reason or "loaded" for device, reason in _library.MISSING.items()}


def _listings() -> dict[str, str]:
    return {
        f"tasks of {listing.backend}": listing.problem or f"{len(listing.tasks)} can be named"
        for listing in list_tasks()
    }


def _reason(error: Exception) -> str:
    """An error's message on one line, without the traceback that a worker's error carries."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    start = max((i for i, line in enumerate(lines) if re.match(r"[\w.]+(Error|Exception): ", line)), default=0)
    return " ".join(lines[start:]) or type(error).__name__


def _pairs(title: str, pairs: dict[str, str]) -> Table:
    table = Table("", "", title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(name, value)
    return table
