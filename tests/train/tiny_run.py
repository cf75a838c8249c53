"""Runs of a second: a ten-step toy task, small networks, a row every 20 steps. And ways to kill them."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import torch

from pyslsac.train import atomic
from pyslsac.train.checkpoint import read_latest
from pyslsac.train.run import TrainResult, train

AGENT = dict(
    width=8,
    ensemble=1,
    quantiles=2,
    target_quantiles=2,
    risk_quantiles=2,
    cosines=4,
    batch_size=8,
    start_steps=20,
    steps_per_epoch=20,
    buffer_size=60,
    multiplier_warmup=30,
    cost_limit=2.0,
    alpha="auto",
)
TASK = "pyslsac/LinearQuadratic-v0"
SETTINGS = dict(
    steps=120,
    seeds=[0, 1],
    num_envs=2,
    threads=1,
    device="cpu",
    eval_every=2,
    eval_episodes=2,
    final_episodes=3,
    checkpoint_every=1,
    quiet=True,
)


def tiny_run(out: Path, **changes: Any) -> TrainResult:
    agent = AGENT | changes.pop("agent", {})
    return train("sl-sac", TASK, out=out, agent=agent, **SETTINGS | changes)


def resume(out: Path, **changes: Any) -> TrainResult:
    return train(resume=out, quiet=True, **changes)


def rows(folder: Path) -> list[dict[str, str]]:
    """progress.csv without its times."""
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if not k.startswith("Time/")} for row in csv.DictReader(file)]


def same(a: Any, b: Any) -> bool:
    """Bit for bit, NaN included."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def assert_same_run(folder: Path, other: Path) -> None:
    """The same rows but for times, the same evaluations, and the same last checkpoint."""
    assert rows(folder) == rows(other)
    assert (folder / "eval.json").read_bytes() == (other / "eval.json").read_bytes()
    one, two = read_latest(folder), read_latest(other)
    for part in ("loop", "replay", "envs", "files"):
        assert same(one[part], two[part]), part


def _die_at(out: Path, operation: int) -> None:
    """In a process of its own: train, or go on, and be killed before the given disk operation of a checkpoint."""
    done = 0

    def counted(call: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done == operation:
                if call is os.fsync:  # half of the file is on the disk
                    os.truncate(args[0], os.fstat(args[0]).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    os.fsync = counted(os.fsync)
    atomic.os.replace = counted(os.replace)
    Path.rename, Path.replace, Path.unlink = counted(Path.rename), counted(Path.replace), counted(Path.unlink)
    shutil.rmtree = counted(shutil.rmtree)
    if (out / "seed-000" / "config.yaml").exists():
        resume(out)
    else:
        tiny_run(out)


def killed_run(out: Path, operation: int) -> int | None:
    """The exit code of a run that dies at a disk operation: -9, or 0 when it had fewer."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pyslsac.train.run", "tiny_run"])
    process = context.Process(target=_die_at, args=(out, operation))
    process.start()
    process.join(120)
    return process.exitcode
