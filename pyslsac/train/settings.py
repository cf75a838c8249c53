"""What a run was asked to do, as config.yaml keeps it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pyslsac.train.atomic import write_atomic

FILE = "config.yaml"


@dataclass(frozen=True)
class Settings:
    """Everything that rebuilds the runs of one `train` call; `seed` names the run whose folder it lies in."""

    algo: str
    task: str
    steps: int  # environment steps per run
    seeds: list[int]  # of the runs that train in lockstep
    seed: int = 0
    num_envs: int = 1  # environments per run
    preset: str | None = None
    device: str = "cpu"
    threads: int = 1
    cost_key: str = "cost"
    eager: bool = False  # every update by its Python, none replayed from a recorded graph
    faithful: bool = False  # update after each step's transitions are stored, not while the environments step
    eval_every: int = 10  # epochs between evaluations; 0: only the final one
    eval_episodes: int = 10
    final_episodes: int = 30
    checkpoint_every: int = 10  # epochs between checkpoints
    env: dict[str, Any] = field(default_factory=dict)  # further arguments of make_vec
    agent: dict[str, Any] = field(default_factory=dict)  # every field of the agent's config

    def __post_init__(self) -> None:
        for name in ("steps", "num_envs", "threads", "eval_episodes", "final_episodes", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted at least 1")
        if self.eval_every < 0:
            raise ValueError(f"eval_every: got {self.eval_every}, wanted 0 (only at the end) or more")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds: got {self.seeds}, wanted one or more different integers from 0 on")

    def write(self, folder: Path) -> None:
        content = yaml.safe_dump(_plain(dataclasses.asdict(self)), sort_keys=False)
        write_atomic(folder / FILE, content.encode())


def read_settings(folder: Path) -> Settings:
    """The settings of a seed-* folder; ValueError when there are none, or of another version."""
    path = folder / FILE
    if not path.is_file():
        raise ValueError(f"{folder} is not the folder of a run: it has no {FILE}")
    content = yaml.safe_load(path.read_text())
    try:
        agent = {key: tuple(value) if isinstance(value, list) else value for key, value in content.pop("agent").items()}
        return Settings(**content, agent=agent)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not written by this version of pyslsac: {error}") from error


def seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed:03d}"


def seed_folders(out: Path) -> list[Path]:
    """The seed-* folders of a run directory, or `out` itself when it is one."""
    if (out / FILE).is_file():
        return [out]
    folders = sorted(path.parent for path in out.glob(f"seed-*/{FILE}"))
    if not folders:
        raise ValueError(f"{out} holds no run: there is neither {FILE} nor seed-*/{FILE} in it")
    return folders


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
