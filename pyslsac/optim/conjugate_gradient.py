"""Linear systems whose matrix is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], right: Tensor, steps: int, tolerance: float = 1e-10
) -> Tensor:
    """x [R, P] with product(x) ≈ right [R, P], for a symmetric positive definite matrix a run (Hestenes, Stiefel 1952).

    From x = 0 on, at most `steps` moves; a run stands still once |right - product(x)|² <= tolerance |right|².
    """
    x, residual = torch.zeros_like(right), right
    direction, square = residual, torch.linalg.vecdot(residual, residual)  # [R, P], [R]
    enough = tolerance * square
    for _ in range(steps):
        image = product(direction)
        going = square > enough
        size = torch.where(going, square / torch.linalg.vecdot(direction, image), 0.0).unsqueeze(1)
        x, residual = x + size * direction, residual - size * image
        before, square = square, torch.linalg.vecdot(residual, residual)
        direction = residual + torch.where(going, square / before, 0.0).unsqueeze(1) * direction
    return x
