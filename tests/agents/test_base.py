"""Every agent solves the toy tasks, whose optima are known, within their cost limits."""

from __future__ import annotations

from types import ModuleType

import pytest

from pyslsac import train
from pyslsac.envs import bandit, linear_quadratic

TOYS = {
    "pyslsac/Bandit-v0": (bandit, 0.5, 4_000, dict(multiplier_lr=5e-3)),
    "pyslsac/LinearQuadratic-v0": (linear_quadratic, 6.0, 5_000, dict(multiplier_lr=5e-4, gamma=0.9, cost_gamma=0.9)),
}


@pytest.mark.parametrize("task", TOYS)
def test_toy_tasks_are_solved_within_their_limit(task, tmp_path):
    module, limit, steps, config = TOYS[task]
    assert isinstance(module, ModuleType)
    settings = dict(
        width=64, ensemble=1, quantiles=8, target_quantiles=8, risk_quantiles=8, cosines=16, batch_size=64,
        policy_delay=1, start_steps=500, multiplier_warmup=500, multiplier_window=20, risk_level=1.0, alpha=0.002,
        actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, cost_limit=limit,
    )  # fmt: skip
    options = dict(eval_every=100, final_episodes=20, threads=1, quiet=True, env=dict(workers=0), out=tmp_path)
    result = train("sl-sac", task, steps=steps, seeds=[0], agent=settings | config, **options)
    best, _ = module.optimal(limit)
    evaluation = result.seeds[0].evaluation
    assert evaluation["return"]["mean"] >= 0.95 * best
    assert evaluation["cost"]["mean"] <= 1.05 * limit
