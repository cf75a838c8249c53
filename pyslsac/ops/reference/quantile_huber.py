"""The meaning of `quantile_huber`: every pair written out in plain torch."""

import torch
from torch import Tensor


def quantile_huber(pred: Tensor, target: Tensor, tau: Tensor, kappa: float) -> tuple[Tensor, Tensor]:
    """(loss [...], ∂loss/∂pred [..., N]); the loss in float32 (float64 for float64), the gradient in pred's dtype."""
    wide = torch.float64 if pred.dtype == torch.float64 else torch.float32
    error = target.to(wide).unsqueeze(-2) - pred.to(wide).unsqueeze(-1)  # [..., N, M]
    fraction = tau.to(wide).unsqueeze(-1)
    weight = torch.where(error < 0, (fraction - 1).abs(), fraction.abs())  # |tau - 1{error < 0}|
    slope = error.clamp(-kappa, kappa)  # huber'(error)
    loss = (weight * slope * (error - 0.5 * slope)).mean(-1).sum(-1) / kappa  # huber = slope (error - slope / 2)
    grad = -(weight * slope).mean(-1) / kappa
    return loss, grad.to(pred.dtype)
