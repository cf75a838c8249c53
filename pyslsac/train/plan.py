"""What to train: the folders and the settings of new runs, or of recorded ones that go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pyslsac.agents import config_for
from pyslsac.train.record import read_record
from pyslsac.train.settings import Settings, read_settings, seed_folders

CALLABLE = "callable "  # how config.yaml marks a task that was given as a function


def new_runs(
    algo: str | None,
    task: Any,
    seeds: Sequence[int] | None,
    out: str | Path | None,
    preset: str | None,
    agent: Mapping[str, Any] | None,
    given: dict[str, Any],
) -> tuple[list[Path], Settings]:
    """Folders and settings of new runs."""
    if algo is None or task is None or "steps" not in given:
        raise ValueError("train needs an algorithm, a task and the number of steps, or a run to resume")
    name = task if isinstance(task, str) else f"{CALLABLE}{task.__module__}.{task.__qualname__}"
    config = config_for(algo, preset, name, agent)
    defaults = {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }
    settings = Settings(
        algo, name, seeds=list(seeds or (0,)), preset=preset, agent=dataclasses.asdict(config), **(defaults | given)
    )
    folder = Path(out) if out is not None else Path("runs", algo, name.translate(str.maketrans("/: ", "---")))
    folders = [folder / f"seed-{seed:03d}" for seed in settings.seeds]
    for taken in (f for f in folders if f.exists() and any(f.iterdir())):
        raise ValueError(f"{taken} is not empty: resume that run, remove it, or choose another out directory")
    return folders, settings


def recorded_runs(resume: Path, algo: str | None, task: Any, given: dict[str, Any]) -> tuple[list[Path], Settings]:
    """Folders and settings of the recorded runs that have not failed, with what was `given` now."""
    folders = [folder for folder in seed_folders(resume) if read_record(folder).get("status") != "failed"]
    if not folders:
        raise ValueError(f"every run in {resume} has failed: there is nothing to resume")
    saved = [read_settings(folder) for folder in folders]
    first = dataclasses.replace(saved[0], seeds=[s.seed for s in saved])
    if any(dataclasses.replace(s, seed=first.seed, seeds=first.seeds) != first for s in saved):
        raise ValueError(f"the runs in {resume} were not started together: resume one seed folder at a time")
    if (algo or first.algo) != first.algo or (isinstance(task, str) and task != first.task):
        raise ValueError(
            f"{resume} holds {first.algo} on {first.task}, not {algo or first.algo} on {task or first.task}"
        )
    if task is None and first.task.startswith(CALLABLE):
        raise ValueError(f"{resume} was trained on {first.task}: give it again as the task")
    return folders, dataclasses.replace(first, **given)
