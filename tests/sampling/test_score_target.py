"""Monte-Carlo scores against the analytic score of a smoothed mixture; truncated normals against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pyslsac.sampling import (
    DiffusionDraws,
    boxed_score_target,
    score_points,
    score_target,
    truncated_normal,
    within_box,
)

WEIGHTS, SPREADS = torch.tensor([0.3, 0.7]).double(), torch.tensor([0.4, 0.25]).double()
CENTRES = torch.tensor([[-0.6, 0.2], [0.5, -0.1]]).double()
TEMPERATURE = 0.7


def log_mixture(a: Tensor, sigma: float = 0.0) -> Tensor:
    """log Σ_j w_j N(a; c_j, (s_j² + σ²) 1) of a [..., 2]."""
    variance = SPREADS.square() + sigma**2
    far = (a.unsqueeze(-2) - CENTRES).square().sum(-1)
    return torch.logsumexp(WEIGHTS.log() - far / (2 * variance) - (2 * math.pi * variance).log(), -1)


def gradient(f, a: Tensor) -> Tensor:
    a = a.detach().requires_grad_()
    return torch.autograd.grad(f(a).sum(), a)[0]


@pytest.mark.parametrize("sigma", [0.01, 0.1, 1.0])
def test_the_score_of_a_smoothed_mixture(sigma):
    """80 estimates of 5,000 samples: their mean lies within five standard errors, and the bias of order 1 / n."""
    x = torch.tensor([[0.1, 0.3], [-0.9, -0.4], [1.2, 0.0]]).double()
    exact = gradient(lambda a: log_mixture(a, sigma), x)
    around = x.unsqueeze(1) + sigma * torch.randn(80, 3, 5_000, 2, dtype=torch.float64)
    energy = -TEMPERATURE * log_mixture(around)
    grad = gradient(lambda a: -TEMPERATURE * log_mixture(a), around)
    estimates = score_target(energy, grad, TEMPERATURE)  # [80, 3, 2]
    error = (estimates.mean(0) - exact).abs()
    assert (error < 5 * estimates.std(0) / 80**0.5 + 2e-3 * exact.abs().max()).all()
    assert estimates.std(0).max() < 0.2 * exact.abs().max()


def test_weights_by_hand():
    energy, grad = torch.tensor([0.0, math.log(3.0)]), torch.tensor([[1.0, 0.0], [-2.0, 4.0]])
    torch.testing.assert_close(score_target(energy, grad), torch.tensor([-0.25, -1.0]))  # weights 3/4 and 1/4
    halved = score_target(energy / 2, grad, torch.tensor([0.5]))
    torch.testing.assert_close(halved, torch.tensor([-0.5, -2.0]))
    assert score_target(torch.tensor([1e30, 0.0]), grad).isfinite().all()


def test_boxed_targets_mix_gradients_and_samples():
    x, sigma = torch.randn(2, 5, 2).double(), torch.tensor([0.5, 1e-4]).double().view(2, 1, 1).expand(2, 5, 1)
    energy, grad = torch.randn(2, 5, 8).double(), torch.randn(2, 5, 8, 2).double()
    samples = torch.rand(2, 5, 8, 2).double() * 2 - 1
    target = boxed_score_target(x, sigma, samples, energy, grad, 0.5)
    temperature = 0.5 * grad.abs().mean((1, 2, 3)).view(2, 1, 1)
    by_gradient = within_box(x, score_target(energy, grad, temperature), sigma)
    weight = torch.softmax(-energy / temperature, -1).unsqueeze(-1)
    by_samples = ((weight * samples).sum(2) - x) / sigma**2
    torch.testing.assert_close(target[0], (by_gradient[0] + by_samples[0]) / 2)  # σ is the temperature
    torch.testing.assert_close(target[1], by_gradient[1], rtol=1e-3, atol=5.0)  # σ is far below
    scaled = torch.tensor([7.0, 1e-3]).double()
    grown = energy * scaled.view(2, 1, 1), grad * scaled.view(2, 1, 1, 1)
    torch.testing.assert_close(boxed_score_target(x, sigma, samples, *grown, 0.5), target)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_both_estimates_are_the_score_on_the_box(sigma):
    """A mixture that has all but left the walls: what remains of the law's tails lies within the tolerance."""
    place = torch.tensor([[[0.2, 0.1], [0.5, -0.3]]]).double()
    x, width = place.expand(40, -1, -1), torch.full((40, 2, 1), sigma).double()

    def energy_of(a: Tensor) -> Tensor:
        return ((a - torch.tensor([0.3, -0.1])) / 0.2).square().sum(-1) / 2

    samples = truncated_normal(x.unsqueeze(2), width.unsqueeze(2), torch.rand(40, 2, 20_000, 2).double())
    energy, grad = energy_of(samples), gradient(energy_of, samples)
    exact = (torch.tensor([0.3, -0.1]) - place) / (0.2**2 + sigma**2)
    ours = boxed_score_target(x, width, samples, energy, grad, 1 / grad.abs().mean().item())
    torch.testing.assert_close(ours.mean(0, keepdim=True), exact, rtol=0.03, atol=0.03)


def draws_of(runs: int, batch: int, samples: int, levels: int) -> DiffusionDraws:
    chain = torch.randn(runs, levels, batch, 2)
    level = torch.arange(runs * batch).reshape(runs, batch) % levels
    uniforms = torch.rand(runs, batch, samples, 2)
    return DiffusionDraws(chain, chain, level, torch.randn(runs, batch, 2), uniforms)


def test_points_of_the_chain_are_those_after_the_rows_level():
    draws, path = draws_of(2, 6, 3, 4), list(torch.randn(4, 2, 6, 2).requires_grad_())
    sigma = torch.rand(2, 6, 1)
    noisy, samples = score_points(path, draws, sigma, boxed=False)
    for run in range(2):
        for row in range(6):
            assert torch.equal(noisy[run, row], path[draws.level[run, row]][run, row])
            expected = noisy[run, row] + sigma[run, row] * draws.samples[run, row]
            torch.testing.assert_close(samples[run, row], expected)
    assert not noisy.requires_grad and samples.shape == (2, 6, 3, 2)
    noisy, samples = score_points(path, draws, sigma, boxed=True)
    torch.testing.assert_close(noisy, path[0].detach() + sigma * draws.forward)
    assert samples.abs().max() <= 1 and samples.shape == (2, 6, 3, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("mean", "std"), [(0.3, 0.01), (-0.95, 0.3), (0.0, 1.0), (1.4, 0.2), (-2.0, 0.25)])
def test_truncated_normals_have_their_law(mean, std, dtype):
    uniform = torch.rand(20_000, 1, dtype=dtype)
    place = torch.tensor([mean], dtype=dtype), torch.tensor([std], dtype=dtype)
    samples = truncated_normal(*place, uniform).squeeze(1).double().numpy()
    assert np.abs(samples).max() <= 1
    law = stats.truncnorm((-1 - mean) / std, (1 - mean) / std, mean, std)
    assert stats.kstest(samples, law.cdf).pvalue > 1e-4


def test_truncated_normals_at_the_ends_of_the_uniforms():
    mean, std = torch.tensor([0.5, -0.5, 30.0, -30.0]), torch.tensor([0.01, 1.0, 0.5, 0.5])
    for value in (0.0, 1.0):
        samples = truncated_normal(mean, std, torch.full((4,), value))
        assert samples.isfinite().all() and samples.abs().max() <= 1
        assert samples[2:].tolist() == [1.0, -1.0]
