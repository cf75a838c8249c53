"""NC-LQL: what moves when it should, chains with noise of their own, runs that do not leak, states that come back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.nc_lql import NCLQL, NCLQLConfig
from tests.agents.contract import SPEC, batch_of

SMALL = dict(width=16, levels=4, multiplier_init=0.3)


def agent_of(runs: int = 1, seed: int = 0, algo: str = "nc-lql", **config) -> NCLQL:
    return make_agent(algo, SPEC, SMALL | config, runs=runs, seed=seed)


def test_targets_are_the_pessimistic_twins_at_the_clean_level():
    agent = agent_of(precision="fp64", constrained=True)
    batch = batch_of().to("cpu", torch.float64)
    agent.update(batch)  # targets and online critics differ now
    y, metrics = agent.targets(batch)
    with torch.no_grad():
        action = agent.actions(batch.next_obs, 4, agent.counters["updates"])
        q = agent.target_critics(torch.cat([batch.next_obs, action], -1), 3)[0]  # [4, B]
    alive = 1 - batch.terminated[0]
    torch.testing.assert_close(y[0, 0], batch.reward[0] + 0.99 * alive * torch.minimum(q[0], q[1]))
    torch.testing.assert_close(y[0, 1], batch.cost[0] + 0.99 * alive * torch.maximum(q[2], q[3]))
    torch.testing.assert_close(metrics["Value/cost_critic"][0], torch.maximum(q[2], q[3]).mean())
    assert not torch.equal(q, agent.critics(torch.cat([batch.next_obs, action], -1), 3)[0])


def test_levels_learn_what_the_clean_one_said_before_it_moved():
    """Both losses of an update are of the weights it began with, and of those after the first step, in this order."""
    agent, batch = agent_of(precision="fp64", critic_lr=0.01), batch_of().to("cpu", torch.float64)
    twin = agent.select([0])
    metrics = agent.update(batch)
    q = twin.critics(torch.cat([batch.obs, batch.action], -1), 3)
    y, (level, noise) = twin.targets(batch)[0], twin.draw(8)
    loss, first = twin.td_loss(q, y)
    torch.testing.assert_close(metrics["Loss/Loss_reward_critic"], first["Loss/Loss_reward_critic"])
    twin.critic_optim.zero_grad()
    loss.sum().backward()
    twin.critic_optim.step()
    _, second = twin.level_loss(batch, q.detach().mean(1, keepdim=True), level, noise)
    torch.testing.assert_close(metrics["Loss/Loss_level"], second["Loss/Loss_level"])


def test_noise_of_the_levels():
    agent = agent_of(runs=2, sigma_max=0.2, sigma_min=0.05)
    level, noise = agent.draw(3000)
    assert level.shape == (2, 3000) and noise.shape == (2, 3000, 2)
    share = torch.stack([(level == k).double().mean(1) for k in range(4)], 1)  # [2, 4]
    assert (share[:, 3] == 0).all() and ((share[:, :3] - 1 / 3).abs() < 0.04).all()
    torch.testing.assert_close(agent.sigma, 0.2 * torch.tensor([1, 4 ** (-1 / 3), 4 ** (-2 / 3), 1 / 4]))
    torch.testing.assert_close(agent.plan.step_size.squeeze(1), 1e-4 * (agent.sigma[agent.plan.level] / 0.05) ** 2)


def test_every_chain_has_noise_of_its_own():
    agent, obs = agent_of(), torch.randn(1, 3, 4)
    one, two = agent.act(obs), agent.act(obs)
    assert agent.acts == 2 and not torch.equal(one, two)
    fixed = agent.act(obs, deterministic=True)
    assert torch.equal(fixed, agent.act(obs, deterministic=True)) and agent.acts == 2
    assert torch.equal(
        fixed[:, :1], agent.act(obs[:, :1], deterministic=True)
    )  # a row's noise is its own, not the batch's
    drawn = {}
    for count in range(3):
        for stream in range(0, 12, 2):
            noise = agent.noise(stream, count)
            for move in range(agent.plan.steps):
                place = noise["stream"], noise["step"] + move
                assert drawn.setdefault(place, (stream, count)) == (stream, count)
    for action in (one, two, fixed):
        assert action.shape == (1, 3, 2) and action.abs().max() <= 1


def test_a_path_is_a_chain():
    agent, obs = agent_of(2, normalize=False, drift_scale=1.0), torch.randn(2, 5, 4)
    path = agent.path(obs, 3)
    assert path.shape == (2, 9, 5, 2) and path.abs().max() <= 1
    torch.testing.assert_close(path[:, -1], agent.actions(obs, 10, 3))
    assert not torch.equal(path[:, 0], agent.path(obs, 4)[:, 0])
    sizes = (path[:, 1:] - path[:, :-1]).abs().mean((0, 2, 3))  # in the mean moves become smaller, level by level
    assert (sizes[::2][1:] < sizes[::2][:-1]).all()


def test_the_best_particle_is_kept():
    agent, obs = agent_of(2, particles=5, normalize=False, drift_scale=0.0), torch.randn(2, 6, 4)
    several = agent.actions(obs, 0, 1)
    assert several.shape == (2, 6, 2)
    single = agent_of(2, normalize=False, drift_scale=0.0)
    every = single.actions(obs.repeat_interleave(5, dim=1), 0, 1)  # the same starts and noise, numbered alike
    with torch.no_grad():
        value = agent.critics(torch.cat([obs.repeat_interleave(5, dim=1), every], -1), 3).amin(1).unflatten(1, (6, 5))
    best = every.unflatten(1, (6, 5)).gather(2, value.argmax(2)[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    torch.testing.assert_close(several, best)


def test_presets():
    assert config_for("nc-lql") == config_for("nc-lql", "paper") == NCLQLConfig()
    step = config_for("nc-lql", "step", overrides={"particles": 4})
    assert (step.start_steps, step.updates_per_step, step.reward_scale, step.particles) == (2_000, 1, 0.2, 4)
    assert not step.constrained and agent_of().gauges() == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(level=3), "did you mean 'levels'"),
        (dict(levels=0), "levels"),
        (dict(sigma_min=0.0), "sigma_min"),
        (dict(sigma_max=0.01, sigma_min=0.1), "sigma_min"),
        (dict(particles=0), "particles"),
        (dict(gamma=1.5), "gamma"),
        (dict(risk_level=0.0), "risk_level"),
        (dict(step_size=-1.0), "step_size"),
    ],
)
def test_bad_fields_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=10, deadline=None)
@given(
    levels=st.integers(1, 4),
    repeats=st.integers(1, 3),
    particles=st.integers(1, 3),
    normalize=st.booleans(),
    constrained=st.booleans(),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_a_finite_step(levels, repeats, particles, normalize, constrained, precision):
    agent = agent_of(
        levels=levels, repeats=repeats, particles=particles, normalize=normalize, constrained=constrained,
        precision=precision,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.critics.parameters())
    assert agent.act(torch.randn(1, 3, 4)).isfinite().all()
