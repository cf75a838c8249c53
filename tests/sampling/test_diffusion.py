"""The noise levels typed in, moves by hand, chains with exact scores against the laws they claim, and gradients."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from pyslsac.nn import ScoreNetwork
from pyslsac.sampling import NoiseLevels, reverse, variance_exploding, within_box


def test_the_levels_are_the_papers():
    levels = variance_exploding()
    assert levels.sigma == pytest.approx((0.01, 0.0316227766, 0.1, 0.316227766, 1.0))
    assert levels.gain == pytest.approx((1e-4, 9e-4, 9e-3, 0.09, 0.9))
    assert variance_exploding(3, 0.5, 2.0).sigma == pytest.approx((0.5, 1.0, 2.0))
    assert variance_exploding(1, 0.5, 2.0) == NoiseLevels((2.0,), (4.0,))


def test_moves_by_hand():
    levels, noise = NoiseLevels((1.0, 2.0), (1.0, 3.0)), torch.tensor([0.5, -0.25]).reshape(1, 2, 1, 1)
    seen = []

    def score(action: Tensor, k: int) -> Tensor:
        seen.append((k, action.item()))
        return action.new_full((1, 1, 1), 0.1 * (k + 1))

    path = reverse(score, noise, levels)
    first = 0.5 + 3 * 0.2 - 0.25 * 3**0.5  # level 1, with its noise
    second = first + 0.1  # level 0, without
    assert [action.item() for action in path] == pytest.approx([math.tanh(second), math.tanh(first)])
    assert [k for k, _ in seen] == [1, 0]
    assert [a for _, a in seen] == pytest.approx([math.tanh(0.5), math.tanh(first)])
    boxed = reverse(score, noise, levels, boxed=True)
    first = 0.5 + 3 / 4 * (1.0 - 0.5) - 0.25 * 3**0.5 / 2  # 0.5 + 4 * 0.2 leaves the box; the noise is level 0's
    assert [action.item() for action in boxed] == pytest.approx([first + 0.1, first])


def test_a_score_is_held_to_the_box():
    x, score = torch.tensor([0.5, 0.5, -3.0, 0.0]), torch.tensor([10.0, 0.2, 1.0, -2.0])
    held = within_box(x, score, torch.tensor([1.0, 1.0, 1.0, 0.5]))
    assert held.tolist() == pytest.approx([0.5, 0.2, 2.0, -2.0])  # means 1, 0.7, -1 and -0.5


@pytest.mark.parametrize("boxed", [False, True])
def test_the_exact_score_of_a_gaussian_leads_to_that_gaussian(boxed):
    """N(m, s²) under noise σ is N(m, s² + σ²); the start, N(0, 1), is off by m (1 + s²)⁻¹ s² once it has come down."""
    m, s, levels = 0.3, 0.15, variance_exploding(100, 0.003)

    def score(action: Tensor, k: int) -> Tensor:
        x = action if boxed else action.atanh()
        return (m - x) / (s**2 + levels.sigma[k] ** 2)

    noise = torch.randn(1, 100, 20_000, 1, dtype=torch.float64)
    end = reverse(score, noise, levels, boxed=boxed)[0]
    x = end if boxed else end.atanh()
    assert x.mean().item() == pytest.approx(m, abs=0.02)
    assert x.std().item() == pytest.approx(s, rel=0.06)


@pytest.mark.parametrize("boxed", [False, True])
def test_five_levels_follow_the_recursion_of_mean_and_variance(boxed):
    m, s, levels = -0.2, 0.1 if boxed else 0.5, variance_exploding()
    noise = torch.randn(1, 5, 100_000, 1, dtype=torch.float64)

    def score(action: Tensor, k: int) -> Tensor:
        return (m - (action if boxed else action.atanh())) / (s**2 + levels.sigma[k] ** 2)

    path = reverse(score, noise, levels, boxed=boxed)
    mean, variance = 0.0, 1.0
    for k in reversed(range(5)):
        pull = levels.gain[k] / (s**2 + levels.sigma[k] ** 2)
        mean, variance = mean + pull * (m - mean), variance * (1 - pull) ** 2
        if k:
            variance += levels.gain[k] * (levels.sigma[k - 1] ** 2 / levels.sigma[k] ** 2 if boxed else 1.0)
        x = path[k] if boxed else path[k].atanh()
        assert x.mean().item() == pytest.approx(mean, abs=5 * (variance / 100_000) ** 0.5)
        assert x.var().item() == pytest.approx(variance, rel=5 * (2 / 100_000) ** 0.5)
    assert abs(mean - m) < 0.25 * abs(m)
    assert (0.6 * s < variance**0.5 < s) if boxed else variance**0.5 > 1.1 * s


def network(dtype: torch.dtype, levels: int = 5, **options) -> ScoreNetwork:
    net = ScoreNetwork(2, 3, 2, 16, levels, [torch.Generator().manual_seed(s) for s in range(2)], **options).to(dtype)
    for parameter in net.parameters():
        parameter.data.mul_(2)  # so that scores matter
    return net


def chain(net: ScoreNetwork, obs: Tensor, noise: Tensor) -> list[Tensor]:
    return reverse(lambda action, k: net(obs, action, k), noise, variance_exploding())


def test_bfloat16_stays_inside_the_chain():
    exact, rough = network(torch.float32), network(torch.float32, bf16=True)
    obs, noise, ends, grads = torch.randn(2, 7, 3), torch.randn(2, 5, 7, 2), [], []
    for net in (exact, rough):
        end = chain(net, obs, noise)[0]
        grads.append(torch.autograd.grad(end.sum(), list(net.parameters())))
        ends.append(end)
    assert ends[1].dtype == torch.float32 and 0 < (ends[0] - ends[1]).abs().max() < 0.05
    for a, b in zip(*grads, strict=True):
        assert b.dtype == torch.float32 and (a - b).norm() < 0.1 * a.norm() + 1e-6


def test_runs_and_rows_are_apart():
    net = network(torch.float64)
    obs, noise = torch.randn(2, 4, 3, dtype=torch.float64), torch.randn(2, 5, 4, 2, dtype=torch.float64)
    whole = chain(net, obs, noise)
    changed = noise.clone()
    changed[0, 2, 1] += 1
    other = chain(net, obs, changed)
    for k, run, row in itertools.product(range(5), range(2), range(4)):
        assert torch.equal(whole[k][run, row], other[k][run, row]) == ((run, row) != (0, 1) or k > 2)
