"""WCSAC: targets and prices by hand, what moves when, which way a negative price pulls."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.wcsac import WCSAC, WCSACConfig
from pyslsac.data import Spec
from tests.agents.contract import SPEC, batch_of, moved, two_steps, weights

SMALL = dict(width=16, quantiles=5, cosines=8)


def agent_of(runs: int = 1, seed: int = 0, spec: Spec = SPEC, **config) -> WCSAC:
    return make_agent("wcsac", spec, SMALL | config, runs=runs, seed=seed)


def test_actor_and_targets_move_every_second_update_and_the_multiplier_every_one():
    agent = agent_of(policy_delay=2)
    slow = ("actor", "target_critics", "target_cost_critic")
    for update in range(4):
        before = {name: weights(getattr(agent, name)) for name in (*slow, "critics", "cost_critic")}
        multiplier = agent.multiplier.value
        metrics = agent.update(batch_of(seed=update))
        assert moved(before["critics"], agent.critics) and moved(before["cost_critic"], agent.cost_critic)
        assert not torch.equal(multiplier, agent.multiplier.value)
        for name in slow:
            assert moved(before[name], getattr(agent, name)) == (update % 2 == 1)
        assert ("Loss/Loss_pi" in metrics) == (update % 2 == 1)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("form", ["iqn", "gaussian"])
def test_targets_by_hand(form, steps):
    agent = agent_of(precision="fp64", safety_critic=form)
    batch = batch_of() if steps == 1 else two_steps(batch_of())
    batch = batch.to("cpu", torch.float64)
    draws = agent.draw(8)
    y, z = agent.targets(batch, draws)
    last, cost, discount = batch.next_obs, batch.cost, 0.99 * (1 - batch.terminated)
    if steps == 2:
        last, cost, discount = batch.tail_obs, batch.cost + 0.99 * 0.5, 0.99**2 * (1 - batch.tail_terminated)
    with torch.no_grad():
        action, log_prob = agent.actor(batch.next_obs, draws.next_action)
        q = agent.target_critics(torch.cat([batch.next_obs, action], -1))[0, :, :, 0]  # [2, B]
        value = torch.minimum(q[0], q[1]) - 0.2 * log_prob[0]
        torch.testing.assert_close(y[0], batch.reward[0] + 0.99 * (1 - batch.terminated[0]) * value)
        action = agent.actor(last, draws.next_action)[0]
        if form == "iqn":
            quantiles = agent.target_cost_critic(last, action, draws.next_tau)
            torch.testing.assert_close(z, cost[..., None] + discount[..., None] * quantiles)
        else:
            mean, std = agent.target_cost_critic(last, action)
            now = agent.cost_critic(batch.obs, batch.action)[0]
            second = cost**2 + 2 * discount * cost * mean + discount**2 * (std**2 + mean**2)
            torch.testing.assert_close(z[0], cost + discount * mean)
            torch.testing.assert_close(z[1], (second - now**2).clamp(min=1e-8).sqrt())


def test_the_price_by_hand():
    """The budget is 2.5. A critic that says 3.1: damp = 10 (2.5 - 3.1), price log 2 + 6; at 2.2 it is log 2 - 3."""
    spec = Spec(obs_dim=4, act_dim=2, horizon=1000)
    for form, free in (("iqn", True), ("iqn", False), ("gaussian", True)):
        agent = agent_of(spec=spec, precision="fp64", safety_critic=form, nonnegative_price=not free, risk_level=1.0)
        assert agent.budget == pytest.approx(2.49989, abs=1e-5)
        for says, price in ((3.1, math.log(2) + 6), (2.2, math.log(2) - 3)):
            last = agent.cost_critic.head if form == "iqn" else agent.cost_critic.networks.layers[-1]
            last.weight.data.zero_()
            last.bias.data.fill_(says)
            found, excess, seen = agent.price(batch_of().to("cpu", torch.float64), agent.draw(8).risk_tau)
            assert found.item() == pytest.approx(price if free else max(price, 0.0), abs=2e-3)
            assert excess.item() == pytest.approx(says - 2.49989, abs=1e-5)
            assert seen["Value/ReplayCVaR"].item() == pytest.approx(says)


def test_a_negative_price_pays_for_cost():
    """With the critics held, the actor's gradient is linear in the price: that of -5 mirrors that of 5 about 0's."""
    agent, batch = agent_of(precision="fp64"), batch_of(size=64).to("cpu", torch.float64)
    draws, grads = agent.draw(64), []
    for price in (0.0, 5.0, -5.0):
        loss, _ = agent.actor_loss(batch, draws, torch.tensor([price], dtype=torch.float64))
        grads.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss.sum(), list(agent.actor.parameters()))]))
    torch.testing.assert_close(grads[2] - grads[0], grads[0] - grads[1])
    assert (grads[1] - grads[0]).norm() > 1e-3


def test_cvar_of_both_forms():
    batch = batch_of().to("cpu", torch.float64)
    agent = agent_of(precision="fp64", risk_level=0.1)
    tau = agent.draw(8).risk_tau
    assert tau.min() >= 0.9 and tau.max() <= 1
    quantiles = agent.cost_critic(batch.obs, batch.action, tau)
    torch.testing.assert_close(agent.cvar(batch.obs, batch.action, tau), quantiles.sum(-1) / 5)
    agent = agent_of(precision="fp64", risk_level=0.1, safety_critic="gaussian")
    mean, std = agent.cost_critic(batch.obs, batch.action)
    torch.testing.assert_close(agent.cvar(batch.obs, batch.action, tau), mean + 1.754983319 * std)


def test_the_multiplier_rises_with_the_critics_cost_alone():
    cheap, dear = agent_of(cost_limit=1e6), agent_of(cost_limit=0.0)
    for update in range(3):
        for agent in (cheap, dear):
            agent.record_episode(0, 1e9)  # episodes do not matter
            agent.cost_critic.head.bias.data.fill_(1.0)
            agent.update(batch_of(seed=update))
    assert cheap.gauges()["Metrics/LagrangeMultiplier"] < math.log(2) < dear.gauges()["Metrics/LagrangeMultiplier"]


def test_presets():
    assert config_for("wcsac") == config_for("wcsac", "paper") == WCSACConfig()
    assert config_for("wcsac", "omnisafe").start_steps == 10_000
    step = config_for("wcsac", "step")
    assert (step.alpha, step.policy_delay, step.start_steps) == ("auto", 1, 2_000)
    for name, form, scale in (("original", "iqn", 20), ("original-gaussian", "gaussian", 50)):
        original = config_for("wcsac", name)
        assert original.safety_critic == form and original.multiplier_lr == pytest.approx(scale * original.critic_lr)
        assert original.actor_grad_norm is None and original.policy_delay == 1
    assert WCSACConfig().multiplier_lr == pytest.approx(20 * WCSACConfig().critic_lr)


@pytest.mark.parametrize("field", ["width", "quantiles", "risk_level", "polyak", "damping", "multiplier_lr"])
def test_bad_fields_are_named(field):
    with pytest.raises(ValueError, match=field):
        agent_of(**{field: -1})


@settings(max_examples=15, deadline=None)
@given(
    form=st.sampled_from(["iqn", "gaussian"]),
    quantiles=st.integers(1, 5),
    risk_level=st.floats(0.05, 1.0),
    damping=st.floats(0.0, 20.0),
    clips=st.sampled_from([(None, None), (0.1, 1.0)]),
    free=st.booleans(),
    alpha=st.sampled_from(["auto", 0.0, 0.5]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_a_finite_step(form, quantiles, risk_level, damping, clips, free, alpha, precision):
    agent = agent_of(
        safety_critic=form, quantiles=quantiles, risk_level=risk_level, damping=damping, nonnegative_price=not free,
        critic_grad_norm=clips[0], actor_grad_norm=clips[1], alpha=alpha, precision=precision, policy_delay=1,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.cost_critic.parameters())
