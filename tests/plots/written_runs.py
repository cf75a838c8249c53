"""Run folders written by hand: a log, settings, an evaluation and a record, as training leaves them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import yaml


def write_seed(
    root: Path,
    algo: str = "sl-sac",
    task: str = "Task-v0",
    seed: int = 0,
    returns: Sequence[float] = (10.0, 20.0),
    costs: Sequence[float] = (30.0, 10.0),
    *,
    env_steps: int = 1000,
    status: str = "finished",
    folder: str = "",
    agent: dict | None = None,
    log: dict[str, Sequence[object]] | None = None,
    **config: object,
) -> Path:
    """A seed's folder: two epochs, and one evaluation of these episodes at the last step."""
    directory = root / (folder or f"{algo}/{task}") / f"seed-{seed:03d}"
    directory.mkdir(parents=True)
    columns = {
        "TotalEnvSteps": [env_steps // 2, env_steps],
        "Metrics/EpRet": [1.0, 2.0],
        "Metrics/EpCost": [3.0, 4.0],
    } | (log or {})
    with (directory / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    settings = {"algo": algo, "task": task, "steps": 1000, "seed": seed, "agent": {"cost_limit": 25.0} | (agent or {})}
    (directory / "config.yaml").write_text(yaml.safe_dump(settings | config, sort_keys=False))
    episodes = [{"return": r, "cost": c, "length": 100.0} for r, c in zip(returns, costs, strict=True)]
    write_evaluations(directory, {"env_steps": env_steps, "cost": {"risk_level": 0.5}, "episodes": episodes})
    (directory / "environment.json").write_text(json.dumps({"status": status, "failure": {"reason": "a NaN"}}))
    return directory


def write_evaluations(directory: Path, *evaluations: dict) -> None:
    (directory / "eval.json").write_text(json.dumps({"evaluations": evaluations}))


def write_grid(root: Path) -> None:
    """sl-sac, three seeds, and cpo, two, on one task that is published and one that is not; all costs are 0."""
    for task in ("SafetyPointGoal1-v0", "Other-v0"):
        for algo, values in (("sl-sac", (1.0, 2.0, 6.0)), ("cpo", (2.0, 3.0))):
            for seed, value in enumerate(values):
                write_seed(root, algo, task, seed, [value] * 2, [0.0] * 2)
