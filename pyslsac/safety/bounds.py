"""What the theory of SL-SAC promises, as pure functions of numbers or tensors (Appendix B of arXiv 2602.00587).

Z is the true cost, Ẑ the critic's estimate of it, ε² = ∫₀¹ (F⁻¹(u) - Ẑ(u))² du the mean squared quantile error
(eq. 11), `risk_level` in (0, 1] the CVaR level (1 is the mean, smaller is more averse):

    CVaR(Z) = 1/risk_level ∫_{1-risk_level}^{1} F⁻¹(u) du

Arguments broadcast as tensors do; plain numbers come back as 0-dim float64 tensors. Every bound is attained by some
distribution: `tests/safety/test_bounds.py` holds each against samples and shows the case where it is tight.
"""

import torch
from torch import Tensor

from pyslsac.safety.risk import empirical_cvar, tail_count

Number = Tensor | float


def quantile_error(quantiles: Tensor, estimate: Tensor) -> Tensor:
    """ε, the root mean squared error of W quantiles at equally spaced fractions (eq. 11).

    ε = sqrt( 1/W Σ_w (F⁻¹(u_w) - Ẑ(u_w))² ); quantiles and estimate [..., W] -> [...].
    """
    return (quantiles - estimate).square().mean(-1).sqrt()


def cvar_error_bound(quantile_error: Number, risk_level: Number) -> Tensor:
    """The largest |CVaR(Z) - CVaR(Ẑ)| that a quantile error ε allows: ε / sqrt(risk_level) (Theorem 3.1, eq. 12).

    Attained when the whole error is a constant shift of the tail [1 - risk_level, 1] and none lies below it.
    """
    return _tensor(quantile_error) / _risk_level(risk_level).sqrt()


def cvar_limit_from_quantiles(limit: Number, quantile_error: Number, risk_level: Number) -> Tensor:
    """The largest CVaR(Z) when CVaR(Ẑ) <= limit: limit + ε / sqrt(risk_level) (Corollary 3.2, eqs. 13 and 29)."""
    return _tensor(limit) + cvar_error_bound(quantile_error, risk_level)


def cvar_limit_from_mean(limit: Number, quantile_error: Number, risk_level: Number) -> Tensor:
    """The largest CVaR(Z), Z >= 0, when only E[Ẑ] <= limit is known: (limit + ε) / risk_level (eqs. 14, 30, 32).

    Attained with ε = 0 by two points: limit / risk_level with probability risk_level, otherwise 0. For limit > 0
    and risk_level < 1 it is always above `cvar_limit_from_quantiles` (eqs. 15 and 31).
    """
    return (_tensor(limit) + _tensor(quantile_error)) / _risk_level(risk_level)


def adjusted_limit(limit: Number, quantile_error: Number, risk_level: Number) -> Tensor:
    """What to hold CVaR(Ẑ) to, so that CVaR(Z) <= limit is certain: limit - ε / sqrt(risk_level) (Corollary B.3)."""
    return _tensor(limit) - cvar_error_bound(quantile_error, risk_level)


def cvar_excess_over_mean(costs: Tensor, risk_level: float) -> Tensor:
    """How far the empirical CVaR of W costs lies above their mean, >= 0; costs [..., W] -> [...] (eqs. 33 and 34).

    (W - k)/W (CVaR - mean of the W - k smallest), k = ceil(risk_level W). Both violation signals subtract the same
    limit, so this is also by how much CVaR's is the stronger. It is zero exactly when all costs are equal or k = W;
    the paper's strict form of eq. 33 forgets the second case (W = 10 at risk_level 0.95 leaves no body).
    """
    window = costs.shape[-1]
    body = window - tail_count(window, risk_level)
    if body == 0:
        return torch.zeros_like(costs[..., 0])
    return body / window * (empirical_cvar(costs, risk_level) - costs.sort(-1).values[..., :body].mean(-1))


def gpd_exceedance_bound(risk_level: Number, shape: Number) -> Tensor:
    """The largest P(Z > limit) when CVaR(Z) <= limit and the tail is generalised Pareto: risk_level K(ξ) (Theorem 3.3).

    K(ξ) = (1 - ξ)^(1/ξ) for 0 < ξ < 1, continued by e⁻¹ at ξ = 0; the tail is what exceeds VaR, which Z does with
    probability risk_level. Attained when CVaR(Z) = limit. Raises ValueError for a shape outside [0, 1): at 1 the mean
    is infinite, and about negative shapes the theorem says nothing.
    """
    shape = _tensor(shape)
    if not bool(((shape >= 0) & (shape < 1)).all()):
        raise ValueError(f"gpd_exceedance_bound: shape must lie in [0, 1), got {shape.tolist()}")
    safe = torch.where(shape == 0, 0.5, shape)
    exponent = torch.where(shape == 0, -1.0, torch.log1p(-safe) / safe)  # log K, continuous at 0
    return _risk_level(risk_level) * exponent.exp()


def _tensor(value: Number) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _risk_level(value: Number) -> Tensor:
    level = _tensor(value)
    if not bool(((level > 0) & (level <= 1)).all()):
        raise ValueError(f"risk_level must lie in (0, 1], got {level.tolist()}")
    return level
