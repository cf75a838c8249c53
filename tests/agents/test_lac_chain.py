"""LAC's chain on an energy whose optimum is known: linear critics and the generator's Gaussian.

Mish(x) is x to the last bit where x > 40: with large biases a Mish network is linear, its action gradient constant.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pyslsac import make_agent
from pyslsac.agents.lac import LAC
from pyslsac.data import Spec
from pyslsac.nn import Ensemble

SPEC = Spec(obs_dim=3, act_dim=2)
STD = (0.3, 0.2)
SLOPES = {  # of the critic that counts: the least reward, the greatest cost; one a run
    "critics": [[0.6, 1.0], [-0.4, 2.0]],
    "cost_critics": [[-2.0, 1.5], [-3.0, 2.5]],
}
MULTIPLIER = [0.7, 0.3]


@torch.no_grad()
def make_linear(critics: Ensemble, slopes: Tensor, counts: int, lead: float) -> None:
    """Q_i(s, a) = slopes_i · a + 0.1 Σ s + const; the twin `counts` is above the other by `lead` everywhere."""
    first, second, third, head = critics.layers
    obs_dim = first.weight.shape[2] - slopes.shape[-1]
    for layer in (first, second, third, head):
        layer.weight.zero_()
        layer.bias.zero_()
    first.bias += 100.0
    first.weight[:, :, :obs_dim, 0] = 0.1
    for i in range(slopes.shape[-1]):
        first.weight[:, :, obs_dim + i, i] = 1.0
        head.weight[:, :, i, 0] = -slopes[:, None, i]  # the other twin's slopes point the other way
        head.weight[:, counts, i, 0] = slopes[:, i]
    for layer in (second, third):
        layer.weight += torch.eye(layer.weight.shape[-1], dtype=layer.weight.dtype)
    head.bias -= 100.0 * head.weight.sum(2)  # what the shifts of the units add up to
    head.bias[:, counts] += lead


def linear_agent(**config: Any) -> LAC:
    """Two runs whose energy is a Gaussian's, shifted by linear critics."""
    small = dict(width=8, generator_width=8, precision="fp64", kl_coef=0.5, temperature=0.0)
    agent = make_agent("lac", SPEC, small | config, runs=2)
    for name, counts, lead in (("critics", 1, -50.0), ("cost_critics", 0, 50.0)):
        make_linear(getattr(agent, name), torch.tensor(SLOPES[name], dtype=torch.float64), counts, lead)
    with torch.no_grad():
        agent.target_generator.log_std.copy_(torch.tensor(STD, dtype=torch.float64).log())
    agent.multiplier.value.copy_(torch.tensor(MULTIPLIER, dtype=torch.float64))
    return agent


def optimum(agent: LAC, obs: Tensor) -> Tensor:
    """argmin E = mean + std² (∇Q_R - multiplier ∇Q_C) / kl_coef."""
    reward, cost = (torch.tensor(SLOPES[name], dtype=torch.float64) for name in ("critics", "cost_critics"))
    slope = reward - torch.tensor(MULTIPLIER, dtype=torch.float64).unsqueeze(1) * cost  # [R, A]
    mean, std = agent.target_generator(obs)
    return mean + std.square() * slope.unsqueeze(1) / agent.config.kl_coef


@pytest.fixture
def obs() -> Tensor:
    return torch.randn(2, 5, 3, dtype=torch.float64)


@pytest.mark.parametrize("step_size", [1e-4, 0.02])
def test_without_noise_the_optimum_stays_where_it_is(step_size, obs):
    agent = linear_agent(step_size=step_size)
    best, prior = optimum(agent, obs), agent.target_generator(obs)
    assert best.abs().max() < 0.95  # inside the box
    torch.testing.assert_close(agent.chain(obs, best, prior), best, rtol=0, atol=1e-11)


@pytest.mark.parametrize("cap", [dict(grad_cap=None), dict(grad_cap=20.0, grad_cap_scope="sample")])
def test_without_noise_the_chain_moves_to_the_optimum_from_anywhere(cap, obs):
    agent = linear_agent(step_size=0.08, chain_steps=60, **cap)
    best, prior = optimum(agent, obs), agent.target_generator(obs)
    for start in (torch.zeros_like(best), torch.ones_like(best), -3 * torch.ones_like(best)):
        torch.testing.assert_close(agent.chain(obs, start, prior), best, rtol=0, atol=1e-11)


def test_one_move_by_hand(obs):
    agent = linear_agent(step_size=0.01, chain_steps=1, grad_cap=None)
    best, (mean, std) = optimum(agent, obs), agent.target_generator(obs)
    pull = (best - mean) / std.square()  # all of the gradient at the mean
    torch.testing.assert_close(agent.chain(obs, mean, (mean, std)), mean + 0.005 * pull, rtol=0, atol=1e-12)
    capped = linear_agent(step_size=0.01, chain_steps=1, grad_cap=2.0)  # one norm for the five actions of a run
    norm = pull.flatten(1).norm(dim=1)[:, None, None]
    assert (norm > 2).all()
    moved = mean + 0.005 * pull * 2 / (norm + 1e-6)
    torch.testing.assert_close(capped.chain(obs, mean, (mean, std)), moved, rtol=0, atol=1e-12)


def test_the_multiplier_turns_the_chain_from_reward_to_safety(obs):
    ends = []
    for multiplier in (0.0, 0.5, 2.0):
        agent = linear_agent(step_size=0.08, chain_steps=30, grad_cap=None)
        agent.multiplier.value.fill_(multiplier)
        prior = agent.target_generator(obs)
        ends.append(agent.chain(obs, prior[0], prior))
    slope = torch.tensor(SLOPES["cost_critics"], dtype=torch.float64).unsqueeze(1)
    costs = [(end * slope).sum(-1) for end in ends]
    assert (costs[0] > costs[1]).all() and (costs[1] > costs[2]).all()


def test_with_noise_the_chain_samples_the_energys_law():
    """N(optimum, std²), up to the step's known bias: variance std² / (1 - step_size / (4 std²))."""
    agent = linear_agent(temperature=1.0, step_size=0.002, chain_steps=50, grad_cap=None)
    with torch.no_grad():
        agent.target_generator.log_std.fill_(0.1).log_()
    obs = torch.zeros(2, 2000, 3, dtype=torch.float64)
    best, prior = optimum(agent, obs), agent.target_generator(obs)
    ends = agent.chain(obs, prior[0].expand_as(best).contiguous(), prior)
    error = (ends - best).mean(1).abs()
    assert error.max() < 0.1 * 4 / 2000**0.5 + 0.1 * 0.9**50
    torch.testing.assert_close(
        ends.std(1), torch.full((2, 2), (0.01 / 0.95) ** 0.5, dtype=torch.float64), rtol=0.07, atol=0
    )


def test_every_update_and_every_run_draws_its_own_noise(obs):
    agent = linear_agent(temperature=1.0, chain_steps=2)
    prior = agent.target_generator(obs)
    start = torch.zeros(2, 5, 2, dtype=torch.float64)
    first = agent.chain(obs, start, prior)
    assert torch.equal(first, agent.chain(obs, start, prior))
    agent.tick()
    assert not torch.isclose(first, agent.chain(obs, start, prior), rtol=0, atol=1e-6).any()
    assert not torch.isclose(first[0] - first[0].mean(), first[1] - first[1].mean(), rtol=0, atol=1e-6).any()
