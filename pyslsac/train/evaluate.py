"""Evaluation: whole episodes in environments of their own, seeded apart from training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pyslsac.envs import VectorEnv
from pyslsac.safety import empirical_cvar

TRAINING, EVALUATION = 0, 1
MAX_ENVS = 10  # environments per run, at most


def env_seeds(seed: int, count: int, purpose: int, occasion: int = 0) -> list[int]:
    """`count` environment seeds for run `seed`, different for every purpose and occasion."""
    source = np.random.SeedSequence(seed, spawn_key=(purpose, occasion))
    return [int(word) for word in source.generate_state(count)]


def evaluate(
    agent: Any,
    make: Callable[[int, list[int]], VectorEnv],
    seeds: Sequence[int],
    episodes: int,
    *,
    occasion: int = 0,
    deterministic: bool = True,
) -> np.ndarray:
    """Return, cost and length of `episodes` episodes of every run [R, episodes, 3].

    `make(num_envs, seeds)` gives the environments, `occasion` (the environment steps so far) varies their seeds. Each
    environment plays a fixed number of episodes, so that short ones are not favoured.
    """
    runs, each = len(seeds), min(episodes, MAX_ENVS)
    venv = make(runs * each, [s for seed in seeds for s in env_seeds(seed, each, EVALUATION, occasion)])
    try:
        finished: list[list[np.ndarray]] = [[] for _ in range(runs * each)]
        wanted = np.array([len(range(env, episodes, each)) for env in range(each)] * runs)
        running = np.zeros((runs * each, 3))
        obs, _ = venv.reset()
        while any(len(done) < want for done, want in zip(finished, wanted, strict=True)):
            observed = torch.from_numpy(obs.reshape(runs, each, -1).copy())
            with torch.no_grad():
                action = agent.act(observed, deterministic=deterministic)  # [R, each, A]
            obs, reward, terminated, truncated, info = venv.step(action.float().cpu().numpy().reshape(runs * each, -1))
            running += np.stack([reward, info["cost"], np.ones(runs * each)], axis=-1)
            for env in np.nonzero(terminated | truncated)[0]:
                finished[env].append(running[env].copy())
                running[env] = 0.0
    finally:
        venv.close()
    kept = [done[:want] for done, want in zip(finished, wanted, strict=True)]
    return np.array(list(itertools.chain.from_iterable(kept))).reshape(runs, episodes, 3)


def summarise(episodes: np.ndarray, risk_level: float) -> dict[str, Any]:
    """What eval.json says of one run's episodes [episodes, 3]."""
    names = ("return", "cost", "length")
    count = len(episodes)
    summary: dict[str, Any] = {"count": count}
    for name, values in zip(names, episodes.T, strict=True):
        std = float(values.std(ddof=1)) if count > 1 else 0.0
        summary[name] = {"mean": float(values.mean()), "std": std, "stderr": std / math.sqrt(count)}
    cvar = empirical_cvar(torch.from_numpy(episodes[:, 1].copy()), risk_level).item()
    summary["cost"] |= {"cvar": cvar, "risk_level": risk_level}
    summary["episodes"] = [dict(zip(names, map(float, episode), strict=True)) for episode in episodes]
    return summary
