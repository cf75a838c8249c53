"""Every agent solves the toy tasks, whose optima are known, within their cost limits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from pyslsac import train
from pyslsac.agents import AGENTS
from pyslsac.envs import bandit, linear_quadratic

TOYS: dict[str, tuple[ModuleType, float, float]] = {  # task: where its optimum stands, a limit that binds, one that not
    "pyslsac/Bandit-v0": (bandit, 0.5, 1.0),
    "pyslsac/LinearQuadratic-v0": (linear_quadratic, 6.0, 10.0),
}
UNCONSTRAINED: set[str] = set()  # these agents see no cost: their optimum is the one under a limit that does not bind
SHORT = dict(batch_size=64, start_steps=500)
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {  # agent: for both tasks, for each
    "sl-sac": (
        dict(
            width=64, ensemble=1, quantiles=8, target_quantiles=8, risk_quantiles=8, cosines=16, policy_delay=1,
            multiplier_warmup=500, multiplier_window=20, risk_level=1.0, alpha=0.002, actor_lr=1e-3, critic_lr=3e-3,
            polyak=0.02,
        ),
        {
            "pyslsac/Bandit-v0": dict(steps=4_000, multiplier_lr=5e-3),
            "pyslsac/LinearQuadratic-v0": dict(steps=5_000, multiplier_lr=5e-4, gamma=0.9, cost_gamma=0.9),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("algo", AGENTS)
def test_toy_tasks_are_solved_within_their_limit(algo, task, tmp_path):
    module, binding, loose = TOYS[task]
    limit = loose if algo in UNCONSTRAINED else binding
    both, single = SETTINGS[algo]
    config = SHORT | dict(cost_limit=limit) | both | single[task]
    steps = config.pop("steps")
    options = dict(eval_every=100, final_episodes=20, threads=1, quiet=True, env=dict(workers=0), out=tmp_path)
    result = train(algo, task, steps=steps, seeds=[0], agent=config, **options)
    best, _ = module.optimal(limit)
    evaluation = result.seeds[0].evaluation
    assert evaluation["return"]["mean"] >= 0.95 * best
    assert evaluation["cost"]["mean"] <= 1.05 * limit
