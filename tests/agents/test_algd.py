"""ALGD: its energy, targets and multipliers are what they claim; presets and bad settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.algd import ALGD, ALGDConfig
from pyslsac.data import NStepBatch
from pyslsac.safety import budget
from tests.agents.contract import SPEC, batch_of, moved, weights

SMALL = dict(width=16, score_width=16, level_embedding=4, cost_ensemble=3, cost_limit=2.0)
PRINCIPLED = dict(score="principled", samples=6, temperature=0.1)


def agent_of(runs: int = 1, seed: int = 0, **config) -> ALGD:
    return make_agent("algd", SPEC, SMALL | config, runs=runs, seed=seed)


@pytest.mark.parametrize("multiplier", [0.0, 0.8])
def test_the_energys_gradient_is_that_of_reward_and_cost(multiplier):
    """∇_a L_A = -∇ min_j Q_j + [λ + ρ (Qc - h)]_+ ∇ Qc, the price being an action's own."""
    agent = agent_of(2, precision="fp64", rho=3.0, multiplier_rule="episodes")
    agent.multiplier.value.fill_(multiplier)
    obs, points = torch.randn(2, 5, 4).double(), (torch.rand(2, 5, 3, 2) * 2 - 1).double().requires_grad_()
    x = torch.cat([obs.unsqueeze(2).expand(-1, -1, 3, -1), points], -1).flatten(1, 2)
    q = agent.critics(x).squeeze(-1).amin(1).unflatten(1, (5, 3))
    costs = agent.cost_critics(x).squeeze(-1)
    qc = (costs.mean(1) + costs.std(1)).unflatten(1, (5, 3))
    agent.budget = qc.median().item() + multiplier / 3  # so that half of the prices are 0
    energy, grad, cost = agent.energy(obs, points.detach())
    price = (multiplier + 3.0 * (qc - agent.budget)).clamp(min=0)
    up, pay = (torch.autograd.grad(value.sum(), points, retain_graph=True)[0] for value in (q, qc))
    torch.testing.assert_close(grad, -up + price.detach().unsqueeze(-1) * pay, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(energy, (price**2 - multiplier**2) / 6 - q)
    torch.testing.assert_close(cost, qc.detach())
    assert (price == 0).any() and (price > 0).any()
    total = (((price**2 - multiplier**2) / 6) - q).sum()
    torch.testing.assert_close(torch.autograd.grad(total, points)[0], grad, rtol=1e-10, atol=1e-12)
    plain = agent_of(2, precision="fp64", lagrangian="plain", multiplier_rule="episodes")
    plain.multiplier.value.fill_(multiplier)
    energy, grad, _ = plain.energy(obs, points.detach())
    torch.testing.assert_close(energy, (multiplier * (qc - plain.budget) - q).detach())
    torch.testing.assert_close(grad, multiplier * pay - up)


def test_every_cost_critic_has_its_own_target():
    agent = agent_of(precision="fp64")
    batch, draws = batch_of().to("cpu", torch.float64), agent.draw(8)
    y, z = agent.targets(batch, draws)
    with torch.no_grad():
        x = torch.cat([batch.next_obs, agent.chain(batch.next_obs, draws.next_chain)[0]], -1)
        q, costs = agent.target_critics(x)[0, :, :, 0], agent.target_cost_critics(x)[0, :, :, 0]
    alive = 1 - batch.terminated[0]
    torch.testing.assert_close(y[0], batch.reward[0] + 0.99 * alive * q.amin(0))
    torch.testing.assert_close(z[0], batch.cost[0] + 0.99 * alive * costs)


def test_cost_targets_look_n_steps_ahead():
    agent, batch = agent_of(precision="fp64", cost_gamma=0.5), batch_of().to("cpu", torch.float64)
    tail_obs, steps = torch.randn(1, 8, 4).double(), torch.tensor([[1.0, 2, 2, 1, 2, 2, 1, 2]]).double()
    costs = torch.stack([batch.cost, torch.where(steps == 2, 3.0, 0.0)], -1)
    far = NStepBatch(*vars(batch).values(), costs, steps, tail_obs, torch.zeros(1, 8).double())
    draws = agent.draw(8)
    y, z = agent.targets(far, draws)
    with torch.no_grad():
        x = torch.cat([tail_obs, agent.chain(tail_obs, draws.next_chain)[0]], -1)
        expected = batch.cost + 0.5 * costs[..., 1] + 0.5**steps * agent.target_cost_critics(x).squeeze(-1)
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(y, agent.targets(batch, draws)[0])


def test_what_moves_when():
    agent = agent_of(target_delay=2)
    for update in range(4):
        parts = ("actor", "critics", "cost_critics", "target_critics", "target_cost_critics")
        before = {name: weights(getattr(agent, name)) for name in parts}
        metrics = agent.update(batch_of(seed=update))
        for name in parts:
            assert moved(before[name], getattr(agent, name)) == ("target" not in name or update % 2 == 1)
        assert all(value.shape == (1,) and not value.requires_grad for value in metrics.values())


def test_replayed_costs_move_the_multiplier():
    """Adam's first move of log λ is its rate, towards the side of the budget where the replayed actions lie."""
    for limit, sign in ((100.0, -1), (0.0, 1)):
        agent = agent_of(2, multiplier_lr=0.01, cost_limit=limit)
        agent.cost_critics.layers[-1].bias.data.fill_(1.0)
        agent.update(batch_of(2))
        expected = 0.6931 * torch.full((2,), sign * 0.01).double().exp()
        torch.testing.assert_close(agent.gauges()["Metrics/LagrangeMultiplier"], expected, rtol=1e-5, atol=0)
        agent.record_episode(0, 1e6)
        agent.after_env_steps(5)
        torch.testing.assert_close(agent.multiplier.value, expected, rtol=1e-5, atol=0)


def test_episodes_move_the_multiplier():
    agent = agent_of(2, multiplier_rule="episodes", multiplier_lr=0.01, multiplier_init=1.0, multiplier_window=2)
    for cost in (50.0, 6.0, 10.0):  # the mean of the last two is 8, the limit 2
        agent.record_episode(0, cost)
    agent.after_env_steps(3)
    agent.update(batch_of(2))
    torch.testing.assert_close(agent.multiplier.value, torch.tensor([1.18, 1.0]).double())


def test_the_budget_is_the_tasks():
    assert agent_of().budget == budget(2.0, 0.99, 10) == pytest.approx(2.0 * (1 - 0.99**10) / 0.01 / 10)


@pytest.mark.parametrize("options", [{}, PRINCIPLED])
def test_acting(options):
    agent = agent_of(2, **options)
    obs = torch.randn(2, 50, 4)
    mode, first, second = agent.act(obs, deterministic=True), agent.act(obs), agent.act(obs)
    assert first.shape == (2, 50, 2) and first.abs().max() <= 1 and mode.abs().max() <= 1
    assert torch.equal(mode, agent.act(obs, deterministic=True)) and not torch.equal(first, second)
    still = agent.chain(obs, torch.zeros(2, 5, 50, 2))[0]
    assert torch.equal(mode, still.detach()) and first.std() > 3 * mode.std()


def test_presets():
    assert config_for("algd") == config_for("algd", "paper") == ALGDConfig()
    step = config_for("algd", "step")
    assert (step.start_steps, step.updates_per_step, step.score, step.samples) == (2_000, 2, "faithful", 4)
    principled = config_for("algd", "principled")
    assert (principled.score, principled.samples, principled.updates_per_step) == ("principled", 32, 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: config_for("algb"), "did you mean 'algd'"),
        (lambda: agent_of(score="principle"), "wanted one of faithful, principled"),
        (lambda: agent_of(lagrangian="full"), "lagrangian: got 'full'"),
        (lambda: agent_of(multiplier_rule="window"), "wanted one of replay, episodes"),
        (lambda: agent_of(samples=0), "samples"),
        (lambda: agent_of(levels=0), "levels"),
        (lambda: agent_of(rho=0.0), "rho"),
        (lambda: agent_of(temperature=0.0), "temperature"),
        (lambda: agent_of(strongest_noise=0.001), "strongest_noise"),
        (lambda: agent_of(gamma=1.5), "gamma"),
        (lambda: agent_of(multiplier_init=0.0), "init"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@settings(max_examples=15, deadline=None)
@given(
    score=st.sampled_from(["faithful", "principled"]),
    lagrangian=st.sampled_from(["augmented", "plain"]),
    rule=st.sampled_from(["replay", "episodes"]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
    levels=st.integers(1, 6),
    samples=st.integers(1, 5),
    ensemble=st.integers(1, 4),
    temperature=st.floats(0.01, 3.0),
    spread=st.floats(0.0, 2.0),
)
def test_any_configuration_takes_a_finite_step(
    score, lagrangian, rule, precision, levels, samples, ensemble, temperature, spread
):
    agent = agent_of(
        score=score, lagrangian=lagrangian, multiplier_rule=rule, precision=precision, levels=levels, samples=samples,
        cost_ensemble=ensemble, temperature=temperature, cost_spread=spread,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.actor.parameters())
