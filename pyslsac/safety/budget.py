"""The limit on an episode's cost in the units of a discounted critic."""

from __future__ import annotations


def budget(cost_limit: float, gamma: float, horizon: int) -> float:
    """d_q = d (1 - γᵀ) / (1 - γ) / T: what a critic sees of `cost_limit` spread evenly over `horizon` steps.

    25 over 1,000 steps at γ = 0.99 is 2.49989. With γ = 1 it is the limit itself. Source: Yang et al. 2021 (WCSAC).
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"budget: gamma is {gamma}, wanted a number in (0, 1]")
    if horizon < 1:
        raise ValueError(f"budget: horizon is {horizon}, wanted at least 1")
    steps = horizon if gamma == 1 else (1 - gamma**horizon) / (1 - gamma)
    return cost_limit * steps / horizon
