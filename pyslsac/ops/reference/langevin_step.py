"""One Langevin move in plain torch."""

import math

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, require, require_per_run
from pyslsac.ops.reference.philox_normal import ELEMENTS, MASK, normals


def check(
    action: Tensor,
    grad: Tensor,
    normalize: bool,
    grad_cap: float,
    low: float,
    high: float,
    stream: int,
    op: str = "langevin_step",
) -> None:
    """The checks of csrc/bind/langevin_step.cpp."""
    wanted = "float32 or float64 [R, B, A] or [B, A], contiguous"
    require(
        action.is_floating_point() and action.dim() in (2, 3) and action.is_contiguous(), op, "action", action, wanted
    )
    alike = grad.dtype == action.dtype and grad.shape == action.shape and grad.device == action.device
    require(alike and grad.is_contiguous(), op, "grad", grad, f"{describe(action)}, contiguous")
    require(grad_cap > 0, op, "grad_cap", grad_cap, "a positive number")
    require(not normalize or math.isinf(grad_cap), op, "grad_cap", grad_cap, "none beside normalize")
    require(low <= high, op, "low", low, "at most high")
    require(0 <= stream <= MASK, op, "stream", stream, "an integer of 32 bits")
    require(math.prod(action.shape[-2:]) <= ELEMENTS, op, "action", action, "at most 2^34 elements a run")


def langevin_step_(
    action: Tensor,
    grad: Tensor,
    step_size: Tensor,
    temperature: Tensor,
    drift_scale: Tensor,
    normalize: bool,
    grad_cap: float,
    cap_per_run: bool,
    low: float,
    high: float,
    seed: Tensor,
    step: Tensor,
    stream: int,
) -> None:
    """action [R, B, A] or [B, A] <- clip(action + eps/2 drift + √(eps T) ξ, low, high)."""
    check(action, grad, normalize, grad_cap, low, high, stream)
    stacked = action if action.dim() == 3 else action[None]  # [R, B, A]
    runs, batch, dim = stacked.shape
    wide = action.dtype if action.dtype == torch.float64 else torch.float32
    eps, noise_level, scale = (
        _per_run(name, value, runs, action, wide)
        for name, value in (("step_size", step_size), ("temperature", temperature), ("drift_scale", drift_scale))
    )  # [R, 1, 1] or [1, 1, 1]
    require_per_run("langevin_step", "seed", seed, runs, action, torch.int64)
    require_per_run("langevin_step", "step", step, 1, action, torch.int64)
    drift = grad.reshape(stacked.shape).to(wide)
    if normalize:
        drift = drift / (drift.norm(dim=-1, keepdim=True) + 1e-8)
    elif math.isfinite(grad_cap):
        norm = drift.norm(dim=(-2, -1) if cap_per_run else -1, keepdim=True)
        drift = drift * (grad_cap / (norm + 1e-6)).clamp(max=1.0)
    xi = normals(runs, batch * dim, seed.to(action.device).reshape(-1), step.reshape(()), stream).reshape(
        runs, batch, dim
    )
    moved = stacked.to(wide) + eps / 2 * scale * drift + (eps * noise_level).sqrt() * xi.to(wide)
    stacked.copy_(moved.clamp(low, high))


def _per_run(name: str, value: Tensor, runs: int, action: Tensor, dtype: torch.dtype) -> Tensor:
    require_per_run("langevin_step", name, value, runs, action, dtype)
    return value.to(action.device).reshape(-1, 1, 1)
