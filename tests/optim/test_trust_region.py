"""The trust region's duals: their moves by hand, and that they hold a step at its bound."""

from __future__ import annotations

import math

import pytest
import torch

from pyslsac.optim import TrustRegion


def test_softplus_moves_by_adam():
    trust = TrustRegion(2, lr=0.1, dtype=torch.float64)
    torch.testing.assert_close(trust.value, torch.full((2, 2), math.log(2.0), dtype=torch.float64))
    trust.ascend(torch.tensor([[1.0, -1e-3], [-5.0, 2.0]]).double())  # Adam's first step is ±lr whatever the size
    x = torch.tensor([[0.1, -0.1], [-0.1, 0.1]]).double()
    torch.testing.assert_close(trust.value, torch.log1p(x.exp()), rtol=1e-5, atol=0)


def test_softplus_has_no_upper_bound():
    trust = TrustRegion(1)
    for _ in range(1000):
        trust.ascend(torch.ones(1, 2))
    assert (trust.value > 20).all()


def test_clip_is_plain_ascent_within_bounds():
    trust = TrustRegion(1, rule="clip")
    assert trust.value.tolist() == [[0.0, 0.0]]
    trust.ascend(torch.tensor([[0.04, 0.03]]))
    torch.testing.assert_close(trust.value, torch.tensor([[0.04, 3.0]]))
    trust.ascend(torch.tensor([[-0.01, 1.0]]))
    torch.testing.assert_close(trust.value, torch.tensor([[0.03, 10.0]]))
    trust.ascend(torch.tensor([[5.0, -1.0]]))
    torch.testing.assert_close(trust.value, torch.tensor([[0.1, 0.0]]))


@pytest.mark.parametrize("rule", ["softplus", "clip"])
def test_a_step_is_held_at_its_bound(rule):
    """x minimises -x + alpha (x² - bound): free it would run away, held it ends at √bound for each of two bounds."""
    trust = TrustRegion(1, rule=rule, scales=(1.0, 1.0), maxima=(10.0, 10.0), dtype=torch.float64)
    bounds = torch.tensor([[0.04, 0.25]]).double()
    x, late = torch.zeros(1, 2, dtype=torch.float64), []
    for move in range(2000):
        trust.ascend(x.square() - bounds)
        x = x + 0.1 * (1 - 2 * trust.value * x)
        late += [x] * (move >= 1000)
    torch.testing.assert_close(torch.stack(late).mean(0), bounds.sqrt(), rtol=0.03, atol=0)


@pytest.mark.parametrize("rule", ["softplus", "clip"])
def test_runs_do_not_leak_and_the_state_comes_back(rule):
    together = TrustRegion(2, rule=rule)
    first = TrustRegion(1, rule=rule)
    violations = torch.tensor([[[0.3, 0.01], [-1.0, 0.02]], [[-0.1, 0.02], [2.0, 0.05]]])
    for violation in violations:
        together.ascend(violation)
        first.ascend(violation[:1])
    assert torch.equal(together.value[:1], first.value)
    other = TrustRegion(2, rule=rule)
    other.load_state_dict(together.state_dict())
    for trust in (together, other):
        trust.ascend(violations[0])
    assert torch.equal(together.value, other.value)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="'softplus' or 'clip'"):
        TrustRegion(1, rule="hard")
    with pytest.raises(ValueError, match="1 scales and 2 maxima"):
        TrustRegion(1, scales=(1.0,))
