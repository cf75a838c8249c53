"""The theorems of Appendix B against samples of three families, each with the case where the bound is attained."""

import math

import pytest
import torch
from torch import Tensor

from pyslsac.safety import bounds
from pyslsac.safety.risk import empirical_cvar

COUNT = 20_000
FRACTIONS = (torch.arange(COUNT, dtype=torch.float64) + 0.5) / COUNT  # midpoints: a mean over them is ∫₀¹ du
LEVELS = [0.01, 0.1, 0.5, 0.9, 1.0]


def lognormal(u: Tensor) -> Tensor:
    return torch.exp(1 + 0.8 * math.sqrt(2) * torch.special.erfinv(2 * u - 1))


def generalised_pareto(u: Tensor, shape: float = 0.25, scale: float = 3.0) -> Tensor:
    return -scale * torch.log1p(-u) if shape == 0 else scale * ((1 - u) ** -shape - 1) / shape


def two_point(u: Tensor, mass: float = 0.1, value: float = 250.0) -> Tensor:
    return torch.where(u > 1 - mass, value, 0.0).to(torch.float64)


FAMILIES = [lognormal, generalised_pareto, two_point]
families = pytest.mark.parametrize("quantile_function", FAMILIES)
levels = pytest.mark.parametrize("level", LEVELS)


def estimates(quantiles: Tensor) -> list[Tensor]:
    """Ẑ wrong in several ways: a shift, a scale, a shortened tail, noise."""
    noise = torch.randn(COUNT, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cap = torch.quantile(quantiles[::4], 0.95)
    return [quantiles + 2, 0.7 * quantiles, quantiles.clamp(max=cap), quantiles + noise]


@families
@levels
def test_cvar_error_stays_below_its_bound(quantile_function, level):
    true = quantile_function(FRACTIONS)
    for estimate in estimates(true):
        error = bounds.quantile_error(true, estimate)
        gap = (empirical_cvar(true, level) - empirical_cvar(estimate, level)).abs()
        assert gap <= bounds.cvar_error_bound(error, level) * (1 + 1e-12)


@families
@levels
def test_cvar_error_bound_is_tight_when_only_the_tail_is_off_by_a_constant(quantile_function, level):
    true = quantile_function(FRACTIONS)
    tail = FRACTIONS.gt(1 - level)
    estimate = true - 3.0 * tail
    gap = empirical_cvar(true, level) - estimate[tail].mean()
    bound = bounds.cvar_error_bound(bounds.quantile_error(true, estimate), level)
    assert gap.item() == pytest.approx(bound.item(), rel=1e-9)


@families
@levels
def test_limits_hold(quantile_function, level):
    true = quantile_function(FRACTIONS)
    for estimate in estimates(true):
        error = bounds.quantile_error(true, estimate)
        cvar, slack = empirical_cvar(true, level), 1 + 1e-12
        assert cvar <= bounds.cvar_limit_from_quantiles(empirical_cvar(estimate, level), error, level) * slack
        assert cvar <= bounds.cvar_limit_from_mean(estimate.mean(), error, level) * slack
        held = bounds.adjusted_limit(cvar, error, level)  # Ẑ held to this limit keeps Z within `cvar`
        assert bounds.cvar_limit_from_quantiles(held, error, level).item() == pytest.approx(cvar.item())


@levels
def test_limit_from_the_mean_is_tight_for_two_points(level):
    limit = 25.0
    costs = two_point(FRACTIONS, mass=level, value=limit / level)
    assert costs.mean().item() == pytest.approx(limit)
    assert empirical_cvar(costs, level).item() == pytest.approx(bounds.cvar_limit_from_mean(limit, 0.0, level).item())


def test_limit_from_quantiles_is_always_the_smaller():
    limit, error, level = torch.meshgrid(
        torch.tensor([1e-3, 1.0, 25.0]), torch.tensor([0.0, 0.1, 50.0]), torch.tensor([0.01, 0.5, 0.99]), indexing="ij"
    )
    from_quantiles = bounds.cvar_limit_from_quantiles(limit, error, level)
    assert (from_quantiles < bounds.cvar_limit_from_mean(limit, error, level)).all()
    assert bounds.cvar_limit_from_quantiles(25.0, 2.0, 1.0) == bounds.cvar_limit_from_mean(25.0, 2.0, 1.0) == 27.0


@families
@pytest.mark.parametrize("window", [1, 2, 10, 37])
@levels
def test_excess_of_cvar_over_the_mean(quantile_function, window, level):
    uniform = torch.rand(500, window, generator=torch.Generator().manual_seed(window), dtype=torch.float64)
    costs = quantile_function(uniform)
    excess = bounds.cvar_excess_over_mean(costs, level)
    torch.testing.assert_close(excess, empirical_cvar(costs, level) - costs.mean(-1), rtol=1e-9, atol=1e-9)
    assert (excess >= 0).all()
    has_body = math.ceil(level * window) < window
    varied = (costs != costs[:, :1]).any(-1)
    assert torch.equal(excess > 0, varied & has_body)


def test_excess_by_hand():
    costs = torch.tensor([[0.0, 10.0, 50.0, 20.0], [7.0, 7.0, 7.0, 7.0]])  # k = 2: CVaR 35, body 5, mean 20
    assert bounds.cvar_excess_over_mean(costs, 0.5).tolist() == [15.0, 0.0]


@pytest.mark.parametrize("shape", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_exceedance_bound_is_tight_at_the_limit_and_holds_above_it(shape, level):
    scale, threshold = 3.0, 4.0  # Z = threshold + GPD(shape, scale) with probability `level`
    cvar = threshold + scale / (1 - shape)
    bound = bounds.gpd_exceedance_bound(level, shape).item()
    tail = generalised_pareto(FRACTIONS, shape, scale)
    for limit, compare in ((cvar, "tight"), (1.5 * cvar, "holds")):
        exceeded = level * (threshold + tail > limit).double().mean().item()
        if compare == "tight":
            assert exceeded == pytest.approx(bound, abs=1.0 / COUNT)
        else:
            assert exceeded <= bound


def test_exceedance_bound_on_the_other_families():
    """Two points violate the tail law: the bound may fail there, which is why the theorem names its assumption."""
    level = 0.1
    costs = two_point(FRACTIONS, mass=level)
    assert (costs > empirical_cvar(costs, level) - 1e-6).double().mean() > bounds.gpd_exceedance_bound(level, 0.0)
    costs = lognormal(FRACTIONS)  # a heavier tail than the exponential, so below the largest factor, K(0) = 1/e
    assert (costs > empirical_cvar(costs, level)).double().mean() <= bounds.gpd_exceedance_bound(level, 0.0)


def test_exceedance_factor_by_hand():
    shapes = torch.tensor([0.0, 1e-9, 0.5], dtype=torch.float64)
    wanted = torch.tensor([math.exp(-1), math.exp(-1), 0.25], dtype=torch.float64)
    torch.testing.assert_close(bounds.gpd_exceedance_bound(1.0, shapes), wanted, rtol=1e-7, atol=0)


@pytest.mark.parametrize("shape", [-0.1, 1.0, math.nan])
def test_shapes_without_a_theorem_are_rejected(shape):
    with pytest.raises(ValueError, match="shape must lie in"):
        bounds.gpd_exceedance_bound(0.5, shape)


@pytest.mark.parametrize("level", [0.0, -1.0, 1.1, math.nan])
def test_bad_risk_levels_are_rejected(level):
    with pytest.raises(ValueError, match="risk_level must lie in"):
        bounds.cvar_error_bound(1.0, level)
