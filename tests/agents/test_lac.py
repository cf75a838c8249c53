"""LAC: parts move, runs do not leak, states come back, the multiplier and its cap by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.lac import LAC, LACConfig
from pyslsac.data import Batch, NStepBatch
from tests.agents.contract import SPEC

SMALL = dict(width=16, generator_width=16, chain_steps=3, multiplier_init=0.3)
NETWORKS = ("generator", "critics", "cost_critics")


def agent_of(runs: int = 1, seed: int = 0, **config) -> LAC:
    return make_agent("lac", SPEC, SMALL | config, runs=runs, seed=seed)


def batch_of(runs: int = 1, seed: int = 0, size: int = 8, steps: int = 1) -> Batch:
    """Random transitions; run r's depend on seed + r alone."""
    parts = []
    for run in range(runs):
        g = torch.Generator().manual_seed(1000 + seed + run)
        obs, next_obs, tail_obs = (3 * torch.randn(size, 4, generator=g) for _ in range(3))
        action, reward = torch.rand(size, 2, generator=g) * 2 - 1, torch.randn(size, generator=g)
        costs = torch.rand(size, steps, generator=g)
        ends = (torch.rand(size, generator=g) < 0.3).float()
        taken = torch.randint(1, steps + 1, (size,), generator=g).float()
        one = obs, action, reward, costs[:, 0], next_obs, ends
        parts.append(one if steps == 1 else (*one, costs, taken, tail_obs, 1 - ends))
    kind = Batch if steps == 1 else NStepBatch
    return kind(*(torch.stack(values) for values in zip(*parts, strict=True)))


@pytest.mark.parametrize("steps", [1, 3])
def test_targets_take_the_worse_twins_where_the_chains_end(steps):
    agent = agent_of(precision="fp64", cost_gamma=0.9, cost_steps=steps)
    for part in (agent.target_critics, agent.target_cost_critics):  # apart from the online ones
        for parameter in part.parameters():
            parameter += 0.01
    batch = batch_of(steps=steps).to("cpu", torch.float64)
    action, y, z, _ = agent.targets(batch)
    q = agent.target_critics(torch.cat([batch.next_obs, action], -1))[0, :, :, 0]  # [2, B]
    torch.testing.assert_close(y[0], batch.reward[0] + 0.99 * (1 - batch.terminated[0]) * torch.minimum(*q))
    tail = batch.tail(0.9)
    if steps == 1:
        last = action
    else:  # the same call made both: the second half of the noise is the tails'
        states = torch.cat([batch.next_obs, tail.obs], 1)
        mean, std = agent.target_generator(states)
        last = agent.chain(states, mean + std * agent.normals((16, 2), 1, 0), (mean, std))[:, 8:]
        assert not torch.equal(last, action)
    q = agent.target_cost_critics(torch.cat([tail.obs, last], -1))[0, :, :, 0]
    alive = 1 - tail.terminated[0]
    torch.testing.assert_close(z[0], tail.cost[0] + tail.discount[0] * alive * torch.maximum(*q))


def test_the_generator_alone_acts():
    agent = agent_of(precision="fp64")
    obs = torch.randn(1, 4000, 4, dtype=torch.float64)
    mean, std = agent.generator(obs)
    assert torch.equal(agent.act(obs, deterministic=True), mean.clamp(-1, 1))
    action = agent.act(obs)
    inside = action.abs() < 1
    assert action.abs().max() == 1 and inside.double().mean() > 0.8
    noise = ((action - mean) / std)[:, :, 0]
    assert noise.mean().abs() < 0.1 and not torch.equal(action, agent.act(obs))
    with torch.no_grad():
        agent.generator.network.layers[-1].bias += 9.0
    assert (agent.act(obs, deterministic=True) == 1).all()


def test_the_generator_climbs_to_where_the_chains_ended():
    agent = agent_of(precision="fp64", generator_lr=0.02)
    obs, ends = torch.randn(1, 64, 4, dtype=torch.float64), torch.full((1, 64, 2), 0.4, dtype=torch.float64)
    ends[..., 1] = -0.7 + 0.1 * torch.randn(1, 64, dtype=torch.float64)
    for _ in range(300):
        loss, _ = agent.generator_loss(obs, ends)
        agent.generator_optim.zero_grad()
        loss.sum().backward()
        agent.generator_optim.step()
    mean, std = agent.generator(obs)
    assert (mean[..., 0] - 0.4).abs().max() < 0.05 and (mean[..., 1] + 0.7).abs().mean() < 0.15
    assert std[0, 0, 0] < std[0, 0, 1] < 0.13


def test_divergence_is_that_of_two_gaussians_and_holds_the_generator_back():
    agent = agent_of(precision="fp64", generator_kl=2.0)
    obs, ends = torch.randn(1, 5, 4, dtype=torch.float64), torch.zeros(1, 5, 2, dtype=torch.float64)
    assert agent.generator_divergence(obs).abs().max() < 1e-12
    with torch.no_grad():
        agent.generator.log_std += torch.tensor([0.3, -0.2])
        agent.generator.network.layers[-1].bias += 0.25
    laws = [torch.distributions.Normal(*net(obs)) for net in (agent.generator, agent.target_generator)]
    expected = torch.distributions.kl_divergence(*laws).sum(-1)
    torch.testing.assert_close(agent.generator_divergence(obs), expected)
    loss, metrics = agent.generator_loss(obs, ends)
    torch.testing.assert_close(loss, metrics["Loss/Loss_pi"] + 2 * expected.mean(-1))


def test_presets():
    assert config_for("lac") == config_for("lac", "paper") == config_for("lac", "paper", "SafetyCarGoal1-v0")
    assert config_for("lac", "paper") == LACConfig()
    ant = config_for("lac", "paper", "SafetyAntVelocity-v1")
    assert (ant.start_steps, ant.iteration_steps, ant.multiplier_interval, ant.cost_gamma) == (
        25_000,
        5_000,
        5_000,
        0.99,
    )
    assert config_for("lac", "paper", "SafetyPointButton1-v0").chain_steps == 50
    step = config_for("lac", "step", "SafetyPointButton1-v0")
    assert (step.start_steps, step.iteration_steps, step.multiplier_interval, step.chain_steps) == (2_000, 0, 2_000, 50)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(chain_steps=0), "chain_steps"),
        (dict(kl_coef=0.0), "kl_coef"),
        (dict(gamma=1.5), "gamma"),
        (dict(step_size=-1.0), "step_size"),
        (dict(grad_cap=0.0), "grad_cap"),
        (dict(grad_cap_scope="batch"), "grad_cap_scope"),
        (dict(multiplier_max=-1.0), "multiplier_max"),
        (dict(multiplier_interval=0), "multiplier_interval"),
        (dict(multiplier_maximum=3), "did you mean 'multiplier_max'"),
    ],
)
def test_a_bad_config_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=12, deadline=None)
@given(
    chain_steps=st.integers(1, 4),
    kl_coef=st.sampled_from([1e-4, 1e-3, 1.0]),
    cap=st.sampled_from([(1000.0, "run"), (0.5, "sample"), (None, "run")]),
    multiplier_max=st.sampled_from(["auto", None, 5.0]),
    generator_kl=st.sampled_from([0.0, 5.0]),
    obs_normalize=st.booleans(),
    cost_steps=st.integers(1, 3),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_a_finite_step(cap, cost_steps, **config):
    agent = agent_of(grad_cap=cap[0], grad_cap_scope=cap[1], cost_steps=cost_steps, **config)
    batch = batch_of(steps=cost_steps)
    agent.observe(batch.obs)
    metrics = agent.update(batch)
    assert all(value.shape == (1,) and value.isfinite() and not value.requires_grad for value in metrics.values())
    assert all(p.isfinite().all() for name in NETWORKS for p in getattr(agent, name).parameters())
    assert math.isfinite(agent.multiplier.value)
