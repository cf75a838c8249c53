"""What finished runs came to: each run's episodes in four numbers, and the runs of one label and task as a group."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyslsac.plots.runs import CONFIG, LOG, STEPS, Run, folders_with, labelled, read_run, without_repeats
from pyslsac.plots.statistics import Estimate, check_risk_level, cvar, mean_of

QUANTITIES = ("return", "cost", "over_limit", "cvar")  # episode means, share of episodes over the limit, CVaR of cost


@dataclass(frozen=True)
class Result:
    """One run's episodes in numbers: those of `QUANTITIES` that can be told, after `env_steps` steps."""

    run: Run
    env_steps: int
    episodes: int
    values: dict[str, float]
    risk_level: float | None  # of the CVaR
    finished: bool = True


@dataclass(frozen=True)
class Group:
    """The results of all seeds of one label on one task."""

    task: str
    label: str
    results: tuple[Result, ...]

    @property
    def algo(self) -> str:
        return self.results[0].run.algo

    @property
    def cost_limit(self) -> float | None:
        return self.results[0].run.cost_limit

    def values(self, quantity: str) -> np.ndarray:
        """One of `QUANTITIES`, of each run in which it is known."""
        return np.array([result.values[quantity] for result in self.results if quantity in result.values])

    def estimate(self, quantity: str) -> Estimate | None:
        """The same over seeds; None where no run tells it."""
        values = self.values(quantity)
        return mean_of(values) if len(values) else None


@dataclass(frozen=True)
class Gathered:
    """Groups in the order of their tasks and labels, and every run that is in none of them, with the reason."""

    groups: tuple[Group, ...]
    left_out: tuple[tuple[Path, str], ...] = ()


def gather(
    directories: Iterable[str | Path],
    *,
    epochs: int | None = None,
    risk_level: float | None = None,
    unfinished: bool = False,
) -> Gathered:
    """The results of all runs in and below `directories`.

    A result is the newest deterministic evaluation, or with `epochs` the training episodes of that many last epochs;
    CVaR is at the run's own risk level unless `risk_level` is given. A run counts once it is finished; with
    `unfinished` also before. Failed runs, and a seed that a group has already, never count. Raises ValueError where
    nothing counts.
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs: got {epochs}, wanted at least 1")
    if risk_level is not None:
        check_risk_level(risk_level)
    runs: list[Run] = []
    left_out: list[tuple[Path, str]] = []
    results: dict[Path, Result] = {}
    for folder in folders_with(directories, CONFIG, LOG):
        try:
            run = read_run(folder)
            status = status_of(run)
            result = trained(run, epochs) if epochs else evaluated(run, risk_level)
            results[folder] = check(result, status, unfinished)
            runs.append(run)
        except ValueError as error:
            left_out.append((folder, str(error)))
    if not runs:
        reasons = "; ".join(f"{folder}: {reason}" for folder, reason in left_out)
        raise ValueError(f"none of these runs can be reported: {reasons}")
    kept, repeats = without_repeats(sorted(labelled(runs), key=lambda run: not results[run.directory].finished))
    groups: dict[tuple[str, str], list[Result]] = {}
    for run in sorted(kept, key=lambda run: run.seed or 0):
        groups.setdefault((run.task, run.label), []).append(results[run.directory])
    ordered = (Group(task, label, tuple(found)) for (task, label), found in sorted(groups.items()))
    return Gathered(tuple(ordered), tuple(sorted(left_out + repeats)))


def status_of(run: Run) -> str:
    """How the run stands by its environment.json, finished where there is none; ValueError where it failed."""
    record = _json(run.directory / "environment.json")
    if record.get("status") == "failed":
        raise ValueError(f"it failed: {(record.get('failure') or {}).get('reason', 'no reason is recorded')}")
    return str(record.get("status", "finished"))


def check(result: Result, status: str, unfinished: bool) -> Result:
    """The result, marked where its run is not finished; ValueError where it may not count."""
    if result.run.seed is None:
        raise ValueError(f"its seed is neither in its {CONFIG} nor in its name")
    if not np.isfinite(list(result.values.values())).all():
        raise ValueError("its episodes are not finite")
    planned = int(result.run.config.get("steps") or result.run.last(STEPS))
    if status == "finished" and result.env_steps >= planned:
        return result
    if not unfinished:
        state = "" if status == "finished" else f"it is {status}: "
        raise ValueError(f"{state}its episodes are of step {result.env_steps:,}, it is to have {planned:,}")
    return dataclasses.replace(result, finished=False)


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds, nothing where there is none; ValueError where it is not one."""
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"its {path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"its {path.name} holds a {type(content).__name__}, wanted an object")
    return content


def evaluated(run: Run, risk_level: float | None = None) -> Result:
    """The newest deterministic evaluation in the run's eval.json; ValueError where there is none."""
    try:
        played = [e for e in _json(run.directory / "eval.json").get("evaluations", []) if e.get("deterministic", True)]
        newest = max(reversed(played), key=lambda evaluation: int(evaluation["env_steps"]), default=None)
        if newest is None or not newest["episodes"]:
            raise ValueError("it has no deterministic evaluation yet")
        level = float(newest["cost"]["risk_level"]) if risk_level is None else risk_level
        rewards, costs = (np.array([episode[name] for episode in newest["episodes"]]) for name in ("return", "cost"))
        env_steps = int(newest["env_steps"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"its eval.json is not as `pyslsac eval` writes it: {error!r}") from error
    values = {"return": float(rewards.mean()), "cost": float(costs.mean()), "cvar": cvar(costs, level)}
    if run.cost_limit is not None:
        values["over_limit"] = float((costs > run.cost_limit).mean())
    return Result(run, env_steps, len(costs), values, level)


def trained(run: Run, epochs: int) -> Result:
    """The training episodes that ended in the last `epochs` epochs. Their CVaR is not logged."""
    ended, rewards, costs = (_last(run, f"Epoch/{name}", epochs) for name in ("Episodes", "EpRet", "EpCost"))
    count = int(ended.sum())
    if not count:
        raise ValueError(f"no training episode ended in its last {epochs} epochs")
    values = {"return": float(ended @ rewards) / count, "cost": float(ended @ costs) / count}
    over = np.nan_to_num(np.concatenate([[0.0], run.columns.get("Metrics/EpisodesOverLimit", [])]))
    if run.cost_limit is not None and len(over) > 1:
        values["over_limit"] = float(over[-1] - over[max(0, len(over) - 1 - epochs)]) / count
    return Result(run, int(run.last(STEPS)), count, values, None)


def _last(run: Run, column: str, epochs: int) -> np.ndarray:
    """A column's last values, 0 where a cell is empty; ValueError where the log lacks it."""
    if column not in run.columns:
        raise ValueError(f"its log has no column {column!r}")
    return np.nan_to_num(run.columns[column][-epochs:])
