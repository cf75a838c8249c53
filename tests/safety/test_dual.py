"""CVPO's dual from one minibatch to the next: its weights, its two optimizers, its state, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch

from pyslsac.ops.reference.estep_dual import Weighted
from pyslsac.safety import Dual
from tests.ops.test_estep_dual import EPS, problems, value


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
