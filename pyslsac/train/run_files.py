"""The files of one run beside its checkpoints, and the result that is read off them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyslsac.train.atomic import write_atomic
from pyslsac.train.log import RunLog
from pyslsac.train.off_policy import OffPolicy
from pyslsac.train.record import Record, differences
from pyslsac.train.settings import Settings

MULTIPLIER = "Metrics/LagrangeMultiplier"


@dataclass(frozen=True)
class SeedResult:
    """How one run ended. The constraint was active if any episode went over the limit."""

    seed: int
    out: Path
    status: str  # finished, stopped or failed
    failure: str | None
    exact: bool  # False: a resume could not be bit-identical; environment.json says why
    env_steps: int
    updates: int
    evaluation: dict[str, Any] | None  # the last one, as in eval.json
    episodes: int
    episodes_over_limit: int
    largest_multiplier: float  # at the end of an epoch
    last_costs: list[float]  # of the last ten training episodes

    @property
    def episode_return(self) -> float | None:
        """Mean return of the last evaluation."""
        return self.evaluation["return"]["mean"] if self.evaluation else None

    @property
    def episode_cost(self) -> float | None:
        """Mean cost of the last evaluation."""
        return self.evaluation["cost"]["mean"] if self.evaluation else None


class RunFiles:
    """One run's config.yaml, progress.csv, TensorBoard events, eval.json and environment.json, as of `state`.

    `state` is a checkpoint's, or empty for a new run: what was logged after it is dropped.
    """

    def __init__(
        self, folder: Path, settings: Settings, facts: dict[str, Any], state: dict[str, Any], *, wandb: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed = folder, settings.seed
        settings.write(folder)
        self.record = Record(folder, facts)
        saved = state.get("files", {"rows": 0, "largest_multiplier": 0.0})
        self.largest_multiplier: float = saved["largest_multiplier"]
        self.evaluations = _evaluations(folder / "eval.json", state["session"]["logged_steps"] if state else -1)
        if (folder / "eval.json").exists():
            self._write_evaluations()
        self.counts: dict[str, Any] = {}
        self.record.set(status="running", facts=facts | {"seed": self.seed})
        if state and (changed := differences(state["facts"], facts)):
            self.mark_inexact("; ".join(changed))
        account = _wandb_account(settings, self.record.content["started"]) if wandb else None
        steps = state["loop"]["env_steps"] if state else 0
        self.log = RunLog(folder, rows=saved["rows"], env_steps=steps, wandb=account)

    def mark_inexact(self, reason: str) -> None:
        """Note that this run is no longer the one that an uninterrupted training would have made."""
        self.record.mark_inexact(reason)
        warnings.warn(f"{self.folder}: the resumed run is not bit-identical: {reason}", stacklevel=2)

    def write_row(self, values: dict[str, float]) -> None:
        self.log.write(values)
        self.largest_multiplier = max(self.largest_multiplier, values.get(MULTIPLIER, 0.0))

    def add_evaluation(self, evaluation: dict[str, Any]) -> None:
        self.evaluations.append(evaluation)
        self._write_evaluations()

    def _write_evaluations(self) -> None:
        write_atomic(self.folder / "eval.json", json.dumps({"evaluations": self.evaluations}, indent=1).encode())

    def count(self, loop: OffPolicy, place: int) -> None:
        """Take over from the loop what `result` tells of its run number `place`."""
        episodes = loop.episodes
        self.counts = {
            "env_steps": loop.env_steps,
            "updates": loop.updates,
            "episodes": int(episodes.ended[place]),
            "episodes_over_limit": int(episodes.over_limit[place]),
            "last_costs": episodes.last_costs(place),
        }

    def result(self) -> SeedResult:
        content, failure = self.record.content, self.record.content["failure"]
        return SeedResult(
            seed=self.seed,
            out=self.folder,
            status=content["status"],
            failure=failure["reason"] if failure else None,
            exact=content["exact"],
            evaluation=self.evaluations[-1] if self.evaluations else None,
            largest_multiplier=self.largest_multiplier,
            **self.counts,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": len(self.log.rows), "largest_multiplier": self.largest_multiplier}

    def close(self) -> None:
        with suppress(OSError):  # a full disk has been reported by then
            self.log.close()


def _evaluations(path: Path, until: int) -> list[dict[str, Any]]:
    """The evaluations in an eval.json that were made by step `until`."""
    evaluations: list[dict[str, Any]] = json.loads(path.read_bytes())["evaluations"] if path.is_file() else []
    return [evaluation for evaluation in evaluations if evaluation["env_steps"] <= until]


def _wandb_account(settings: Settings, started: str) -> dict[str, Any]:
    """What wandb.init is told; the same run goes on after a resume."""
    name = f"{settings.algo}-{settings.task}-seed-{settings.seed:03d}"
    return {
        "project": "pyslsac",
        "group": f"{settings.algo}/{settings.task}",
        "name": name,
        "id": hashlib.sha256(f"{name} {started}".encode()).hexdigest()[:16],
        "config": dataclasses.asdict(settings),
        "resume": "allow",
        "reinit": "create_new",
    }
