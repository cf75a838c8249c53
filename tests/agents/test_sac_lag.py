"""SAC-Lag: one update by hand, targets and losses spelt out, the multiplier's rhythm, presets and bad settings."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.sac_lag import SACLag, SACLagConfig
from pyslsac.data import Spec
from tests.agents.by_hand import one_transition, set_line, set_zero
from tests.agents.contract import SPEC, batch_of, moved, two_steps, weights

SMALL = dict(width=16, multiplier_init=0.5)


def agent_of(runs: int = 1, **config) -> SACLag:
    return make_agent("sac-lag", SPEC, SMALL | config, runs=runs)


def test_one_update_by_hand():
    """Critics that say a + 1, 3 (a + 1) and, of the cost, 2 (a + 1); a policy N(0, 1) under the tanh; no noise drawn.

    With a = 0 everywhere log π = -log √(2π). Adam's first step moves every parameter that has a gradient by its rate.
    """
    rates = dict(critic_lr=0.1, actor_lr=0.1, policy_delay=1, polyak=0.5, gamma=0.9, cost_gamma=0.9)
    agent = make_agent("sac-lag", Spec(1, 1, 10), dict(width=1, precision="fp64", multiplier_init=0.5) | rates)
    for name in ("critics", "target_critics"):
        set_line(getattr(agent, name), 1.0, 3.0)
    for name in ("cost_critic", "target_cost_critic"):
        set_line(getattr(agent, name), 2.0)
    set_zero(agent.actor)
    agent.draw = lambda batch_size: (torch.zeros(1, 1, 1).double(),) * 2
    batch = one_transition(reward=4.0, cost=-5.0)
    y, z = agent.targets(batch, torch.zeros(1, 1, 1).double())
    assert y.item() == pytest.approx(5.0654089)  # 4 + 0.9 (1 + 0.2 · 0.9189385)
    assert z.item() == pytest.approx(-3.2)  # -5 + 0.9 · 2
    metrics = agent.update(batch)
    assert metrics["Loss/Loss_reward_critic"].item() == pytest.approx(20.7934635)  # 4.0654089² + 2.0654089²
    assert metrics["Loss/Loss_cost_critic"].item() == pytest.approx(27.04)  # 5.2²
    # The first critic has moved up to 1.1 (1.1 · 1.1 + 0.1) + 0.1 = 1.541, the cost's down to
    # 1.9 (0.9 · 0.9 - 0.1) - 0.1 = 1.249: the policy's loss is (-0.2 · 0.9189385 - 1.541 + 0.5 · 1.249) / 1.5.
    assert metrics["Loss/Loss_pi"].item() == pytest.approx(-0.7335251)
    assert metrics["Value/cost_critic"].item() == pytest.approx(1.249)
    assert metrics["Value/Entropy"].item() == pytest.approx(0.9189385)
    # Its slope in a is (-1.1 · 1.1 + 0.5 · 1.9 · 0.9) / 1.5 < 0, in log std -0.2 / 1.5: both rise.
    assert agent.actor.network.layers[-1].bias.flatten().tolist() == pytest.approx([0.1, 0.1])
    last = agent.critics.layers[-1], agent.target_critics.layers[-1], agent.target_cost_critic.layers[-1]
    assert last[0].weight.flatten().tolist() == pytest.approx([1.1, 3.1])
    assert last[1].weight.flatten().tolist() == pytest.approx([1.05, 3.05])
    assert last[2].weight.item() == pytest.approx(1.95) and last[2].bias.item() == pytest.approx(-0.05)


def test_targets_by_hand_over_two_steps():
    """The reward's over one step with a sample, the cost's over two with the mode, from another state."""
    agent, batch = agent_of(precision="fp64", gamma=0.9, cost_gamma=0.8, alpha=0.3), two_steps(batch_of())
    batch = batch.to("cpu", torch.float64)
    noise, _ = agent.draw(8)
    y, z = agent.targets(batch, noise)
    with torch.no_grad():
        mean, log_std = agent.actor.latent(batch.next_obs)
        u = mean + log_std.exp() * noise
        log_prob = torch.distributions.Normal(mean, log_std.exp()).log_prob(u) - (1 - torch.tanh(u) ** 2).log()
        q = agent.target_critics(torch.cat([batch.next_obs, torch.tanh(u)], -1))[0, ..., 0]
        mode = torch.tanh(agent.actor.latent(batch.tail_obs)[0])
        cost = agent.target_cost_critic(torch.cat([batch.tail_obs, mode], -1))[..., 0]
    value = torch.minimum(q[0], q[1]) - 0.3 * log_prob.sum(-1)
    torch.testing.assert_close(y, batch.reward + 0.9 * (1 - batch.terminated) * value)
    torch.testing.assert_close(z, batch.cost + 0.8 * 0.5 + 0.8**2 * batch.terminated * cost)


def test_the_actors_loss_is_weighed_by_the_multiplier():
    """(R + λ C) / (1 + λ): at λ = 1 halfway, in value and gradient, between the reward's loss alone and the cost's."""
    agent, batch = agent_of(precision="fp64"), batch_of(size=32).to("cpu", torch.float64)
    parameters, found = list(agent.actor.parameters()), []
    for multiplier in (0.0, 1.0, 1e12):
        agent.multiplier.value.fill_(multiplier)
        loss, metrics = agent.actor_loss(batch, agent.draw(32)[1])
        gradient = [g.flatten() for g in torch.autograd.grad(loss.sum(), parameters)]
        found.append(torch.cat([loss.detach(), *gradient]))
    torch.testing.assert_close(found[1], (found[0] + found[2]) / 2, rtol=1e-6, atol=1e-9)
    assert found[2][0].item() == pytest.approx(metrics["Value/cost_critic"].item())


def test_actor_and_targets_move_every_second_update():
    agent, slow = agent_of(), ("actor", "target_critics", "target_cost_critic")
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
    assert agent.gauges()["Metrics/EpCostCVaR"][0].item() == 35.0


def test_by_default_adam_moves_it_by_its_rate_a_step_after_202_000():
    agent = make_agent("sac-lag", SPEC, dict(width=16))
    agent.record_episode(0, 700.0)
    agent.after_env_steps(202_000)
    assert agent.multiplier.value.item() == 1e-3
    agent.after_env_steps(4)
    assert agent.multiplier.value.item() == pytest.approx(1e-3 + 4e-5, rel=1e-9)


def test_cost_normalisation_is_asked_for():
    cost = torch.tensor([[0.0, 1.0, 0.0]])
    assert agent_of().stored_cost(cost) is cost
    assert agent_of(cost_normalize=True).stored_cost(cost).min() < 0


def test_presets():
    goal, ant = "SafetyPointGoal1-v0", "SafetyAntVelocity-v1"
    assert config_for("sac-lag", "omnisafe", goal) == config_for("sac-lag") == SACLagConfig()
    assert config_for("sac-lag", "omnisafe", ant).cost_normalize
    slow = config_for("sac-lag", "omnisafe-navigation", goal)
    assert (slow.actor_lr, slow.critic_lr, slow.alpha) == (5e-6, 1e-3, 1e-5)
    assert (slow.multiplier_init, slow.multiplier_lr) == (0.0, 5e-7)
    ours, theirs = config_for("sac-lag", "step"), config_for("sl-sac", "step")
    for name in ("alpha", "policy_delay", "start_steps", "multiplier_warmup", "multiplier_window"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(width=0), "width"),
        (dict(cost_gamma=1.1), "cost_gamma"),
        (dict(critic_grad_norm=-1.0), "critic_grad_norm"),
        (dict(multiplier_init=-1.0), "must not be negative"),
        (dict(multiplier_optimizer="pid"), "'sgd' or 'adam'"),
        (dict(multiplier=3), "did you mean 'multiplier"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=8, deadline=None)
@given(
    alpha=st.sampled_from(["auto", 1e-5, 1.0]),
    optimizer=st.sampled_from(["sgd", "adam"]),
    rates=st.tuples(*[st.sampled_from([0.0, 1e-3, 1.0])] * 3),
    grad_norm=st.sampled_from([1e-3, 40.0, math.inf]),
    gamma=st.floats(0.0, 1.0),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_finite_steps(alpha, optimizer, rates, grad_norm, gamma, precision):
    agent = agent_of(
        alpha=alpha, multiplier_optimizer=optimizer, critic_lr=rates[0], actor_lr=rates[1], multiplier_lr=rates[2],
        critic_grad_norm=grad_norm, actor_grad_norm=grad_norm, gamma=gamma, cost_gamma=1 - gamma, precision=precision,
        multiplier_warmup=0, policy_delay=1,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update))
        agent.record_episode(0, 70.0)
        agent.after_env_steps(2)
    assert all(value.isfinite().all() for value in (metrics | agent.gauges()).values())
    assert all(p.isfinite().all() for p in agent.actor.parameters())
