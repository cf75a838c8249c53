"""LQL: chains on a quadratic Q sample Boltzmann's law with `alpha`, and without it seek the maximum at any scale."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.lql import LQL, LQLConfig
from pyslsac.data import Batch, Spec
from pyslsac.ops import action_grad

SPEC = Spec(obs_dim=1, act_dim=2)
CENTRE = torch.tensor([0.3, -0.1])


def quadratic(agent: LQL, kappa: float, h: float = 0.05) -> LQL:
    """The agent, with both critics Q = -κ/2 |a - CENTRE|² up to (h a)² / 4 of it and a constant.

    mish(z) + mish(-z) ≈ 0.64 z² makes the squares in layer 1, z = h (a - CENTRE); far above 0 mish is the identity.
    """
    eye, zero = torch.eye(2), torch.zeros(2, 2)
    first, second, third, last = agent.critics.layers
    with torch.no_grad():
        for layer in agent.critics.layers:
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight[:, :, 1:3, :4] = h * torch.cat([eye, -eye], dim=1)
        first.bias[:, :, :4] = h * torch.cat([-CENTRE, CENTRE])
        second.weight[:, :, :4, :4] = torch.cat([torch.cat([eye, zero], 1)] * 2)
        second.bias[:, :, :2] = 20.0
        third.weight[:, :, :2, :2] = eye
        last.weight[:, :, :2] = -kappa / (2 * 0.64 * h**2)
    return agent


def agent_of(runs: int = 2, **config) -> LQL:
    return make_agent("lql", SPEC, dict(width=16) | config, runs=runs)


def test_quadratic_critics_are_that():
    agent, action = quadratic(agent_of(), 2.0), 2 * torch.rand(2, 50, 2) - 1
    gradient = action_grad(torch.zeros(2, 50, 1), action, [agent.critics.group(torch.tensor([0]), reduce="mean")])
    torch.testing.assert_close(gradient, -2.0 * (action - CENTRE), rtol=0.01, atol=5e-3)


def test_alpha_samples_the_boltzmann_law():
    """N(CENTRE, alpha/κ), variance raised by 1 / (1 - eps κ / (4 alpha)), moves being finite: 5 standard errors."""
    kappa, alpha, eps, count = 2.0, 0.02, 2e-3, 2000
    for heat in (1.0, 3.0):
        agent = quadratic(agent_of(alpha=heat * alpha, step_size=heat * eps, repeats=50), kappa)
        action = agent.act(torch.zeros(2, count, 1))
        variance = heat * alpha / kappa / (1 - eps * kappa / alpha / 4)
        assert ((action.mean(1) - CENTRE).abs() < 5 * math.sqrt(variance / count)).all()
        assert (
            (action.var(1) / variance - 1).abs() < 5 * math.sqrt(2 / count) + 0.01
        ).all()  # 0.01: Q is nearly quadratic


@pytest.mark.parametrize("algo", ["lql", "nc-lql"])
def test_a_normalised_chain_seeks_the_maximum_at_any_scale(algo):
    """From everywhere in the box, to within a move's length of the maximum; a thousand times Q changes nothing."""

    def ends(kappa: float) -> Tensor:
        agent = make_agent(algo, SPEC, dict(width=16, precision="fp64"))
        return quadratic(agent, kappa).act(torch.zeros(1, 200, 1))

    small, large = ends(1.0), ends(1000.0)
    torch.testing.assert_close(small, large, rtol=0, atol=1e-3)
    distance = (small - CENTRE).norm(dim=-1)
    assert distance.mean() < (0.1 if algo == "lql" else 0.04) and distance.max() < 0.3


def test_there_is_no_level_to_learn():
    agent, rows = agent_of(1, width=8), (1, 16)
    obs, action = torch.randn(*rows, 1), 2 * torch.rand(*rows, 2) - 1
    batch = Batch(obs, action, torch.randn(rows), torch.zeros(rows), obs, torch.zeros(rows))
    assert not list(agent.critics.embed.parameters())
    assert agent.plan.steps == 50 and agent.plan.step_size.unique().numel() == 1
    assert set(agent.update(batch)) == {"Loss/Loss_reward_critic", "Value/reward_critic"}


def test_presets_and_bad_fields():
    assert config_for("lql") == config_for("lql", "paper") == LQLConfig()
    assert config_for("lql", "step").start_steps == 2_000
    for config, message in ((dict(alpha=0.0), "alpha"), (dict(levels=2), "levels")):
        with pytest.raises(ValueError, match=message):
            agent_of(**config)
