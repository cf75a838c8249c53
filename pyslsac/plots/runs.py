"""Training runs as their folders hold them: the log, the settings, and what tells runs of one algorithm apart.

Everything is read from a seed directory (`progress.csv`, and from `config.yaml` the algorithm, the task and the
settings), so it can be read while a run is still going, and on a machine without torch.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

STEPS = "TotalEnvSteps"
LOG, CONFIG = "progress.csv", "config.yaml"
SETTINGS = ("steps", "num_envs", "cost_key", "env", "agent")  # what in config.yaml makes another experiment


@dataclass(frozen=True)
class Run:
    """One seed's log: who ran what, and its columns by name, each [T].

    `label` is the algorithm's name, with what tells this run from others of the algorithm where they differ.
    """

    directory: Path
    algo: str
    task: str
    cost_limit: float | None
    columns: dict[str, np.ndarray]
    config: dict[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def seed(self) -> int | None:
        """The run's seed: as recorded, or else as in the name of its folder."""
        named = re.fullmatch(r"seed-(\d+)", self.directory.name)
        seed = self.config.get("seed", named and named[1])
        return None if seed is None else int(seed)

    @property
    def preset(self) -> str:
        return str(self.config.get("preset") or "")

    @property
    def settings(self) -> dict[str, str]:
        """Every setting that its numbers depend on, but the seed: the agent's fields by name, others as env.backend."""
        flat: dict[str, str] = {}
        for name in SETTINGS:
            value = self.config.get(name)
            if isinstance(value, dict):
                prefix = "" if name == "agent" else f"{name}."
                flat |= {f"{prefix}{key}": _shown(item) for key, item in value.items()}
            elif value is not None:
                flat[name] = _shown(value)
        return flat

    def curve(self, column: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values [T'] of the rows in which `column` is a number; empty where the log has no such column."""
        values = self.columns.get(column or "")
        if values is None:
            return np.empty(0), np.empty(0)
        kept = np.isfinite(values)
        return self.columns[STEPS][kept], values[kept]

    def last(self, column: str) -> float:
        """The newest value of a column, NaN where there is none."""
        _, values = self.curve(column)
        return float(values[-1]) if len(values) else math.nan

    def constraint(self) -> str:
        """Whether the cost limit was ever at work in training, in one sentence."""
        if self.cost_limit is None:
            return "no cost limit is recorded"
        over, episodes = self.last("Metrics/EpisodesOverLimit"), self.last("Metrics/Episodes")
        if not episodes > 0:
            return "no training episode has ended yet"
        multiplier = max(self.curve("Metrics/LagrangeMultiplier")[1], default=math.nan)
        largest = "" if math.isnan(multiplier) else f"the largest multiplier was {multiplier:.4g}, "
        return (
            f"the constraint was {'active' if over > 0 else 'never active'}: {over:.0f} of {episodes:.0f} training "
            f"episodes went over the limit {self.cost_limit:g}, {largest}"
            f"the last {min(episodes, 10):.0f} episodes cost {self.last('Metrics/EpCost'):.4g} on average"
        )


def _shown(value: object) -> str:
    """A setting as a label shows it."""
    if isinstance(value, list | tuple):
        return " ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_run(directory: Path) -> Run:
    """The run in `directory`. Raises ValueError where its log is missing, empty, or without the steps column."""
    log = directory / LOG
    if not log.is_file():
        raise ValueError(f"{log} does not exist: is {directory} the directory of a training run?")
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{log} holds no rows yet: the first is written at the end of the first epoch")
    if STEPS not in rows[0]:
        raise ValueError(f"{log} has no column {STEPS!r}")
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}
    config = _config(directory / CONFIG)
    limit = (config.get("agent") or {}).get("cost_limit")
    algo = str(config.get("algo", directory.parent.parent.name))
    task = str(config.get("task", directory.parent.name))
    return Run(directory, algo, task, None if limit is None else float(limit), columns, config, algo)


def _config(path: Path) -> dict[str, Any]:
    """What a config.yaml holds, nothing where there is none; ValueError where it is not one."""
    try:
        content = yaml.safe_load(path.read_text()) if path.is_file() else None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content or {}, dict):
        raise ValueError(f"{path} holds {content!r}, wanted names and values")
    return content or {}


def _number(text: str | None) -> float:
    """The number that a CSV cell holds, NaN for an empty or a cut-off one."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def folders_with(directories: Iterable[str | Path], *names: str) -> list[Path]:
    """Folders in and below `directories` that hold a file of one of these names, each once, sorted by path."""
    found: dict[Path, Path] = {}  # each once, however it is named
    for directory in map(Path, directories):
        folders = {path.parent.resolve(): path.parent for name in names for path in directory.rglob(name)}
        if not folders:
            raise ValueError(f"no {' or '.join(names)} in or below {directory}: give the directory of a training run")
        found = folders | found
    return sorted(found.values())


def find_runs(directories: Iterable[str | Path]) -> list[Run]:
    """The runs in and below `directories`, sorted by path. Raises ValueError where a directory has none."""
    return labelled([read_run(path) for path in folders_with(directories, LOG)])


def labelled(runs: Sequence[Run]) -> list[Run]:
    """The runs with labels: runs of one task share a label only if algorithm and settings are the same.

    The label is the algorithm's name; where its runs on some task differ, the preset, if that differs, and every
    setting in which two runs of one preset differ follow in brackets.
    """
    kinds: dict[tuple[str, str], dict[frozenset[tuple[str, str]], Run]] = {}  # of each algorithm on each task
    for run in runs:
        kinds.setdefault((run.algo, run.task), {}).setdefault(frozenset(run.settings.items()), run)
    presets = {algo for (algo, _), each in kinds.items() if len({run.preset for run in each.values()}) > 1}
    names: dict[str, dict[str, None]] = {}  # of the settings that tell an algorithm's runs apart, in their order
    for (algo, _), each in kinds.items():
        for one, other in itertools.combinations(each.values(), 2):
            if one.preset == other.preset:
                both = other.settings | one.settings
                different = (name for name in both if one.settings.get(name) != other.settings.get(name))
                names.setdefault(algo, {}).update(dict.fromkeys(different))
    marked = []
    for run in runs:
        kind = kinds[run.algo, run.task][frozenset(run.settings.items())]
        parts = [kind.preset] if kind.preset and run.algo in presets else []
        parts += [f"{name}={run.settings[name]}" for name in names.get(run.algo, ()) if name in run.settings]
        marked.append(dataclasses.replace(run, label=f"{run.algo} ({', '.join(parts)})" if parts else run.algo))
    return marked


def without_repeats(runs: Iterable[Run]) -> tuple[list[Run], list[tuple[Path, str]]]:
    """The runs, each seed of a task and label once, and those left out with the reason: repeats are not independent."""
    first: dict[tuple[str, str, int | None], Run] = {}
    kept, repeats = [], []
    for run in runs:
        key = (run.task, run.label, run.seed)
        if run.seed is not None and key in first:
            repeats.append((run.directory, f"seed {run.seed} is there already, in {first[key].directory}"))
            continue
        first[key] = run
        kept.append(run)
    return kept, repeats
