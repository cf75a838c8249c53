"""What LAC, safe NC-LQL and ALGD climb in one state of a task with two actions, and the chains that they take there.

python docs/examples/landscapes.py                        trains each for a minute or two, draws landscapes.png
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pyslsac
from pyslsac.agents import ALGD, LAC, NCLQL, Agent
from pyslsac.envs.linear_quadratic import DRIFT, GAIN, GOAL, HORIZON
from pyslsac.plots import Landscape, plot_landscapes
from pyslsac.train.policy import load_run

TASK, LIMIT = "pyslsac/LinearQuadratic-v0", 6.0
STATE = np.array([0.3, 0.18])  # where the best policy stays under this limit: 6/10 of the goal
SIDE = np.linspace(-1, 1, 81)
CHAINS, SHOWN = 120, 10
COMMON: dict[str, Any] = dict(batch_size=64, cost_limit=LIMIT, gamma=0.9, cost_gamma=0.9, polyak=0.02)
SETTINGS: dict[str, dict[str, Any]] = {
    "lac": dict(
        width=64, generator_width=64, start_steps=300, iteration_steps=0, reward_scale=1.0, critic_lr=2e-3,
        generator_lr=2e-3, multiplier_interval=100, multiplier_lr=0.05, multiplier_init=1.0,
    ),
    "safe-nc-lql": dict(
        width=64, start_steps=500, updates_per_step=1.0, reward_scale=1.0, critic_lr=2e-3, multiplier_warmup=500,
        multiplier_window=20, multiplier_lr=5e-4,
    ),
    "algd": dict(width=64, start_steps=500, updates_per_step=1.0, critic_lr=2e-3, actor_lr=1e-3),
}  # fmt: skip


def best_action() -> np.ndarray:
    """The action of the best policy under the limit: x' = A x + b u is to be LIMIT / HORIZON of the goal."""
    action: np.ndarray = (LIMIT / HORIZON * GOAL - DRIFT @ STATE) / GAIN
    return action


def lac(agent: LAC, obs: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Minus LAC's energy on the grid [1, B, 2], and chains [1, moves + 1, n, 2] from the generator's samples on."""
    obs, rows = (agent.obs_normalizer.normalize(x) for x in (obs, obs[:, :1].expand(-1, grid.shape[1], -1)))
    x = torch.cat([rows, grid], dim=-1)
    reward, cost = agent.critics(x).squeeze(-1).amin(1), agent.cost_critics(x).squeeze(-1).amax(1)
    log_prob = agent.target_generator.log_prob(rows, grid)
    height = (reward - agent.multiplier.value.to(reward) * cost) / agent.config.kl_coef + log_prob
    mean, std = agent.target_generator(obs)
    start = mean + std * agent.normals(mean.shape[1:], stream=9, step=0)
    return height, torch.cat([start.unsqueeze(1), agent.chain(obs, start, (mean, std), path=True)], dim=1)


def nc_lql(agent: NCLQL, obs: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Σ Q_r - multiplier Σ Q_c at the clean level, and annealed chains from all over the box."""
    x = torch.cat([obs[:, :1].expand(-1, grid.shape[1], -1), grid], dim=-1)
    q = agent.critics(x, agent.config.levels - 1)  # [1, 4, B]
    return q[:, :2].sum(1) - agent.multiplier.value.to(q) * q[:, 2:].sum(1), agent.path(obs)


def algd(agent: ALGD, obs: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the augmented Lagrangian, and reverse chains from noise on."""
    height = -agent.energy(obs[:, :1], grid.unsqueeze(1))[0].squeeze(1)
    noise = agent.normals((agent.config.levels, obs.shape[1], 2), stream=9, step=0)
    path = [torch.tanh(noise[:, 0]), *reversed(agent.chain(obs, noise))]
    return height, torch.stack(path, dim=1)


DRAWN: dict[str, tuple[str, Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]]] = {
    "lac": ("LAC: minus its energy", lac),
    "safe-nc-lql": ("safe NC-LQL: clean critics", nc_lql),
    "algd": ("ALGD: minus the Lagrangian", algd),
}


def train(algo: str, steps: int, out: Path) -> Agent:
    options: Any = dict(final_episodes=10, eval_every=0, quiet=True, env=dict(workers=0))
    result = pyslsac.train(algo, TASK, steps=steps, agent=COMMON | SETTINGS[algo], out=out, **options)
    seed = result.seeds[0]
    print(f"{algo}: return {seed.episode_return:.2f}, cost {seed.episode_cost:.2f} at limit {LIMIT:g}")
    return load_run(seed.out)[1]


@torch.no_grad()
def panel(algo: str, agent: Agent) -> Landscape:
    title, draw = DRAWN[algo]
    grid = torch.tensor(np.stack(np.meshgrid(SIDE, SIDE), axis=-1), dtype=torch.float32).reshape(1, -1, 2)
    obs = torch.tensor(STATE, dtype=torch.float32).expand(1, CHAINS, 2)
    height, path = draw(agent, obs, grid)
    chains = path[0].transpose(0, 1).clamp(-1, 1).numpy()  # [n, moves + 1, 2]
    marks = [("best under the limit", (float(best_action()[0]), float(best_action()[1])))]
    return Landscape(title, SIDE, SIDE, height.reshape(81, 81).numpy(), chains[:SHOWN], chains[:, -1], marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        panels = [panel(algo, train(algo, options.steps, Path(folder, algo))) for algo in DRAWN]
    print(f"wrote {plot_landscapes(panels, options.out)}")


if __name__ == "__main__":
    main()
