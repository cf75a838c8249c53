"""The augmented Lagrangian's price of a cost, and a cost estimate that leans to the safe side of an ensemble."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_multiplier(cost: Tensor, budget: float, multiplier: Tensor, rho: float) -> Tensor:
    """[multiplier + rho (cost - budget)]_+, the slope of `augmented_penalty` in the cost."""
    return (multiplier + rho * (cost - budget)).clamp(min=0.0)


def augmented_penalty(cost: Tensor, budget: float, multiplier: Tensor, rho: float) -> Tensor:
    """([multiplier + rho (cost - budget)]_+² - multiplier²) / (2 rho): multiplier (cost - budget) as rho falls to 0."""
    return penalty_and_slope(cost, budget, multiplier, rho)[0]


def penalty_and_slope(cost: Tensor, budget: float, multiplier: Tensor, rho: float | None) -> tuple[Tensor, Tensor]:
    """The augmented penalty and its slope in the cost; with rho None the plain multiplier (cost - budget) and its own.

    The tensors broadcast against one another.
    """
    if rho is None:
        return multiplier * (cost - budget), multiplier.expand_as(cost)
    price = effective_multiplier(cost, budget, multiplier, rho)
    return (price.square() - multiplier.square()) / (2 * rho), price


def pessimistic(q: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """mean_e + spread std_e of q [R, E, ...] over its members [R, ...], and its slope by each member [R, E, ...].

    std is the unbiased one, 0 for a single member: ∂/∂q_e = 1 / E + spread (q_e - mean) / ((E - 1) std).
    """
    members = q.shape[1]
    if members == 1:
        return q.squeeze(1), torch.ones_like(q)
    first = q[:, :1]  # what all share leaves no rounding behind: members that are equal are not apart
    apart = q - first
    mean = apart.mean(1, keepdim=True)
    away = apart - mean
    std = away.square().sum(1, keepdim=True).div(members - 1).sqrt()
    slope = 1 / members + spread / (members - 1) * (away / std.clamp(min=torch.finfo(q.dtype).tiny ** 0.5))
    return (first + mean + spread * std).squeeze(1), slope
