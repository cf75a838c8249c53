"""The step of CPO: the best one in a trust region that keeps a linear constraint (Achiam et al. 2017).

    maximise gᵀx    with  c + bᵀx <= 0  and  xᵀHx / 2 <= radius

Its solution is x = reward H⁻¹g + cost H⁻¹b. All that matters of g, b and H are q = gᵀH⁻¹g, r = gᵀH⁻¹b and s = bᵀH⁻¹b.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST = 1e-30  # below every q and s that means something; in their place nothing is divided by zero
PARALLEL = 1e-8  # least A / q: where g and b are parallel float32 vectors do not tell the rest of g from rounding


class ConstrainedStep(NamedTuple):
    """x = reward H⁻¹g + cost H⁻¹b, each [R] float64; multiplier is the cost's, radius_multiplier the trust region's."""

    reward: Tensor
    cost: Tensor
    multiplier: Tensor
    radius_multiplier: Tensor
    case: Tensor  # 0..3, as in `solve_step`


def solve_step(q: Tensor, r: Tensor, s: Tensor, c: Tensor, radius: float) -> ConstrainedStep:
    """The best step for q, r, s and c [R].

    With ρ and ν the multipliers of the trust region and the cost, x = H⁻¹(g - ν b) / ρ:

        3  the limit does not bind: ρ = √(q / (2 radius)), ν = 0, the trust region's own step, where c + r / ρ <= 0
        0  no step in the trust region keeps the limit: x = -√(2 radius / s) H⁻¹b, where c > 0 and c² > 2 radius s
        2  the limit binds: ρ = √(A / B), ν = (r + ρ c) / s,  A = q - r² / s,  B = 2 radius - c² / s
        1  the same, where the limit is exceeded now, c > 0

    In case 0, which recovers, both multipliers are 0: nothing is traded. These are the cases of the paper's appendix;
    where step 3 keeps the limit it is the solution, and where it does not both constraints are active, which leaves
    no interval of ρ to compare.
    """
    q, r, s, c = (value.double() for value in (q, r, s, c))
    q, s = q.clamp(min=SMALLEST), s.clamp(min=SMALLEST)
    free_rho = (q / (2 * radius)).sqrt()
    free = c + r / free_rho <= 0
    room = 2 * radius - c.square() / s  # B
    lost = ~free & (c > 0) & (room < 0)
    rho = (torch.maximum(q - r.square() / s, PARALLEL * q) / room.clamp(min=SMALLEST)).sqrt()  # √(A / B)
    rho = torch.where(free, free_rho, rho)
    nu = torch.where(free, 0.0, (r + rho * c) / s).clamp(min=0.0)
    reward = torch.where(lost, 0.0, 1 / rho)
    cost = torch.where(lost, -(2 * radius / s).sqrt(), -nu / rho)
    case = torch.where(free, 3.0, torch.where(c > 0, 1.0, 2.0))
    zero = torch.zeros_like(rho)
    return ConstrainedStep(
        reward, cost, torch.where(lost, zero, nu), torch.where(lost, zero, rho), torch.where(lost, zero, case)
    )
