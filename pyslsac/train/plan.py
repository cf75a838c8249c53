"""What to train: the folders and the settings of new runs, or of recorded ones that go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pyslsac.agents import config_for
from pyslsac.envs import backend_of
from pyslsac.train.record import read_record
from pyslsac.train.settings import Settings, read_settings, seed_folder, seed_folders

CALLABLE = "callable "  # how config.yaml marks a task that was given as a function


def new_runs(
    algo: str | None,
    task: Any,
    seeds: Sequence[int] | None,
    out: str | Path | None,
    preset: str | None,
    agent: Mapping[str, Any] | None,
    given: dict[str, Any],
) -> tuple[dict[int, Path], Settings]:
    """The folder of each seed, and the settings, of new runs."""
    if algo is None or task is None or "steps" not in given:
        raise ValueError("train needs an algorithm, a task and the number of steps, or a run to resume")
    name = task if isinstance(task, str) else f"{CALLABLE}{task.__module__}.{task.__qualname__}"
    config = config_for(algo, preset, name, agent)
    defaults = {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }
    env = given.get("env", {})
    given = given | {"env": env | {"backend": backend_of(task, env.get("backend", "auto"))}}  # not what is "auto" later
    settings = Settings(
        algo,
        name,
        seeds=[0] if seeds is None else list(seeds),
        preset=preset,
        agent=dataclasses.asdict(config),
        **(defaults | given),
    )
    folder = Path(out) if out is not None else Path("runs", algo, name.translate(str.maketrans("/: ", "---")))
    folders = {seed: seed_folder(folder, seed) for seed in settings.seeds}
    for taken in (path.parent for seed in folders.values() for path in seed.glob("[!.]*")):
        raise ValueError(f"{taken} is not empty: resume that run, remove it, or choose another out directory")
    return folders, settings


def recorded_runs(resume: Path, algo: str | None, task: Any, given: dict[str, Any]) -> tuple[dict[int, Path], Settings]:
    """The same of the recorded runs that have not failed, with what is `given` now in place of what was recorded."""
    saved = [read_settings(folder) for folder in seed_folders(resume)]
    first = saved[0]
    if any(s.seed not in first.seeds or dataclasses.replace(s, seed=first.seed) != first for s in saved):
        raise ValueError(f"the runs in {resume} were not started together: resume one seed folder at a time")
    if seed_folders(resume) == [resume]:
        seeds, folders = [first.seed], [resume]
    else:  # where setting up was cut short, some have no folder yet
        seeds, folders = first.seeds, [seed_folder(resume, seed) for seed in first.seeds]
    failed = [read_record(folder).get("status") == "failed" for folder in folders]
    if all(failed):
        raise ValueError(f"every run in {resume} has failed: there is nothing to resume")
    if (algo or first.algo) != first.algo or (isinstance(task, str) and task != first.task):
        raise ValueError(
            f"{resume} holds {first.algo} on {first.task}, not {algo or first.algo} on {task or first.task}"
        )
    if task is None and first.task.startswith(CALLABLE):
        raise ValueError(f"{resume} was trained on {first.task}: give it again as the task")
    alive = {seed: folder for seed, folder, lost in zip(seeds, folders, failed, strict=True) if not lost}
    given = given | {"env": first.env | given.get("env", {})}
    return alive, dataclasses.replace(first, **given)
