"""NC-LQL on a bandit with several best actions: chains from all over the box end at every one of them.

python docs/examples/multimodal_bandit.py                 trains for about a minute, draws multimodal_bandit.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import pyslsac
from pyslsac.agents.nc_lql import NCLQL
from pyslsac.plots import Landscape, plot_landscapes
from pyslsac.train.policy import load_run

ANGLES = np.pi * np.arange(6) / 3 + 0.3
PEAKS = 0.65 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1)  # [6, 2], equally good
WIDTH = 0.2


class Peaks(gymnasium.Env[np.ndarray, np.ndarray]):
    """One action in [-1, 1]² earns Σ_i exp(-|a - peak_i|² / (2 WIDTH²)); then the episode is over."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(1.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        return np.ones(1, np.float32), float(reward(action)), True, False, {"cost": 0.0}


def reward(action: np.ndarray) -> np.ndarray:
    """Of actions [..., 2] -> [...]."""
    return np.exp(-((action[..., None, :] - PEAKS) ** 2).sum(-1) / (2 * WIDTH**2)).sum(-1)


def train(steps: int, out: Path) -> NCLQL:
    small = dict(width=64, batch_size=128, start_steps=min(1_000, steps // 2), updates_per_step=1.0, critic_lr=2e-3)
    small |= dict(reward_scale=1.0, polyak=0.02, normalize=False, drift_scale=20.0)  # the law ∝ exp(20 (Q1 + Q2))
    options: Any = dict(env=dict(horizon=1, workers=0), final_episodes=10, eval_every=0, quiet=True)
    pyslsac.train("nc-lql", Peaks, steps=steps, agent=small, out=out, **options)
    agent = load_run(out / "seed-000")[1]
    assert isinstance(agent, NCLQL)
    return agent


@torch.no_grad()
def panel(agent: NCLQL, level: int, title: str, chains: int = 200, shown: int = 12) -> Landscape:
    """Q1 + Q2 at a level over the box of actions, with `shown` chains and the ends of all."""
    side = np.linspace(-1, 1, 101)
    grid = torch.tensor(np.stack(np.meshgrid(side, side), axis=-1), dtype=torch.float32).reshape(1, -1, 2)
    q = agent.critics(torch.cat([torch.ones(1, grid.shape[1], 1), grid], dim=-1), level)  # [1, 2, B]
    path = agent.path(torch.ones(1, chains, 1))[0].transpose(0, 1).numpy()  # [chains, moves + 1, 2]
    return Landscape(title, side, side, q.sum(1).reshape(101, 101).numpy(), path[:shown, -8:], path[:, -1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        agent = train(options.steps, Path(folder, "run"))
    last = agent.config.levels - 1
    panels = [panel(agent, level, f"level {level}, σ = {agent.sigma[level]:.3f}") for level in (0, last // 2, last)]
    ends = panels[-1].ends
    nearest = np.linalg.norm(ends[:, None] - PEAKS, axis=-1)
    counts = np.bincount(nearest.argmin(1), minlength=len(PEAKS))
    near = np.mean(nearest.min(1) < WIDTH)
    print(f"ends at each of the {len(PEAKS)} peaks: {counts.tolist()}; within {WIDTH} of one: {near:.0%}")
    print(f"mean reward {reward(ends).mean():.3f}, the best is {reward(PEAKS).max():.3f}")
    print(f"wrote {plot_landscapes(panels, options.out)}")


if __name__ == "__main__":
    main()
