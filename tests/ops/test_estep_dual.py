"""estep_dual: derivatives of the dual, its optimum against bisection, its bounds; kernel and reference alike."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyslsac.ops import _library, backend, estep_dual
from pyslsac.ops.reference import estep_dual as reference
from pyslsac.ops.reference.estep_dual import objective, reweight
from tests.ops.threads import on_threads

EPS = 0.1
OP = torch.ops.pyslsac.estep_dual.default


def plain(q, eta, multiplier, eps, budget, *, steps=15, maximum=20.0):
    return reference.estep_dual(q, eta, multiplier, eps, budget, steps, maximum)


both = pytest.mark.parametrize("solve", [estep_dual, plain], ids=["op", "reference"])


def problems(count: int, states: int = 8, actions: int = 8, seed: int = 0) -> Tensor:
    """Random tables [R, 2, B, K], the scales of Q_r and Q_c log-uniform in 1e-2..1e2.

    Every run has a budget of its own, below or above what the unweighted actions cost; it is taken off Q_c, so that it
    stands at zero for all. That changes nothing but the zero of the cost.
    """
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=g, dtype=torch.float64)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=g, dtype=torch.float64)

    reward, mix = normal(states, actions), uniform(-1, 1)
    cost = mix * reward + (1 - mix**2).sqrt() * normal(states, actions)
    reward, cost = 10 ** uniform(-2, 2) * (reward + normal(states, 1)), 10 ** uniform(-2, 2) * cost
    budget = cost.mean((1, 2), keepdim=True) + uniform(-0.7, 0.7) * cost.std(-1).mean(-1).view(-1, 1, 1)
    return torch.stack([reward, cost - budget], dim=1)


def value(q: Tensor, eta: Tensor, multiplier: Tensor, budget: float = 0.0) -> Tensor:
    return objective(q, eta.unsqueeze(1), multiplier.unsqueeze(1), EPS, budget).squeeze(1)


def bisected(q: Tensor, maximum: float = 20.0) -> tuple[Tensor, Tensor]:
    """The optimum: for each multiplier the eta at which g's slope in it changes sign, and so for the multiplier."""

    def at(multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """The best eta, and whether its weights cost more than the budget."""
        z = q[:, 0] - multiplier.view(-1, 1, 1) * q[:, 1]
        z = z - z.amax(-1, keepdim=True)
        low, high = torch.full_like(multiplier, math.log(1e-3)), torch.full_like(multiplier, math.log(1e3))
        for _ in range(30):
            middle = (low + high) / 2
            x = z / middle.exp().view(-1, 1, 1)
            e = x.exp()
            total = e.sum(-1)
            over = ((e * x).sum(-1) / total - (total / x.shape[-1]).log()).mean(-1) > EPS  # the KL
            low, high = torch.where(over, middle, low), torch.where(over, high, middle)
        eta = ((low + high) / 2).exp()
        return eta, (torch.softmax(z / eta.view(-1, 1, 1), dim=-1) * q[:, 1]).sum(-1).mean(-1) > 0

    low = torch.zeros(len(q), dtype=torch.float64)
    high = low + maximum
    free = ~at(low)[1]
    for _ in range(26):
        middle = (low + high) / 2
        over = at(middle)[1]
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    multiplier = torch.where(free, 0.0, (low + high) / 2)
    return at(multiplier)[0], multiplier


def test_derivatives_are_those_of_the_objective():
    q = problems(5, seed=1)
    eta, multiplier = (
        torch.tensor([0.5, 1.0, 3.0, 30.0, 100.0]).double(),
        torch.tensor([0.1, 0.0, 1.0, 2.0, 9.0]).double(),
    )
    found = reweight(q, eta, multiplier)
    for run in range(5):

        def g(point: Tensor, run: int = run) -> Tensor:
            return value(q[run : run + 1], point[:1], point[1:], 0.3).sum()

        point = torch.stack([eta[run], multiplier[run]])
        cov, e = found.cov[run], eta[run]
        gradient = torch.stack([EPS - found.kl[run], 0.3 - found.cost[run]])
        hessian = torch.stack([cov[0, 0] / e**3, cov[0, 1] / e**2, cov[0, 1] / e**2, cov[1, 1] / e]).view(2, 2)
        torch.testing.assert_close(torch.autograd.functional.jacobian(g, point), gradient, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(torch.autograd.functional.hessian(g, point), hessian, rtol=1e-7, atol=1e-9)


@pytest.fixture(scope="module")
def solved() -> tuple[Tensor, Tensor, Tensor]:
    q = problems(1000)
    return q, *bisected(q)


def test_the_reference_is_the_least_of_a_grid(solved):
    """No convexity is taken for granted: nothing on a grid of both variables is lower."""
    q, eta, multiplier = (x[:100] for x in solved)
    best = value(q, eta, multiplier)
    etas = torch.logspace(-3, 3, 49, dtype=torch.float64).expand(100, -1)
    for m in [*torch.linspace(0, 20, 21).tolist(), 0.01, 0.03, 0.1, 0.3]:
        grid = objective(q, etas, torch.full_like(etas, m), EPS, 0.0)
        assert (grid.amin(1) >= best - 1e-7 * eta).all()


@both
@pytest.mark.parametrize("start", [(1.0, 0.0), (1.0, 1.0), (50.0, 20.0)])
def test_newton_reaches_the_optimum_and_never_ends_above_its_start(solved, start, solve):
    """Of a thousand problems 98 % end within 1e-4 of what the KL bound is worth at the optimum, eta eps."""
    q, best_eta, best_multiplier = solved
    eta, multiplier = (torch.full((1000,), x, dtype=torch.float64) for x in start)
    ends = solve(q, eta, multiplier, EPS, 0.0)
    before, after = value(q, eta, multiplier), value(q, *ends)
    assert (after <= before + 1e-13 * before.abs()).all()
    miss = (after - value(q, best_eta, best_multiplier)) / (best_eta * EPS)
    assert (miss < 1e-4).double().mean() >= 0.98
    assert (ends[1] >= 0).all() and (ends[1] <= 20).all()


@both
def test_at_an_interior_optimum_both_equations_hold(solved, solve):
    q, best_eta, best_multiplier = solved
    inside = (best_multiplier > 1e-3) & (best_multiplier < 19.9) & (best_eta > 0.01) & (best_eta < 900)
    q = q[inside]
    assert len(q) > 100
    eta, multiplier = torch.ones(len(q), dtype=torch.float64), torch.zeros(len(q), dtype=torch.float64)
    for _ in range(2):  # the second minibatch starts where the first one ended
        eta, multiplier = solve(q, eta, multiplier, EPS, 0.0)
    found = reweight(q, eta, multiplier)
    held = ((found.kl - EPS).abs() < 1e-6) & (found.cost.abs() < 1e-6 * q[:, 1].std(-1).mean(-1))
    assert held.double().mean() >= 0.98


@both
def test_bounds_hold_where_they_must(solve):
    q = problems(20, seed=3)
    q = q / q.std(-1).mean(-1)[..., None, None]
    ones = torch.ones(20, dtype=torch.float64)
    eta, multiplier = solve(q, ones, 0 * ones, EPS, -1e3)  # no weights cost so little
    assert (
        (multiplier == 20).all()
        and eta.isfinite().all()
        and ((reweight(q, eta, multiplier).kl - EPS).abs() < 1e-6).all()
    )
    eta, multiplier = solve(q, ones, ones, EPS, 1e3)  # all weights cost less
    assert (multiplier == 0).all() and ((reweight(q, eta, multiplier).kl - EPS).abs() < 1e-6).all()
    flat = torch.zeros(1, 2, 4, 3, dtype=torch.float64)
    eta, multiplier = solve(flat, ones[:1], 0 * ones[:1], EPS, 1.0)  # any weights do: eta sinks to its bound
    assert multiplier == 0 and eta.item() == pytest.approx(1e-3)


@pytest.mark.parametrize(("states", "actions"), [(1, 2), (8, 8), (13, 5), (30, 32), (64, 1)])
@pytest.mark.parametrize("steps", [0, 1, 3, 15])
def test_the_kernel_takes_the_references_steps(states, actions, steps):
    """Step for step, but for rounding."""
    q = problems(200, states, actions) if actions > 1 else torch.randn(200, 2, states, 1, dtype=torch.float64)
    eta, multiplier = 3 * torch.ones(200, dtype=torch.float64), torch.ones(200, dtype=torch.float64)
    ours, theirs = (solve(q, eta, multiplier, EPS, 0.0, steps=steps) for solve in (estep_dual, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_a_start_that_is_the_optimum_stays():
    q = problems(50, seed=8)
    ends = estep_dual(q, torch.ones(50, dtype=torch.float64), torch.zeros(50, dtype=torch.float64), EPS, 0.0, steps=60)
    for one, other in zip(estep_dual(q, *ends, EPS, 0.0, steps=1), ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_neither_threads_nor_runs_beside_change_a_bit():
    q = problems(5, seed=9)
    eta, multiplier = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    found = on_threads(lambda: torch.stack(estep_dual(q, eta, multiplier, EPS, 0.3)), (1, 3))
    alone = [torch.stack(estep_dual(q[r : r + 1], eta[:1], multiplier[:1], EPS, 0.3)) for r in range(5)]
    assert torch.equal(*found) and torch.equal(torch.cat(alone, 1), found[0])
    assert not eta.sub(1).any() and not multiplier.any()


@both
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("of", [0, 1])
def test_what_is_not_finite_shows(value, of, solve):
    q = problems(2, seed=10)
    q[0, of, 3, 3] = value
    eta, multiplier = solve(q, torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64), EPS, 0.0)
    weights = reweight(q, eta, multiplier).w
    assert weights[0].isnan().any() and weights[1].isfinite().all() and eta[1].isfinite()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("states", "actions"), [(1, 2), (13, 5), (256, 32), (300, 64)])
def test_cuda_takes_the_same_steps(states, actions):
    assert backend("estep_dual", "cuda") == "compiled"
    q, start = problems(20, states, actions), torch.ones(20, dtype=torch.float64)
    here, there = estep_dual(q, start, start, EPS, 0.0), estep_dual(q.cuda(), start.cuda(), start.cuda(), EPS, 0.0)
    torch.testing.assert_close([x.cpu() for x in there], list(here), rtol=1e-7, atol=1e-9)


def arguments():
    return [problems(2), torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64), EPS, 0.0, 15, 20.0]


@pytest.mark.parametrize("op", [OP, reference.estep_dual], ids=["op", "reference"])
@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda q: q.float(), "q is float32 [2, 2, 8, 8] on cpu; wanted float64 [R, 2, B, K], contiguous"),
        (0, lambda q: q[0], "q is float64 [2, 8, 8] on cpu; wanted float64 [R, 2, B, K]"),
        (0, lambda q: q.transpose(0, 1).contiguous()[:1].transpose(0, 1), "q is float64 [2, 1, 8, 8] on cpu"),
        (0, lambda q: q[..., :0], "q is float64 [2, 2, 8, 0] on cpu"),
        (0, lambda q: q[:0], "q is float64 [0, 2, 8, 8] on cpu"),
        (1, lambda eta: eta.float(), "eta is float32 [2] on cpu; wanted float64 [2] beside q"),
        (2, lambda m: m[:1], "multiplier is float64 [1] on cpu; wanted float64 [2] beside q"),
        (5, lambda steps: -1, "steps is -1; wanted at least 0"),
        (6, lambda maximum: -1.0, "maximum is -1"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(op, position, change, message):
    made = arguments()
    made[position] = change(made[position])
    with pytest.raises(RuntimeError) as raised:
        op(*made)
    assert str(raised.value).startswith(f"estep_dual: {message}")


@pytest.mark.parametrize("steps", [0, 4])
def test_opcheck(steps):
    torch.library.opcheck(OP, (*arguments()[:5], steps, 20.0))


def test_compiled_where_the_core_was_built():
    assert backend("estep_dual", "cpu") == ("compiled" if _library.MISSING["cpu"] is None else "reference")
