"""Every agent on the run axis: runs do not leak, cost no operators, come back from their states, and all parts move."""

from __future__ import annotations

from typing import Any

import pytest

from pyslsac import make_agent
from pyslsac.agents import AGENTS, OffPolicyConfig
from tests.agents.contract import (
    SPEC,
    Make,
    check_everything_moves,
    check_operators_do_not_grow_with_runs,
    check_recorded_updates,
    check_runs_do_not_leak,
    check_state_comes_back,
)

SMALL: dict[str, list[dict[str, Any]]] = {  # agent: the configurations that are tried, small
    "sl-sac": [
        dict(width=16, ensemble=2, quantiles=6, target_quantiles=5, risk_quantiles=4, cosines=8, multiplier_warmup=6),
        dict(width=16, ensemble=1, quantiles=3, target_quantiles=2, risk_quantiles=4, cosines=8, policy_delay=1,
             alpha="auto", temperature=1e-6, cost_optimizer="asgld", multiplier_optimizer="adam", compensated=True),
    ],
    "cvpo": [
        dict(width=16, particles=6, cost_limit=3.0),
        dict(width=16, particles=6, trust_region="clip", dual_optimizer="adam", actor_grad_norm=0.1),
    ],
    "lac": [
        dict(width=16, generator_width=16, chain_steps=3, multiplier_interval=4),
        dict(width=16, generator_width=16, chain_steps=3, kl_coef=1.0, obs_normalize=True, multiplier_interval=4),
    ],
    "nc-lql": [dict(width=16, levels=3), dict(width=16, levels=2, particles=2)],
    "lql": [dict(width=16, repeats=3), dict(width=16, repeats=3, alpha=0.5)],
    "safe-nc-lql": [dict(width=16, levels=3, multiplier_warmup=6)],
    "algd": [
        dict(width=16, score_width=16, level_embedding=4, cost_ensemble=3, cost_limit=2.0),
        dict(width=16, score_width=16, level_embedding=4, score="principled", samples=6, temperature=0.1),
        dict(width=16, score_width=16, level_embedding=4, multiplier_rule="episodes", lagrangian="plain",
             cost_ensemble=1),
    ],
    "sac": [dict(width=16), dict(width=16, policy_delay=1, alpha="auto")],
    "td3": [dict(width=16)],
    "sac-lag": [
        dict(width=16, multiplier_warmup=6, cost_normalize=True),
        dict(width=16, policy_delay=1, alpha="auto", multiplier_warmup=0, multiplier_optimizer="sgd"),
    ],
    "td3-lag": [dict(width=16, multiplier_warmup=6)],
    "sac-pid": [dict(width=16, multiplier_warmup=6, kp=0.1, ki=0.01, kd=0.1)],
    "td3-pid": [dict(width=16, multiplier_warmup=6, kp=0.1, ki=0.01, kd=0.1)],
    "wcsac": [
        dict(width=16, quantiles=5, cosines=8, cost_limit=3.0),
        dict(width=16, safety_critic="gaussian", policy_delay=1, alpha="auto", critic_grad_norm=0.5,
             nonnegative_price=True),
    ],
    "lsac": [
        dict(width=16, ensemble=3, temperature=1e-6),
        dict(width=16, ensemble=2, actor_pairs="best", policy_delay=1, alpha=0.1, actor_grad_norm=0.5),
    ],
}  # fmt: skip
OFF_POLICY = [name for name, (_, config) in AGENTS.items() if issubclass(config, OffPolicyConfig)]


@pytest.fixture(params=[(name, place) for name in OFF_POLICY for place in range(len(SMALL[name]))], ids=str)
def make(request: pytest.FixtureRequest) -> Make:
    name, place = request.param
    return lambda runs, seed, **more: make_agent(name, SPEC, SMALL[name][place] | more, runs=runs, seed=seed)


def test_runs_do_not_leak_into_one_another(make):
    check_runs_do_not_leak(lambda runs, seed: make(runs, seed, precision="fp64"))


def test_four_runs_issue_as_many_operators_as_one(make):
    check_operators_do_not_grow_with_runs(make)


def test_the_state_brings_everything_back_and_a_selection_goes_on(make):
    check_state_comes_back(lambda runs, seed: make(runs, seed, precision="fp64"))


def test_everything_moves_and_metrics_are_of_runs(make):
    check_everything_moves(make, updates=2)


def test_a_recorded_update_is_the_eager_one(make):
    check_recorded_updates(make)
