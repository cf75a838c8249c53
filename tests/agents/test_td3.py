"""TD3: one update by hand, what it shares with TD3-Lag, presets and bad settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.td3 import TD3, TD3Config
from pyslsac.data import Spec
from tests.agents.by_hand import one_transition, set_line, set_zero
from tests.agents.contract import SPEC, batch_of, moved, weights


def agent_of(runs: int = 1, **config) -> TD3:
    return make_agent("td3", SPEC, dict(width=16) | config, runs=runs)


def test_one_update_by_hand():
    """Critics that say a + 1 and 3 (a + 1), a policy that says 0, noise of -0.5 on the target's action.

    Adam's first step moves every parameter that has a gradient by its rate.
    """
    rates = dict(critic_lr=0.1, actor_lr=0.1, policy_delay=1, polyak=0.5, gamma=0.9)
    agent = make_agent("td3", Spec(1, 1, 10), dict(width=1, precision="fp64") | rates)
    for name in ("critics", "target_critics"):
        set_line(getattr(agent, name), 1.0, 3.0)
    set_zero(agent.actor)
    set_zero(agent.target_actor)
    agent.draw = lambda batch_size: torch.full((1, 1, 1), -0.5).double()
    metrics = agent.update(one_transition(reward=4.0, cost=9.0))  # y = 4 + 0.9 · 0.5
    assert metrics["Loss/Loss_reward_critic"].item() == pytest.approx(14.005)  # 3.45² + 1.45²
    assert metrics["Loss/Loss_pi"].item() == pytest.approx(-1.541)  # -(1.1 (1.1 · 1.1 + 0.1) + 0.1)
    assert agent.actor.network.layers[-1].bias.item() == pytest.approx(0.1)
    assert agent.target_actor.network.layers[-1].bias.item() == pytest.approx(0.05)
    assert agent.target_critics.layers[-1].weight.flatten().tolist() == pytest.approx([1.05, 3.05])


def test_it_is_td3_lag_without_a_multiplier():
    """The same weights, batches and numbers, a multiplier that stays at 0: the same policy."""
    one = agent_of(precision="fp64")
    other = make_agent("td3-lag", SPEC, dict(width=16, precision="fp64", multiplier_init=0.0, multiplier_lr=0.0))
    for name in ("actor", "critics", "target_actor", "target_critics"):
        getattr(other, name).load_state_dict(getattr(one, name).state_dict())
    for update in range(4):
        metrics = [agent.update(batch_of(seed=update)) for agent in (one, other)]
        assert all(torch.equal(value, metrics[1][name]) for name, value in metrics[0].items())
    assert not moved(weights(one.actor), other.actor)
    assert not any(name.startswith("cost") for name in one.parts)


def test_presets():
    assert config_for("td3", "omnisafe") == TD3Config()
    assert config_for("td3", "omnisafe-navigation").critic_lr == 1e-3
    step = config_for("td3", "step")
    assert (step.policy_delay, step.start_steps) == (1, 2_000)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(policy_delay=0), "policy_delay"),
        (dict(target_noise_clip=-1.0), "target_noise_clip"),
        (dict(cost_gamma=0.9), "did you mean 'gamma'"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=6, deadline=None)
@given(
    noise=st.tuples(*[st.sampled_from([0.0, 0.2, 5.0])] * 3),
    rate=st.sampled_from([0.0, 1e-3, 1.0]),
    delay=st.integers(1, 2),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_finite_steps(noise, rate, delay, precision):
    agent = agent_of(
        exploration_noise=noise[0], target_noise=noise[1], target_noise_clip=noise[2], critic_lr=rate, actor_lr=rate,
        policy_delay=delay, precision=precision,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update))
    assert all(value.isfinite().all() for value in metrics.values())
    assert agent.act(torch.randn(1, 4, SPEC.obs_dim)).isfinite().all()
