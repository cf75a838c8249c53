"""The score learned alone leads to the bandit's constrained optimum, given the energy that its critics would learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyslsac import make_agent
from pyslsac.data import Batch, Spec
from pyslsac.envs import bandit
from pyslsac.optim import minimise
from pyslsac.safety import augmented_penalty

GOAL = torch.from_numpy(bandit.GOAL).float()
LIMIT = 0.5
PRICE = 2 * (1 - LIMIT)  # the multiplier at the optimum: what the last bit of cost earns


def reward_and_cost(action: Tensor) -> tuple[Tensor, Tensor]:
    size = GOAL @ GOAL
    return 1 - (action - GOAL).square().sum(-1) / size, (action @ GOAL).clamp(min=0) / size


def energy(obs: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The augmented Lagrangian with the optimum's λ, its gradient and the cost, as `ALGD.energy` returns them."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        reward, cost = reward_and_cost(points)
        value = augmented_penalty(cost, LIMIT, torch.tensor(PRICE), rho=4.0) - reward
        grad = torch.autograd.grad(value.sum(), points)[0]
    return value.detach(), grad, cost.detach()


def test_the_principled_score_solves_the_bandit(monkeypatch):
    config = dict(score="principled", samples=16, temperature=0.02, width=8, score_width=32, actor_lr=2e-3)
    agent = make_agent("algd", Spec(obs_dim=1, act_dim=2, horizon=1), config, runs=2)
    monkeypatch.setattr(agent, "energy", energy)
    obs, none = torch.ones(2, 64, 1), torch.zeros(2, 64)
    batch = Batch(obs, torch.zeros(2, 64, 2), none, none, obs, none)
    for _ in range(1_500):
        minimise(agent.actor_loss(batch, agent.draw(64)), agent.actor_optim)
        agent.tick()
    best, _ = bandit.optimal(LIMIT)
    reward, cost = reward_and_cost(agent.act(torch.ones(2, 1, 1), deterministic=True))
    assert (reward >= 0.95 * best).all() and (cost <= 1.05 * LIMIT).all(), (reward, cost)
    reward, cost = reward_and_cost(agent.act(torch.ones(2, 2_000, 1)))
    assert (reward.mean(1) >= 0.9 * best).all(), reward.mean(1)  # its law has a width
    assert cost.mean(1).tolist() == pytest.approx([LIMIT, LIMIT], abs=0.1)
