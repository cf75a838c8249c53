"""The meaning of `tanh_normal`: a squashed normal in plain torch, and its derivatives written out."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pyslsac.ops.reference import describe, require

LOG_STD_RANGE = (-20.0, 2.0)


def tanh_normal(params: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [..., A] and log densities [...]; torch differentiates it."""
    check("tanh_normal", params, noise)
    mean, log_std = params.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD_RANGE)
    u = mean + log_std.exp() * noise
    log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    log_slope = 2 * (math.log(2) - u - F.softplus(-2 * u))
    return torch.tanh(u), (log_normal - log_slope).sum(-1)


def tanh_normal_backward(
    params: Tensor, noise: Tensor, action: Tensor, action_grad: Tensor, log_prob_grad: Tensor
) -> Tensor:
    """The derivative by params [..., 2 A]."""
    op = "tanh_normal_backward"
    check(op, params, noise)
    for name, value in (("action", action), ("action_grad", action_grad)):
        like = (value.dtype, value.device, value.shape) == (noise.dtype, noise.device, noise.shape)
        require(like and value.is_contiguous(), op, name, value, f"{describe(noise)}, contiguous")
    rows = (log_prob_grad.dtype, log_prob_grad.device) == (params.dtype, params.device)
    rows = rows and log_prob_grad.shape == params.shape[:-1] and log_prob_grad.is_contiguous()
    require(rows, op, "log_prob_grad", log_prob_grad, f"[...], contiguous, beside {describe(params)}")
    log_std, density = params.chunk(2, dim=-1)[1], log_prob_grad.unsqueeze(-1)
    low, high = LOG_STD_RANGE
    u_grad = action_grad * (1 - action.square()) + 2 * density * action
    log_std_grad = u_grad * log_std.clamp(low, high).exp() * noise - density
    return torch.cat([u_grad, torch.where((log_std >= low) & (log_std <= high), log_std_grad, 0.0)], dim=-1)


def check(op: str, params: Tensor, noise: Tensor) -> None:
    """Raise RuntimeError as csrc/bind/tanh_normal.cpp does."""
    require(params.dtype in (torch.float32, torch.float64), op, "params", params, "float32 or float64")
    even = params.dim() > 0 and params.shape[-1] > 0 and params.shape[-1] % 2 == 0 and params.is_contiguous()
    require(even, op, "params", params, "[..., 2 A] with A > 0, contiguous")
    fits = (noise.dtype, noise.device) == (params.dtype, params.device) and noise.is_contiguous()
    fits = fits and noise.shape == (*params.shape[:-1], params.shape[-1] // 2)
    require(fits, op, "noise", noise, f"[..., A], contiguous, beside params: {describe(params)}")
