"""What to measure against: published numbers, and the scores that returns are normalised between.

`published.csv` holds return and cost per task and algorithm as their `source` prints them, all at a cost limit of 25;
`random.csv` what uniformly random actions get, measured here with `bench/random_policy.py`.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from typing import Any

LIMIT = 25.0  # the cost limit of every published number
CEILING = "sac"  # the published algorithm whose return is 1: it minds no cost


@dataclass(frozen=True)
class Published:
    """Return and cost of one algorithm on one task. The spreads are of the kind that `spread_kind` says."""

    task: str
    algorithm: str
    source: str
    env_steps: int
    return_mean: float
    return_spread: float
    cost_mean: float
    cost_spread: float
    spread_kind: str


@dataclass(frozen=True)
class Scale:
    """What a return of a task counts as 0 and as 1, and where these come from."""

    task: str
    zero: float
    one: float
    zero_is: str
    one_is: str

    def normalised(self, episode_return: float) -> float:
        return (episode_return - self.zero) / (self.one - self.zero)


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("pyslsac.plots").joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


@functools.cache
def published() -> tuple[Published, ...]:
    """Every published number."""
    convert: dict[str, Any] = {"env_steps": int, "return_mean": float, "return_spread": float}
    convert |= {"cost_mean": float, "cost_spread": float}
    rows = _rows("published.csv")
    return tuple(Published(**{name: convert.get(name, str)(cell) for name, cell in row.items()}) for row in rows)


@functools.cache
def random_returns() -> dict[str, float]:
    """Mean return of uniformly random actions, by task."""
    return {row["task"]: float(row["return_mean"]) for row in _rows("random.csv")}


def scale_of(task: str, means: Collection[float]) -> Scale | None:
    """The scale of a task: random actions are 0, the published unconstrained SAC is 1.

    For a task without these, the lowest and the highest of the report's own `means`; None where they are the same.
    """
    ceiling = next((p for p in published() if (p.task, p.algorithm) == (task, CEILING)), None)
    if ceiling is not None and task in random_returns():
        source = f"unconstrained SAC, {ceiling.source}, {ceiling.env_steps:,} steps"
        return Scale(task, random_returns()[task], ceiling.return_mean, "uniformly random actions", source)
    low, high = min(means), max(means)
    return Scale(task, low, high, "lowest mean here", "highest mean here") if high > low else None
