"""TD3-Lag: one update by hand, targets and losses spelt out, the multiplier's rhythm, presets and bad settings."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.td3_lag import TD3Lag, TD3LagConfig
from pyslsac.data import Spec
from tests.agents.by_hand import one_transition, set_line, set_zero
from tests.agents.contract import SPEC, batch_of, moved, two_steps, weights

SMALL = dict(width=16, multiplier_init=0.5)


def agent_of(runs: int = 1, **config) -> TD3Lag:
    return make_agent("td3-lag", SPEC, SMALL | config, runs=runs)


@pytest.mark.parametrize(("multiplier", "loss", "moves"), [(0.5, -0.611, 0.1), (1.0, -0.146, -0.1)])
def test_one_update_by_hand(multiplier, loss, moves):
    """Critics that say a + 1, 3 (a + 1) and, of the cost, 2 (a + 1), a policy that says 0; no noise drawn.

    Adam's first step moves every parameter that has a gradient by its rate. The first critic then stands at
    1.1 (1.1 · 1.1 + 0.1) + 0.1 = 1.541 with a slope of 1.21, the cost's at 1.9 (0.9 · 0.9 - 0.1) - 0.1 = 1.249 with a
    slope of 1.71: λ = 0.5 makes more of the reward, λ = 1 of the cost.
    """
    rates = dict(critic_lr=0.1, actor_lr=0.1, policy_delay=1, polyak=0.5, gamma=0.9, cost_gamma=0.9)
    agent = make_agent("td3-lag", Spec(1, 1, 10), dict(width=1, precision="fp64", multiplier_init=multiplier) | rates)
    for name in ("critics", "target_critics"):
        set_line(getattr(agent, name), 1.0, 3.0)
    for name in ("cost_critic", "target_cost_critic"):
        set_line(getattr(agent, name), 2.0)
    set_zero(agent.actor)
    set_zero(agent.target_actor)
    agent.draw = lambda batch_size: torch.zeros(1, 1, 1).double()
    metrics = agent.update(one_transition(reward=4.0, cost=-5.0))  # targets 4 + 0.9 · 1 and -5 + 0.9 · 2
    assert metrics["Loss/Loss_reward_critic"].item() == pytest.approx(18.82)  # 3.9² + 1.9²
    assert metrics["Loss/Loss_cost_critic"].item() == pytest.approx(27.04)  # 5.2²
    assert metrics["Loss/Loss_pi"].item() == pytest.approx(loss)  # (1.249 λ - 1.541) / (1 + λ)
    assert agent.actor.network.layers[-1].bias.item() == pytest.approx(moves)
    assert agent.target_actor.network.layers[-1].bias.item() == pytest.approx(moves / 2)
    assert agent.target_critics.layers[-1].weight.flatten().tolist() == pytest.approx([1.05, 3.05])
    assert agent.target_cost_critic.layers[-1].weight.item() == pytest.approx(1.95)


def test_targets_by_hand_over_two_steps():
    """The reward's with the target policy and clipped noise, the cost's with the present policy from a later state."""
    agent, batch = agent_of(precision="fp64", gamma=0.9, cost_gamma=0.8, policy_delay=1, polyak=0.5), batch_of()
    agent.update(batch)  # the target policy is another than the present one now
    batch = two_steps(batch).to("cpu", torch.float64)
    noise = agent.draw(8)
    y, z = agent.targets(batch, noise)
    with torch.no_grad():
        action = (agent.target_actor(batch.next_obs) + noise).clamp(-1, 1)
        q = agent.target_critics(torch.cat([batch.next_obs, action], -1))[0, ..., 0]
        cost = agent.target_cost_critic(torch.cat([batch.tail_obs, agent.actor(batch.tail_obs)], -1))[..., 0]
    torch.testing.assert_close(y, batch.reward + 0.9 * (1 - batch.terminated) * torch.minimum(q[0], q[1]))
    torch.testing.assert_close(z, batch.cost + 0.8 * 0.5 + 0.8**2 * batch.terminated * cost)


def test_noise_has_its_size_and_its_clip():
    agent = agent_of(exploration_noise=0.3)
    noise, bound = agent.draw(20_000), math.erf(2.5 / 2**0.5)  # 0.5 is 2.5 standard deviations
    assert noise.abs().max() == 0.5
    assert (noise.abs() < 0.5).double().mean().item() == pytest.approx(bound, abs=2e-3)
    assert noise[noise.abs() < 0.2].std().item() == pytest.approx(0.2 * 0.5395, rel=0.02)  # of a normal cut at ±1
    obs = torch.zeros(1, 20_000, SPEC.obs_dim)
    assert (agent.act(obs) - agent.act(obs, deterministic=True)).std().item() == pytest.approx(0.3, rel=0.05)
    assert agent.act(10 * torch.randn(1, 500, SPEC.obs_dim)).abs().max() <= 1


def test_actor_and_targets_move_every_second_update():
    agent, slow = agent_of(), ("actor", "target_actor", "target_critics", "target_cost_critic")
    for update in range(4):
        before = {name: weights(getattr(agent, name)) for name in (*slow, "critics", "cost_critic")}
        agent.update(batch_of(seed=update))
        assert moved(before["critics"], agent.critics) and moved(before["cost_critic"], agent.cost_critic)
        assert {moved(before[name], getattr(agent, name)) for name in slow} == {update % 2 == 1}


def test_the_multiplier_waits_then_follows_the_mean_of_the_last_episodes():
    rule = dict(multiplier_optimizer="sgd", multiplier_lr=0.01, multiplier_window=3, multiplier_warmup=100)
    agent = agent_of(2, **rule)
    for cost in (900.0, 50.0, 20.0, 35.0):  # the 900 has left the window; the mean of the others is 35
        agent.record_episode(0, cost)
    agent.after_env_steps(100)
    assert agent.multiplier.value.tolist() == [0.5, 0.5]
    agent.after_env_steps(3)  # 3 · 0.01 · (35 - 25); the other run has no episode yet
    torch.testing.assert_close(agent.multiplier.value, torch.tensor([0.8, 0.5], dtype=torch.float64))


def test_cost_normalisation_is_asked_for():
    cost = torch.tensor([[0.0, 1.0, 0.0]])
    assert agent_of().stored_cost(cost) is cost
    assert agent_of(cost_normalize=True).stored_cost(cost).min() < 0


def test_presets():
    goal, ant = "SafetyPointGoal1-v0", "SafetyAntVelocity-v1"
    assert config_for("td3-lag", "omnisafe", goal) == config_for("td3-lag") == TD3LagConfig()
    assert config_for("td3-lag", "omnisafe", ant).cost_normalize
    slow = config_for("td3-lag", "omnisafe-navigation", goal)
    assert (slow.actor_lr, slow.critic_lr, slow.multiplier_init, slow.multiplier_lr) == (5e-6, 1e-3, 0.0, 5e-7)
    ours, theirs = config_for("td3-lag", "step"), config_for("sac-lag", "step")
    for name in ("policy_delay", "start_steps", "multiplier_warmup", "multiplier_window", "multiplier_lr"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(target_noise=-0.1), "target_noise"),
        (dict(exploration_noise=-0.1), "exploration_noise"),
        (dict(multiplier_window=0), "multiplier_window"),
        (dict(multiplier_optimizer="pid"), "'sgd' or 'adam'"),
        (dict(alpha=0.2), "unknown field of TD3LagConfig 'alpha'"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=8, deadline=None)
@given(
    noise=st.tuples(*[st.sampled_from([0.0, 0.2, 5.0])] * 3),
    optimizer=st.sampled_from(["sgd", "adam"]),
    rates=st.tuples(*[st.sampled_from([0.0, 1e-3, 1.0])] * 3),
    gamma=st.floats(0.0, 1.0),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_finite_steps(noise, optimizer, rates, gamma, precision):
    agent = agent_of(
        exploration_noise=noise[0], target_noise=noise[1], target_noise_clip=noise[2], multiplier_warmup=0,
        multiplier_optimizer=optimizer, critic_lr=rates[0], actor_lr=rates[1], multiplier_lr=rates[2], gamma=gamma,
        cost_gamma=1 - gamma, precision=precision, policy_delay=1,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update))
        agent.record_episode(0, 70.0)
        agent.after_env_steps(2)
    assert all(value.isfinite().all() for value in (metrics | agent.gauges()).values())
    assert agent.act(torch.randn(1, 4, SPEC.obs_dim)).isfinite().all()
