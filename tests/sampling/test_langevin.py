"""Chains against the laws they claim, best-of-particles, and schedules by hand.

A chain of moves is a Markov chain with Gaussian steps, so the law of its state is known: in closed form on a quadratic,
on a grid in one dimension. Bounds are five standard errors of the sample.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pyslsac.ops import QGroup, action_grad, langevin_chain
from pyslsac.sampling import annealed, climb, constant, sample

WIDE = dict(low=-9.0, high=9.0)


def quadratic(kappa: float, m: Tensor, actions: int, h: float = 0.05) -> QGroup:
    """Critics [R = 2, E = 1] with Q = -κ/2 |a - m|² up to (h a)² / 6 of it.

    gelu(z) + gelu(-z) = z erf(z / √2) ≈ √(2/π) z², with z = h (a - m); far from 0 gelu is the identity.
    """
    eye = torch.eye(actions)
    first = torch.cat((torch.zeros(1, 2 * actions), h * torch.cat((eye, -eye), 1)))  # one observation, without effect
    both = torch.cat((eye, eye))  # [2 A, A]; as many columns again do nothing
    out = torch.full((actions, 1), -kappa / 2 / (math.sqrt(2 / math.pi) * h**2))
    layers = [first, torch.cat((both, 0 * both), 1), torch.cat((out, 0 * out))]
    biases = [-h * torch.cat((m, -m)), torch.full((2 * actions,), 10.0), torch.zeros(1)]
    return QGroup([x.expand(2, 1, *x.shape) for x in layers], [x.expand(2, 1, *x.shape) for x in biases], "gelu")


def assert_moments(a: Tensor, mean: Tensor | float, variance: float) -> None:
    """Of each run and coordinate of a [R, B, A]: five standard errors."""
    n = a.size(1)
    assert ((a.mean(1) - mean).abs() < 5 * math.sqrt(variance / n)).all()
    assert ((a.var(1) / variance - 1).abs() < 5 * math.sqrt(2 / n)).all()


def test_quadratic_critic_is_one() -> None:
    m = torch.tensor([0.3, -0.1])
    q, action = quadratic(2.0, m, 2), 2 * torch.rand(2, 50, 2) - 1
    assert torch.allclose(action_grad(torch.zeros(2, 50, 1), action, [q]), -2 * (action - m), atol=5e-3)


def test_boltzmann_moments_of_a_critic() -> None:
    """a <- m + (1 - eps κ/2) (a - m) + √(eps T) ξ settles at variance v = (1 - eps κ/2)² v + eps T."""
    kappa, m, temperature, eps = 2.0, torch.tensor([0.3, -0.1]), 0.2, 0.2
    obs, start = torch.zeros(2, 4096, 1), torch.zeros(2, 4096, 2)
    options = dict(temperature=temperature, seed=torch.tensor([1, 2]), **WIDE)
    end = sample(obs, start, [quadratic(kappa, m, 2)], constant(60, eps), **options)
    assert_moments(end, m, temperature / (kappa * (1 - eps * kappa / 4)))


def test_boltzmann_moments_of_a_prior() -> None:
    """Without critics (coef 0) the chain samples the prior, its variance over temperature raised likewise."""
    mean, std, eps = torch.tensor([0.2, -0.4]), 0.5, 0.1
    q = replace(quadratic(1.0, mean, 2), coef=0.0)
    end = sample(torch.zeros(2, 4096, 1), torch.zeros(2, 4096, 2), [q], constant(80, eps), prior=(mean, std), **WIDE)
    assert_moments(end, mean, std**2 / (1 - eps / (4 * std**2)))


GRID = torch.linspace(-3, 3, 1501, dtype=torch.float64)


def propagated(density: Tensor, drift: Callable[[Tensor], Tensor], steps: list[float], temperature: float) -> Tensor:
    """The density on GRID after moves of these sizes."""
    mean = drift(GRID)
    for eps, moves in itertools.groupby(steps):
        kernel = torch.exp(-((GRID[:, None] - GRID - eps / 2 * mean) ** 2) / (2 * eps * temperature))  # [to, from]
        kernel /= kernel.sum(0)
        for _ in moves:
            density = kernel @ density
    return density / density.sum()


def test_two_modes_and_their_weights() -> None:
    """f = -(a² - 1)² + a/4 at temperature 0.8: the share on the right, of the chain and nearly of Boltzmann's law."""
    temperature, eps, steps = 0.8, 0.02, 1500

    def slope(a: Tensor) -> Tensor:
        return -4 * a * (a**2 - 1) + 0.25

    end = climb(lambda a, k: slope(a), torch.zeros(2, 8192, 1), constant(steps, eps), temperature=temperature, **WIDE)
    law = propagated(torch.nn.functional.one_hot(torch.tensor(750), 1501).double(), slope, [eps] * steps, temperature)
    right = law[GRID > 0].sum().item()
    boltzmann = torch.exp((-((GRID**2 - 1) ** 2) + GRID / 4) / temperature)
    assert abs(right - (boltzmann[GRID > 0].sum() / boltzmann.sum()).item()) < 0.01 and 0.6 < right < 0.9
    share = (end > 0).double().mean((1, 2))
    assert ((share - right).abs() < 5 * math.sqrt(right * (1 - right) / 8192)).all()
    for mode in (-1, 1):
        assert ((end - mode).abs() < 0.1).double().mean() > 0.02


def test_annealed_jitter_of_pure_noise() -> None:
    """Without drift the variances of the moves add up."""
    plan = annealed(levels=4, first=0.08, last=0.01, repeats=3, step_size=1e-3)
    end = climb(lambda a, k: 0 * a, torch.zeros(2, 8192, 2), plan, temperature=2.0, **WIDE)
    assert_moments(end, 0.0, 2.0 * 3 * 1e-3 * (64 + 16 + 4 + 1))


def test_annealed_jitter_around_a_maximum() -> None:
    """NC-LQL's schedule with normalised gradient: 1-D, where the direction is a sign, so the law is known on a grid."""
    plan = annealed(first=0.02)
    start = 2 * torch.rand(2, 8192, 1) - 1
    obs, q = torch.zeros(2, 8192, 1), quadratic(1.0, torch.tensor([0.2]), 1)
    end = sample(obs, start, [q], plan, normalize=True, drift_scale=5.0, seed=torch.arange(2), **WIDE)
    uniform = (GRID.abs() <= 1).double()
    sizes = plan.step_size.squeeze(1).tolist()
    law = propagated(uniform / uniform.sum(), lambda a: 5.0 * torch.sign(0.2 - a), sizes, 1.0)
    for power in (1, 2):
        wanted, square = ((law * (GRID - 0.2).abs() ** p).sum().item() for p in (power, 2 * power))
        got = ((end.double() - 0.2).abs() ** power).mean().item()
        assert abs(got - wanted) < 5 * math.sqrt((square - wanted**2) / end.numel())


def test_schedules_by_hand() -> None:
    plan = annealed(levels=3, first=0.1, last=0.001, repeats=2, step_size=torch.tensor([1e-4, 2e-4]))
    assert plan.steps == 6 and plan.level.tolist() == [0, 0, 1, 1, 2, 2]
    wanted = torch.tensor([1.0, 1.0, 1e-2, 1e-2, 1e-4, 1e-4]).unsqueeze(1) * torch.tensor([1.0, 2.0])
    assert torch.allclose(plan.step_size, wanted, rtol=1e-5)
    flat = constant(3, 0.5)
    assert flat.steps == 3 and flat.step_size.tolist() == [[0.5]] * 3 and flat.level.tolist() == [0, 0, 0]
    assert annealed(levels=1, repeats=1).step_size.item() == pytest.approx(1e-4)


def critics(reduce: str, coef: float) -> QGroup:
    sizes = [(2, 3, 5, 24), (2, 3, 24, 24), (2, 3, 24, 1)]
    return QGroup([torch.randn(s) for s in sizes], [torch.randn(*s[:2], s[3]) for s in sizes], "mish", reduce, coef)


def test_the_best_particle_is_kept() -> None:
    obs, start, groups = (
        torch.randn(2, 7, 3),
        2 * torch.rand(2, 7, 4, 2) - 1,
        [critics("min", 1.0), critics("sum", -0.5)],
    )
    options = dict(seed=torch.tensor([3, 4]))
    best = sample(obs, start, groups, constant(3, 0.01), **options)
    around = obs.unsqueeze(2).expand(2, 7, 4, 3).flatten(1, 2)
    ends = langevin_chain(around, start.flatten(1, 2), groups, steps=3, step_size=0.01, values=True, **options)
    value = (ends.values[0].amin(1) - 0.5 * ends.values[1].sum(1)).unflatten(1, (7, 4))
    for run in range(2):
        for row in range(7):
            kept = ends.action.unflatten(1, (7, 4))[run, row, value[run, row].argmax()]
            assert torch.equal(best[run, row], kept)
    least = sample(obs, start, groups, constant(3, 0.01), score=lambda q: -q[0][:, 1], **options)
    worst = ends.values[0][:, 1].unflatten(1, (7, 4)).argmin(2)
    assert torch.equal(least[1, 2], ends.action.unflatten(1, (7, 4))[1, 2, worst[1, 2]])
    one = replace(groups[0], weights=[w[:1] for w in groups[0].weights], biases=[b[:1] for b in groups[0].biases])
    alone = sample(obs[0], start[0], [one], constant(3, 0.01))
    assert torch.equal(alone, sample(obs[:1], start[:1], [one], constant(3, 0.01))[0])
    single = sample(obs, start[:, :, 0], groups, constant(3, 0.01), **options)
    assert torch.equal(single, sample(obs, start[:, :, :1], groups, constant(3, 0.01), **options))


def test_the_loop_is_the_chain() -> None:
    """Levels, schedules and device-side seed and step: climb on the critics' gradient equals sample."""
    plan, q = annealed(levels=3, repeats=2), critics("sum", 1.0)
    table = torch.randn(2, 3, 3, 24)  # [R, levels, E, W]
    obs, start = torch.randn(2, 7, 3), 2 * torch.rand(2, 7, 2) - 1
    options = dict(seed=torch.tensor([3, 4]), step=torch.tensor(5), temperature=torch.rand(6), stream=2)
    options |= dict(normalize=True, drift_scale=torch.rand(6, 2))
    chain = sample(obs, start, [replace(q, step_bias=table[:, plan.level])], plan, **options)
    before = start.clone()

    def gradient(action: Tensor, k: int) -> Tensor:
        return action_grad(obs, action, [replace(q, step_bias=table[:, plan.level[k : k + 1]])])

    assert torch.allclose(climb(gradient, start, plan, **options), chain, rtol=0, atol=1e-5)
    assert torch.equal(start, before)
