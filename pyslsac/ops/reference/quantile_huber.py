"""The meaning of `quantile_huber`: every pair written out in plain torch."""

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, require

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype that sums are kept in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def quantile_huber(pred: Tensor, target: Tensor, tau: Tensor, kappa: float) -> tuple[Tensor, Tensor]:
    """(loss [...], ∂loss/∂pred [..., N]); the loss in float32 (float64 for float64), the gradient in pred's dtype."""
    check(pred, target, tau, kappa)
    real = wide(pred.dtype)
    error = target.to(real).unsqueeze(-2) - pred.to(real).unsqueeze(-1)  # [..., N, M]
    fraction = tau.to(real).unsqueeze(-1)
    weight = torch.where(error < 0, fraction - 1, fraction).abs()  # |tau - 1{error < 0}|
    slope = error.clamp(-kappa, kappa)  # huber'(error)
    loss = (weight * slope * (error - 0.5 * slope)).mean(-1).sum(-1) / kappa  # huber = slope (error - slope / 2)
    grad = -(weight * slope).mean(-1) / kappa
    return loss, grad.to(pred.dtype)


def check(pred: Tensor, target: Tensor, tau: Tensor, kappa: float) -> None:
    """Raise RuntimeError as csrc/bind/quantile_huber.cpp does."""
    op, place = "quantile_huber", (pred.dtype, pred.device)
    typed = pred.dtype in DTYPES and pred.dim() > 0 and pred.is_contiguous()
    require(typed, op, "pred", pred, "float32, float64 or bfloat16 [..., N], contiguous")
    like = (tau.dtype, tau.device) == place and tau.shape == pred.shape and tau.is_contiguous()
    require(like, op, "tau", tau, f"{describe(pred)}, contiguous")
    rows = target.shape[:-1] == pred.shape[:-1] and target.dim() > 0 and target.shape[-1] > 0
    like = rows and (target.dtype, target.device) == place and target.is_contiguous()
    require(like, op, "target", target, f"[..., M] with M > 0, else as pred is: {describe(pred)}")
    rounded = torch.tensor(kappa, dtype=wide(pred.dtype)).item()
    require(0 < rounded < float("inf"), op, "kappa", kappa, "a finite number above 0")
