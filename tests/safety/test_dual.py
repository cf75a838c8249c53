"""CVPO's dual: its derivatives, its optimum against bisection, its weights, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyslsac.safety import Dual
from pyslsac.safety.dual import Weighted, objective, reweight, solve

EPS = 0.1


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


@pytest.mark.parametrize("start", [(1.0, 0.0), (1.0, 1.0), (50.0, 20.0)])
def test_newton_reaches_the_optimum_and_never_ends_above_its_start(solved, start):
    """Of a thousand problems 98 % end within 1e-4 of what the KL bound is worth at the optimum, eta eps."""
    q, best_eta, best_multiplier = solved
    eta, multiplier = (torch.full((1000,), x, dtype=torch.float64) for x in start)
    ends = solve(q, eta, multiplier, EPS, 0.0)
    before, after = value(q, eta, multiplier), value(q, *ends)
    assert (after <= before + 1e-13 * before.abs()).all()
    miss = (after - value(q, best_eta, best_multiplier)) / (best_eta * EPS)
    assert (miss < 1e-4).double().mean() >= 0.98
    assert (ends[1] >= 0).all() and (ends[1] <= 20).all()


def test_at_an_interior_optimum_both_equations_hold(solved):
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


def test_bounds_hold_where_they_must():
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


@pytest.mark.parametrize("optimizer", ["newton", "adam"])
def test_the_tables_are_left_alone_and_the_cost_counts_once(optimizer):
    """FSRL's code subtracts the cost from an alias of Q_r, and so a second time when it makes the weights."""
    q = problems(3, seed=4)
    kept, dual = q.clone(), Dual(3, EPS, q[:, 1].mean().item() - 0.1, optimizer=optimizer)
    dual.multiplier.fill_(0.7)
    found = dual.fit(q)
    assert torch.equal(q, kept) and (dual.multiplier > 0).any()
    z = kept[:, 0] - dual.multiplier.view(-1, 1, 1) * kept[:, 1]
    torch.testing.assert_close(found.w, torch.softmax(z / dual.eta.view(-1, 1, 1), dim=-1))
    torch.testing.assert_close(found.cost, (found.w * kept[:, 1]).sum(-1).mean(-1))


def test_runs_do_not_leak():
    q = problems(3, seed=5)
    together, alone = Dual(3, EPS, 0.5), [Dual(1, EPS, 0.5) for _ in range(3)]
    for _ in range(3):
        found = together.fit(q)
        for run, dual in enumerate(alone):
            single = dual.fit(q[run : run + 1])
            torch.testing.assert_close(found.w[run : run + 1], single.w, rtol=1e-10, atol=1e-12)
        q = q + 0.1


def test_adam_takes_one_step_down_the_objective():
    q = problems(2, seed=6)
    dual = Dual(2, EPS, 0.3, optimizer="adam", lr=0.02)
    eta = torch.ones(2, dtype=torch.float64, requires_grad=True)
    multiplier = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([eta, multiplier], lr=0.02)
    for _ in range(5):
        adam.zero_grad()
        value(q, eta, multiplier, 0.3).sum().backward()
        adam.step()
        with torch.no_grad():
            eta.clamp_(1e-6, 20)
            multiplier.clamp_(1e-6, 20)
        assert isinstance(dual.fit(q), Weighted)
    torch.testing.assert_close(dual.eta, eta.detach())
    torch.testing.assert_close(dual.multiplier, multiplier.detach())


def test_the_state_brings_everything_back():
    q = problems(2, seed=7)
    one, other = (Dual(2, EPS, 0.3, optimizer="adam") for _ in range(2))
    one.fit(q)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.fit(q).w, other.fit(q).w) and torch.equal(one.eta, other.eta)


def test_bad_optimizer_is_named():
    with pytest.raises(ValueError, match="'newton' or 'adam'"):
        Dual(1, EPS, 1.0, optimizer="slsqp")
