"""SAC: one update by hand, what it shares with SAC-Lag, presets and bad settings."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.sac import SAC, SACConfig
from pyslsac.data import Spec
from tests.agents.by_hand import one_transition, set_line, set_zero
from tests.agents.contract import SPEC, batch_of, moved, weights


def agent_of(runs: int = 1, **config) -> SAC:
    return make_agent("sac", SPEC, dict(width=16) | config, runs=runs)


def test_one_update_by_hand():
    """Critics that say a + 1 and 3 (a + 1), a policy N(0, 1) under the tanh, no noise drawn: log π = -log √(2π).

    Adam's first step moves every parameter that has a gradient by its rate.
    """
    rates = dict(critic_lr=0.1, actor_lr=0.1, policy_delay=1, polyak=0.5, gamma=0.9, alpha="auto", alpha_lr=0.1)
    agent = make_agent("sac", Spec(1, 1, 10), dict(width=1, precision="fp64") | rates)
    for name in ("critics", "target_critics"):
        set_line(getattr(agent, name), 1.0, 3.0)
    set_zero(agent.actor)
    agent.draw = lambda batch_size: (torch.zeros(1, 1, 1).double(),) * 2
    metrics = agent.update(one_transition(reward=4.0, cost=9.0))  # y = 4 + 0.9 (1 + 0.9189385) = 5.7270447
    assert metrics["Loss/Loss_reward_critic"].item() == pytest.approx(29.7817272)  # 4.7270447² + 2.7270447²
    assert metrics["Loss/Loss_pi"].item() == pytest.approx(-0.9189385 - 1.541)  # 1.541 = 1.1 (1.1 · 1.1 + 0.1) + 0.1
    assert agent.actor.network.layers[-1].bias.flatten().tolist() == pytest.approx([0.1, 0.1])
    assert agent.target_critics.layers[-1].weight.flatten().tolist() == pytest.approx([1.05, 3.05])
    assert agent.alpha.value.item() == pytest.approx(math.exp(-0.1))  # an entropy of 0.92 is above the target -1


def test_it_is_sac_lag_without_a_multiplier():
    """The same weights, batches and numbers, a multiplier that stays at 0: the same policy."""
    one = agent_of(precision="fp64")
    other = make_agent("sac-lag", SPEC, dict(width=16, precision="fp64", multiplier_init=0.0, multiplier_lr=0.0))
    for name in ("actor", "critics", "target_critics"):
        getattr(other, name).load_state_dict(getattr(one, name).state_dict())
    for update in range(4):
        metrics = [agent.update(batch_of(seed=update)) for agent in (one, other)]
        assert all(torch.equal(value, metrics[1][name]) for name, value in metrics[0].items())
    assert not moved(weights(one.actor), other.actor)
    assert not any(name.startswith("cost") for name in one.parts)


def test_presets():
    assert config_for("sac", "omnisafe") == SACConfig()
    assert config_for("sac", "omnisafe-navigation").alpha == 1e-5
    step = config_for("sac", "step")
    assert (step.alpha, step.policy_delay, step.start_steps) == ("auto", 1, 2_000)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(policy_delay=0), "policy_delay"),
        (dict(polyak=1.5), "polyak"),
        (dict(multiplier_lr=1.0), "unknown field of SACConfig 'multiplier_lr'"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=6, deadline=None)
@given(
    alpha=st.sampled_from(["auto", 1e-5, 1.0]),
    rate=st.sampled_from([0.0, 1e-3, 1.0]),
    delay=st.integers(1, 2),
    grad_norm=st.sampled_from([1e-3, 40.0, math.inf]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_finite_steps(alpha, rate, delay, grad_norm, precision):
    agent = agent_of(
        alpha=alpha, critic_lr=rate, actor_lr=rate, policy_delay=delay, critic_grad_norm=grad_norm,
        actor_grad_norm=grad_norm, precision=precision,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update)) | agent.gauges()
    assert all(value.isfinite().all() for value in metrics.values())
