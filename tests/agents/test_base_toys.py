"""Every agent solves the toy tasks, whose optima are known, within their cost limits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pyslsac import train
from pyslsac.agents import AGENTS, OffPolicyConfig
from pyslsac.envs import bandit, linear_quadratic

TOYS: dict[str, tuple[ModuleType, float, float]] = {  # task: where its optimum stands, a limit that binds, one that not
    "pyslsac/Bandit-v0": (bandit, 0.5, 1.0),
    "pyslsac/LinearQuadratic-v0": (linear_quadratic, 6.0, 10.0),
}
UNCONSTRAINED = {"nc-lql", "lql", "sac", "td3", "lsac"}  # see no cost: judged where the limit does not bind
AS_IT_ACTS = {"algd", "safe-nc-lql"}  # judged by what they do in the last thousand steps: they learn a law, not a mode
SHORT = dict(batch_size=64, start_steps=500, steps_per_epoch=250)
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {  # agent: for both tasks, for each
    "sl-sac": (
        dict(
            width=32, ensemble=1, quantiles=4, target_quantiles=4, risk_quantiles=4, cosines=8, policy_delay=1,
            multiplier_warmup=500, multiplier_window=20, risk_level=1.0, alpha=0.002, actor_lr=1e-3, critic_lr=3e-3,
            polyak=0.02,
        ),
        {
            "pyslsac/Bandit-v0": dict(steps=1_800, multiplier_lr=1e-2),
            "pyslsac/LinearQuadratic-v0": dict(steps=2_200, multiplier_lr=5e-4, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "cvpo": (
        dict(
            width=64, particles=16, mstep_iters=2, eps_mean=0.05, eps_std=0.02, actor_lr=1e-3, critic_lr=3e-3,
            polyak=0.1,
        ),
        {
            "pyslsac/Bandit-v0": dict(steps=1_000),
            "pyslsac/LinearQuadratic-v0": dict(steps=1_300, gamma=0.5, cost_gamma=0.5),  # its critics see no time limit
        },
    ),
    "lac": (
        dict(
            width=32, generator_width=32, chain_steps=10, iteration_steps=0, updates_per_step=0.4, reward_scale=1.0,
            start_steps=300, critic_lr=4e-3, generator_lr=4e-3, polyak=0.05,
        ),
        {
            "pyslsac/Bandit-v0": dict(steps=2_600, multiplier_interval=20, multiplier_lr=0.15),
            "pyslsac/LinearQuadratic-v0": dict(
                steps=3_000, multiplier_interval=100, multiplier_lr=0.05, multiplier_init=1.0, gamma=0.7, cost_gamma=0.7
            ),
        },
    ),
    "nc-lql": (
        dict(
            width=32, step_size=2.5e-5, drift_scale=1000.0, updates_per_step=0.5, reward_scale=1.0, critic_lr=3e-3,
            polyak=0.02, steps=2_000,
        ),
        {"pyslsac/Bandit-v0": {}, "pyslsac/LinearQuadratic-v0": dict(gamma=0.5)},
    ),
    "lql": (
        dict(
            width=32, repeats=40, step_size=1e-4, drift_scale=1000.0, updates_per_step=0.5, reward_scale=1.0,
            critic_lr=3e-3, polyak=0.02, steps=2_000,
        ),
        {"pyslsac/Bandit-v0": {}, "pyslsac/LinearQuadratic-v0": dict(gamma=0.5)},
    ),
    "safe-nc-lql": (
        dict(
            width=32, step_size=2.5e-5, drift_scale=1000.0, updates_per_step=0.5, reward_scale=1.0, critic_lr=3e-3,
            polyak=0.02, multiplier_warmup=500, multiplier_window=20, steps=2_500,
        ),
        {
            "pyslsac/Bandit-v0": dict(multiplier_lr=5e-3),
            "pyslsac/LinearQuadratic-v0": dict(multiplier_lr=5e-4, gamma=0.5, cost_gamma=0.5),
        },
    ),
    "algd": (
        dict(
            width=32, score_width=32, cost_ensemble=2, updates_per_step=1, multiplier_rule="episodes",
            multiplier_init=0.7, critic_lr=3e-3, actor_lr=2e-3, polyak=0.02, target_delay=1, rho=0.1, levels=3,
            weakest_noise=0.3, strongest_noise=0.6, multiplier_window=50, score_weight=1e-3, steps=3_000,
        ),
        {
            "pyslsac/Bandit-v0": dict(multiplier_lr=5e-3),
            "pyslsac/LinearQuadratic-v0": dict(steps=3_500, multiplier_lr=1.5e-3, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "wcsac": (
        dict(
            width=32, quantiles=4, cosines=8, policy_delay=1, risk_level=1.0, alpha=0.002, actor_lr=1e-3,
            critic_lr=3e-3, polyak=0.02, buffer_size=200, steps=1_800,
        ),  # a small replay: its multiplier follows the actions in there
        {
            "pyslsac/Bandit-v0": dict(multiplier_lr=2e-3, damping=2.0),
            "pyslsac/LinearQuadratic-v0": dict(multiplier_lr=5e-3, gamma=0.5, cost_gamma=0.5),
        },
    ),
    "lsac": (
        dict(
            width=32, ensemble=2, policy_delay=1, alpha=0.002, actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, steps=1_200,
        ),
        {"pyslsac/Bandit-v0": {}, "pyslsac/LinearQuadratic-v0": dict(gamma=0.5)},
    ),
    "sac": (
        dict(width=64, policy_delay=1, alpha=0.002, actor_lr=5e-4, critic_lr=2e-3, polyak=0.02, steps=2_000),
        {"pyslsac/Bandit-v0": {}, "pyslsac/LinearQuadratic-v0": dict(gamma=0.5)},
    ),
    "td3": (
        dict(width=64, policy_delay=1, actor_lr=5e-4, critic_lr=2e-3, polyak=0.02, steps=2_000),
        {"pyslsac/Bandit-v0": dict(exploration_noise=0.3), "pyslsac/LinearQuadratic-v0": dict(gamma=0.5)},
    ),
    "sac-lag": (
        dict(
            width=64, policy_delay=1, alpha=0.002, actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, multiplier_warmup=500,
            multiplier_window=20, multiplier_optimizer="sgd", steps=1_600,
        ),
        {
            "pyslsac/Bandit-v0": dict(multiplier_lr=1e-2),
            "pyslsac/LinearQuadratic-v0": dict(multiplier_lr=5e-4, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "td3-lag": (
        dict(
            width=64, policy_delay=1, actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, multiplier_warmup=500,
            multiplier_window=20, steps=1_800,
        ),
        {
            "pyslsac/Bandit-v0": dict(multiplier_lr=4e-3, exploration_noise=0.3),
            "pyslsac/LinearQuadratic-v0": dict(multiplier_lr=2e-3, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "sac-pid": (
        dict(
            width=64, policy_delay=1, alpha=0.002, actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, multiplier_warmup=500,
            multiplier_window=20, steps=1_600,
        ),
        {
            "pyslsac/Bandit-v0": dict(kp=0.1, ki=1e-2, kd=0.1),
            "pyslsac/LinearQuadratic-v0": dict(kp=0.02, ki=5e-4, kd=0.02, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "td3-pid": (
        dict(
            width=64, policy_delay=1, actor_lr=1e-3, critic_lr=3e-3, polyak=0.02, multiplier_warmup=500,
            multiplier_window=20, steps=1_800,
        ),
        {
            "pyslsac/Bandit-v0": dict(kp=0.1, ki=1e-2, kd=0.1, exploration_noise=0.3),
            "pyslsac/LinearQuadratic-v0": dict(kp=0.02, ki=5e-4, kd=0.02, gamma=0.9, cost_gamma=0.9),
        },
    ),
    "ppo-lag": (
        dict(log_std=-1.3, iterations=5, batch_size=50, target_kl=0.01, critic_lr=1e-2),
        {
            "pyslsac/Bandit-v0": dict(
                steps=2_600, steps_per_epoch=100, cost_window=100, actor_lr=1e-3, alpha=0.2, multiplier_init=2.4,
                multiplier_lr=0.03,
            ),
            "pyslsac/LinearQuadratic-v0": dict(
                steps=5_200, steps_per_epoch=200, cost_window=20, actor_lr=1.5e-3, alpha=0.1, multiplier_init=1.65,
                multiplier_lr=0.015, gamma=0.9, cost_gamma=0.9,
            ),
        },
    ),
    "cpo": (
        dict(steps_per_epoch=200, log_std=-1.5, iterations=5, batch_size=100, target_kl=0.03, critic_lr=1e-2),
        {
            "pyslsac/Bandit-v0": dict(steps=3_000, cost_window=100),
            "pyslsac/LinearQuadratic-v0": dict(steps=4_000, cost_window=20, gamma=0.9, cost_gamma=0.9),
        },
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("algo", AGENTS)
def test_toy_tasks_are_solved_within_their_limit(algo, task, tmp_path):
    module, binding, loose = TOYS[task]
    limit = loose if algo in UNCONSTRAINED else binding
    both, single = SETTINGS[algo]
    short = SHORT if issubclass(AGENTS[algo][1], OffPolicyConfig) else {}
    config = short | dict(cost_limit=limit) | both | single[task]
    steps = config.pop("steps")
    epochs: list[dict[str, Any]] = []
    options = dict(eval_every=0, final_episodes=20, threads=1, quiet=True, env=dict(workers=0), out=tmp_path)
    result = train(algo, task, steps=steps, seeds=[0], agent=config, on_epoch=epochs.append, **options)
    earned, paid = result.seeds[0].episode_return, result.seeds[0].episode_cost
    if algo in AS_IT_ACTS:
        earned, paid = (np.mean([epoch[f"Epoch/{name}"] for epoch in epochs[-4:]]) for name in ("EpRet", "EpCost"))
    best, _ = module.optimal(limit)
    assert earned >= 0.95 * best and paid <= 1.05 * limit, f"{earned:.3f} of {best:.3f} at cost {paid:.3f} of {limit}"
