"""CVaR and budgets: hand numbers, the integral, the limits of the level."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyslsac.safety import budget, check_risk_level, empirical_cvar, tail_fractions

COSTS = torch.tensor([[4.0, 0.0, 10.0, 2.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)


HAND_NUMBERS = [(1.0, 4.0), (0.75, 16 / 3), (0.5, 7.0), (0.3, 7.0), (0.25, 10.0), (0.01, 10.0)]


@pytest.mark.parametrize(("level", "expected"), HAND_NUMBERS)
def test_hand_numbers(level, expected):
    torch.testing.assert_close(empirical_cvar(COSTS, level), torch.tensor([expected, 1.0], dtype=torch.float64))


def test_a_product_with_rounding_does_not_add_an_episode():
    assert empirical_cvar(torch.arange(30.0), 0.1).item() == 28.0  # the largest three, though 0.1 * 30 > 3


@given(st.floats(0.01, 1.0), st.integers(0, 1000))
def test_smaller_levels_are_more_averse(level, seed):
    costs = torch.rand(17, generator=torch.Generator().manual_seed(seed))
    cvar = empirical_cvar(costs, level)
    assert costs.mean() - 1e-6 <= cvar <= costs.max() + 1e-6
    assert empirical_cvar(costs, level / 2) >= cvar - 1e-6


def test_the_mean_over_tail_fractions_is_the_cvar_of_an_exponential():
    uniform = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for level in (0.1, 0.5, 1.0):
        tau = tail_fractions(uniform, level)
        assert 1 - level <= tau.min() and tau.max() <= 1
        quantiles = -torch.log1p(-tau)  # of Exp(1), whose CVaR is 1 - log(level)
        torch.testing.assert_close(quantiles.mean(), 1 - torch.tensor(level).double().log(), rtol=1e-4, atol=1e-5)


def test_budget_by_hand():
    assert budget(25, 0.99, 1000) == pytest.approx(2.49989, abs=1e-5)
    assert budget(25, 1.0, 1000) == 25
    assert budget(6, 0.5, 3) == pytest.approx(6 * 1.75 / 3)


@pytest.mark.parametrize("level", [0.0, -0.1, 1.1, float("nan")])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(ValueError, match="risk_level"):
        check_risk_level(level)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no costs"):
        empirical_cvar(torch.empty(0), 0.5)
    with pytest.raises(ValueError, match="gamma"):
        budget(25, 1.5, 1000)
    with pytest.raises(ValueError, match="horizon"):
        budget(25, 0.9, 0)
