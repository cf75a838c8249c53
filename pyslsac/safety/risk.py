"""Conditional value at risk (CVaR), of critics and of episodes. `risk_level` 1 is the mean, smaller is more averse."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_risk_level(risk_level: float) -> None:
    """Raise ValueError unless 0 < risk_level <= 1."""
    if not 0 < risk_level <= 1:
        raise ValueError(f"risk_level: got {risk_level}, wanted a number in (0, 1]; 1 is the mean, 0.1 the worst tenth")


def tail_fractions(uniform: Tensor, risk_level: float) -> Tensor:
    """Fractions tau = 1 - risk_level (1 - u), uniform on (1 - risk_level, 1) when u is on (0, 1) (SL-SAC, eq. 8)."""
    return 1 - risk_level * (1 - uniform)


def empirical_cvar(costs: Tensor, risk_level: float) -> Tensor:
    """Mean of the ceil(risk_level W) largest of the last axis: costs [..., W] -> [...] (SL-SAC, below eq. 10)."""
    check_risk_level(risk_level)
    window = costs.shape[-1]
    if window == 0:
        raise ValueError("empirical_cvar: got no costs, wanted at least one on the last axis")
    return torch.topk(costs, tail_count(window, risk_level), dim=-1).values.mean(-1)


def tail_count(window: int, risk_level: float) -> int:
    """k = ceil(risk_level W), guarded against a product like 0.1 * 30 = 3.0000000000000004."""
    return max(1, math.ceil(round(risk_level * window, 9)))
