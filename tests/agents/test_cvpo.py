"""CVPO: targets and weights by hand, the M-step against the objective spelt out; presets and bad settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.cvpo import CVPO, CVPOConfig
from pyslsac.ops.reference.estep_dual import objective
from tests.agents.contract import SPEC, batch_of, two_steps

SMALL = dict(width=16, particles=6, cost_limit=3.0)
NAMES = ("actor", "critics", "cost_critics", "target_actor", "target_critics", "target_cost_critics")


def agent_of(runs: int = 1, seed: int = 0, **config) -> CVPO:
    return make_agent("cvpo", SPEC, SMALL | config, runs=runs, seed=seed)


def test_targets_by_hand():
    """r + gamma min and c + gamma_c max, a' of the present policy, at the end of two steps for the cost."""
    agent, batch = agent_of(precision="fp64", gamma=0.9, cost_gamma=0.8), two_steps(batch_of())
    batch = batch.to("cpu", torch.float64)
    noise = agent.normals((8, 2), 1, 0)
    y, z, metrics = agent.targets(batch, noise)
    with torch.no_grad():
        ends = []
        for obs, critics in ((batch.next_obs, agent.target_critics), (batch.tail_obs, agent.target_cost_critics)):
            action, log_prob = agent.actor(obs, noise)
            ends.append((critics(torch.cat([obs, action], -1))[..., 0], log_prob))
    torch.testing.assert_close(y, batch.reward + 0.9 * (1 - batch.terminated) * ends[0][0].min(1).values)
    later = 0.8**2 * ends[1][0].max(1).values
    torch.testing.assert_close(
        z, batch.cost + 0.8 * 0.5 + batch.terminated * later
    )  # the tail ends where this does not
    torch.testing.assert_close(metrics["Value/Entropy"], -ends[0][1].mean(-1))
    endless = agent_of(precision="fp64", gamma=0.9, cost_gamma=0.8, cost_terminates=False)
    torch.testing.assert_close(endless.targets(batch, noise)[1], batch.cost + 0.8 * 0.5 + later)


@pytest.mark.parametrize("which", ["target", "online"])
def test_the_e_step_weighs_actions_of_the_old_policy(which):
    agent, batch = agent_of(precision="fp64", estep_critics=which, cost_limit=1.0), batch_of(size=12)
    for _ in range(3):
        agent.update(batch)
    obs, noise = batch.obs.double(), agent.normals((12, 6, 2), 2, 3)
    improved, metrics = agent.e_step(obs, noise)
    with torch.no_grad():
        mean, log_std = agent.target_actor.latent(obs)
        action = torch.tanh(mean.unsqueeze(2) + log_std.exp().unsqueeze(2) * noise)
        x = torch.cat([obs.unsqueeze(2).expand(-1, -1, 6, -1), action], -1).flatten(1, 2)
        prefix = "target_" if which == "target" else ""
        reward = getattr(agent, f"{prefix}critics")(x)[..., 0].min(1).values.view(1, 12, 6)
        cost = getattr(agent, f"{prefix}cost_critics")(x)[..., 0].max(1).values.view(1, 12, 6)
    w = torch.softmax((reward - agent.dual.multiplier * cost) / agent.dual.eta, -1)
    torch.testing.assert_close(improved.first, (w.unsqueeze(-1) * noise).sum(2))
    torch.testing.assert_close(improved.second, (w.unsqueeze(-1) * noise**2).sum(2))
    torch.testing.assert_close(metrics["Dual/Cost"], (w * cost).sum(-1).mean(-1))
    torch.testing.assert_close(metrics["Dual/KL"], (w * (6 * w).log()).sum(-1).mean(-1))
    torch.testing.assert_close(metrics["Value/cost_critic"], cost.mean((1, 2)))
    q, (eta, multiplier) = torch.stack([reward, cost], 1), (agent.dual.eta, agent.dual.multiplier)
    assert agent.budget == pytest.approx((1 - 0.99**10) / 0.01 / 10)
    best = objective(q, eta[None], multiplier[None], 0.1, agent.budget)
    for eta_by, multiplier_by in ((1.01, 0), (0.99, 0), (1, 1e-3)):
        assert best <= objective(q, eta[None] * eta_by, multiplier[None] + multiplier_by, 0.1, agent.budget)


def test_the_m_step_is_the_objective_over_all_actions():
    """Value and gradient from two moments of the noise equal those of K log densities a state."""
    agent, batch = agent_of(2, precision="fp64"), batch_of(2, size=12)
    for _ in range(2):
        agent.update(batch)
    obs, noise = batch.obs.double(), agent.normals((12, 6, 2), 2, 5)
    w = torch.softmax(torch.randn(2, 12, 6, dtype=torch.float64), -1)
    mean, log_std = agent.target_actor.latent(obs)
    moments = [(w.unsqueeze(-1) * noise**power).sum(2) for power in (1, 2)]
    improved = type(agent.e_step(obs, noise)[0])(mean, log_std, *moments)
    fit, divergence = agent.m_step(obs, improved)

    normal, independent, kl = (
        torch.distributions.Normal,
        torch.distributions.Independent,
        torch.distributions.kl_divergence,
    )
    u = (mean.unsqueeze(2) + log_std.exp().unsqueeze(2) * noise).movedim(2, 0)  # [K, R, B, A]
    new_mean, new_log_std = agent.actor.latent(obs)
    old = independent(normal(mean, log_std.exp()), 1)
    first, second = independent(normal(new_mean, log_std.exp()), 1), independent(normal(mean, new_log_std.exp()), 1)
    plain_fit = (w.movedim(2, 0) * (first.log_prob(u) + second.log_prob(u))).sum(0).mean(-1)
    plain = torch.stack([kl(old, first).mean(-1), kl(old, second).mean(-1)], -1)
    torch.testing.assert_close(fit, plain_fit, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(divergence, plain, rtol=1e-10, atol=1e-14)
    parameters, price = list(agent.actor.parameters()), torch.tensor([3.0, 70.0]).double()
    losses = [(price * d).sum() - f.sum() for f, d in ((fit, divergence), (plain_fit, plain))]
    ours, theirs = (torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]) for loss in losses)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_more_weight_on_an_action_moves_the_mean_towards_it():
    agent, batch = agent_of(precision="fp64", mstep_iters=30, polyak=0.0, actor_lr=1e-3), batch_of()
    before = agent.actor.latent(batch.obs.double())[0]
    metrics = agent.update(batch)
    improved, _ = agent.e_step(batch.obs.double(), agent.normals((8, 6, 2), 2, 0))
    shift = agent.actor.latent(batch.obs.double())[0] - before
    assert torch.cosine_similarity(shift.flatten(), (improved.first * improved.log_std.exp()).flatten(), 0) > 0.5
    assert 0 < metrics["Trust/KLMean"] < 0.2


def test_presets():
    assert config_for("cvpo", "default") == CVPOConfig()
    original, fsrl = config_for("cvpo", "original"), config_for("cvpo", "fsrl")
    assert (original.batch_size, original.mstep_iters, original.trust_region) == (300, 6, "clip")
    assert (original.cost_critics, original.cost_terminates, original.actor_grad_norm) == (1, False, 0.01)
    assert 8_000 * original.updates_per_step == pytest.approx(40 * 8_000 / 300)
    assert (fsrl.dual_optimizer, fsrl.estep_critics, fsrl.cost_steps, fsrl.eps_dual) == ("adam", "online", 2, 0.02)
    assert config_for("cvpo", "step").start_steps == 2_000


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(cost_critics=3), "cost_critics"),
        (dict(particles=0), "particles"),
        (dict(gamma=1.5), "gamma"),
        (dict(eps_dual=-1.0), "eps_dual"),
        (dict(dual_optimizer="slsqp"), "'newton' or 'adam'"),
        (dict(trust_region="hard"), "'softplus' or 'clip'"),
        (dict(particle=3), "did you mean 'particles'"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=8, deadline=None)
@given(
    critics=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    names=st.sampled_from([("newton", "softplus", "target"), ("adam", "clip", "online"), ("newton", "clip", "online")]),
    particles=st.integers(1, 5),
    mle_mean=st.booleans(),
    grad_norm=st.sampled_from([None, 0.01]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
    cost_limit=st.sampled_from([0.0, 1.0, 1e6]),
)
def test_any_configuration_takes_finite_steps(critics, names, particles, mle_mean, grad_norm, precision, cost_limit):
    agent = agent_of(
        reward_critics=critics[0], cost_critics=critics[1], dual_optimizer=names[0], trust_region=names[1],
        estep_critics=names[2], particles=particles, mle_mean=mle_mean, actor_grad_norm=grad_norm, precision=precision,
        cost_limit=cost_limit,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update)) | agent.gauges()
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for name in NAMES for p in getattr(agent, name).parameters())
