"""What noisy levels learn: the posterior mean of the clean Q given the noisy action, in two cases of known answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyslsac import make_agent
from pyslsac.data import Batch, Spec
from pyslsac.optim import minimise

SPREAD, CENTRE = 0.3, 0.2  # run 0: actions ~ N(CENTRE, SPREAD²), Q = a²
POINT = 0.3  # run 1: actions ± POINT alike, Q = a
SIZE = 256


def gaussian_case(noisy: Tensor, sigma: float) -> Tensor:
    """E[a² | a + σ z] = mean² + variance of the normal that is proportional to prior times likelihood."""
    share = SPREAD**2 / (SPREAD**2 + sigma**2)
    return (CENTRE + share * (noisy - CENTRE)).square() + share * sigma**2


def two_point_case(noisy: Tensor, sigma: float) -> Tensor:
    """E[a | a + σ z] = p tanh(p (a + σ z) / σ²): the odds of the points are exp(2 p (a + σ z) / σ²)."""
    return POINT * torch.tanh(POINT * noisy / sigma**2)


def test_a_level_learns_the_posterior_mean():
    """Trained with `level_loss` alone. Root mean square error over noisy actions: 0.02, at level 1 (a steep step) 0.04.

    The clean Q of the noisy action itself, which would ignore the prior, is five times as far at level 0.
    """
    config = dict(width=32, levels=3, sigma_max=0.3, sigma_min=0.03, critic_lr=1e-2, gamma=0.0)
    agent = make_agent("nc-lql", Spec(obs_dim=1, act_dim=1), config, runs=2, seed=0)
    generator, zeros = torch.Generator().manual_seed(0), torch.zeros(2, SIZE)
    for step in range(500):
        agent.critic_optim.param_groups[0]["lr"] = 1e-2 if step < 350 else 1e-3
        gaussian = CENTRE + SPREAD * torch.randn(SIZE, generator=generator)
        point = POINT * (2 * torch.randint(2, (SIZE,), generator=generator) - 1.0)
        action = torch.stack([gaussian, point])  # [2, B]
        clean = torch.stack([gaussian.square(), point]).unsqueeze(1)  # [2, 1, B]
        obs = zeros.unsqueeze(-1)
        batch = Batch(obs, action.unsqueeze(-1), zeros, zeros, obs, zeros)
        minimise(agent.level_loss(batch, clean, *agent.draw(SIZE)), agent.critic_optim)
        agent.tick()
    assert agent.draw(SIZE)[0].unique().tolist() == [0, 1]
    gaussian = CENTRE + SPREAD * torch.randn(2000, generator=generator)
    point = POINT * (2 * torch.randint(2, (2000,), generator=generator) - 1.0)
    for level, (sigma, tolerance) in enumerate(((0.3, 0.02), (0.03**0.5 * 0.3**0.5, 0.04))):
        assert agent.sigma[level].item() == pytest.approx(sigma, rel=1e-5)
        noise = sigma * torch.randn(2, 2000, generator=generator)
        noisy = torch.stack([gaussian, point]) + noise
        with torch.no_grad():
            q = agent.critics(torch.stack([torch.zeros_like(noisy), noisy], dim=-1), level)  # [2, 2, B]
        wanted = torch.stack([gaussian_case(noisy[0], sigma), two_point_case(noisy[1], sigma)])
        error = (q - wanted.unsqueeze(1)).square().mean(-1).sqrt()  # [2 runs, 2 twins]
        assert error.max() < tolerance, f"level {level}: {error.tolist()}"
        if level == 0:
            ignorant = torch.stack([noisy[0].square(), noisy[1]])
            assert ((ignorant - wanted).square().mean(-1).sqrt() > 0.1).all()
