"""Statistics against numbers worked by hand, against scipy, and against the law that intervals claim to keep."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pyslsac.plots.statistics import (
    Estimate,
    cvar,
    improvement,
    interquartile_mean,
    iqm_over,
    limit_first,
    mean_of,
    mean_over,
)


def test_mean_and_standard_error_by_hand():
    found = mean_of([1.0, 2.0, 6.0])  # s = √(((-2)² + (-1)² + 3²) / 2) = √7
    assert (found.count, found.value, found.method) == (3, 3.0, "BCa")
    assert found.stderr == pytest.approx(np.sqrt(7 / 3))
    assert 1.0 <= found.low < 3.0 < found.high <= 6.0


def test_the_interval_is_scipys_bca_of_that_sample():
    sample = np.random.default_rng(0).exponential(3.0, 15)
    wanted = stats.bootstrap((sample,), np.mean, n_resamples=100_000, random_state=np.random.default_rng(1))
    found = mean_of(sample)
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval), rel=0.03)
    assert mean_of(sample) == found  # its draws are the same every time


@pytest.mark.parametrize("seeds, share", [(3, 0.73), (5, 0.84), (20, 0.93)])  # as docs/report.md tells
def test_how_often_the_interval_holds_the_mean(seeds, share):
    samples = np.random.default_rng(2).normal(5.0, 2.0, (120, seeds))
    held = [found.low <= 5.0 <= found.high for found in map(mean_of, samples)]
    assert np.mean(held) == pytest.approx(share, abs=0.08)


def test_what_one_run_cannot_tell_is_none():
    assert mean_of([7.0]) == Estimate(1, 7.0)
    assert iqm_over([[7.0], [1.0, 2.0]]) == Estimate(3, 10 / 3)
    assert improvement([[7.0]], [[1.0, 8.0]]) == Estimate(3, 0.5)
    with pytest.raises(ValueError, match="at least one"):
        mean_of([])


def test_equal_values_fall_back_to_the_percentile_method():
    assert mean_of([2.0, 2.0, 2.0]) == Estimate(3, 2.0, 0.0, 2.0, 2.0, "percentile")


def test_interquartile_mean_of_a_known_vector():
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -9.0])) == (2 + 3 + 4 + 5) / 4
    assert interquartile_mean(np.array([1.0, 2.0]), np.array([90.0, 3.0, -50.0])) == 2.0  # ⌊5 / 4⌋ = 1 off each end
    found = iqm_over([[1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [100.0, -9.0]])
    assert (found.count, found.value, found.stderr, found.method) == (8, 3.5, None, "percentile")


def test_draws_are_stratified_by_task():
    """Two tasks far apart: were runs drawn over both, the mean of the lower could be any share of the higher."""
    found = mean_over([[0.0, 0.0, 0.0], [100.0, 100.0]])
    assert (found.value, found.low, found.high) == (50.0, 50.0, 50.0)
    every = [np.mean([a, b]) for a in (0.0, 1.0, 2.0) for b in (0.0, 1.0, 2.0)]  # all means of two draws, twice 0 .. 1
    found = mean_over([[0.0, 2.0], [0.0, 2.0]])
    assert {found.low, found.high} == {min(every), max(every)}  # each end has probability 1/16, more than 2.5 %


def test_the_percentile_interval_of_two_runs_by_hand():
    """Of {0, 10}: a mean is 0 or 10 with probability 1/4 each, 5 else; the 2.5 % quantile is 0, the 97.5 % one 10."""
    found = iqm_over([[0.0, 10.0]])
    assert (found.value, found.low, found.high) == (5.0, 0.0, 10.0)


def test_improvement_counts_ties_as_half():
    assert improvement([[1.0, 2.0]], [[1.0, 2.0]]).value == 0.5
    assert improvement([[3.0, 4.0]], [[1.0, 2.0]]).value == 1.0
    assert improvement([[1.0, 2.0, 2.0]], [[2.0, 0.0]]).value == (1 + 1.5 + 1.5) / 6
    two = improvement([[3.0, 4.0], [1.0, 1.0]], [[1.0, 2.0], [1.0, 5.0]])
    assert two.value == (1.0 + 0.25) / 2 and two.count == 8


def test_improvement_is_mann_whitneys_u():
    rng = np.random.default_rng(3)
    for n, m in itertools.product((2, 5), (3, 7)):
        x, y = rng.integers(0, 5, n).astype(float), rng.integers(0, 5, m).astype(float)
        wanted = stats.mannwhitneyu(x, y).statistic / (n * m)
        found = improvement([x], [y])
        assert found.value == pytest.approx(wanted)
        assert found.low <= found.value <= found.high
        assert improvement([y], [x]).value == pytest.approx(1 - wanted)


def test_limit_first_orders_as_it_says():
    returns, costs = [5.0, 9.0, 99.0, 50.0, 5.0], [20.0, 25.0, 26.0, 75.0, 0.0]
    assert limit_first(returns, costs, [25.0] * 5).tolist() == [2, 3, 1, 0, 2]
    assert limit_first([1.0, 1.0], [5.0, 30.0], [1.0, 25.0]).tolist() == [0, 1]  # excess in units of the limit


@pytest.mark.parametrize("risk_level", [1.0, 0.5, 0.1, 0.34, 1e-3])
def test_cvar_is_that_of_the_safety_part(risk_level):
    torch = pytest.importorskip("torch")
    from pyslsac.safety import empirical_cvar

    for size in (1, 3, 10, 30):
        costs = np.random.default_rng(size).exponential(10.0, size)
        assert cvar(costs, risk_level) == pytest.approx(empirical_cvar(torch.tensor(costs), risk_level).item())


def test_cvar_by_hand():
    assert cvar([1.0, 9.0, 5.0], 0.5) == 7.0  # ⌈1.5⌉ = 2 worst
    assert cvar(range(30), 0.1) == 28.0
    with pytest.raises(ValueError, match=r"wanted a number in \(0, 1\]"):
        cvar([1.0], 0.0)
