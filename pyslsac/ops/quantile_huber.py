"""The quantile Huber loss over all pairs of predicted and target quantiles, with its gradient in the same pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.reference import quantile_huber as reference


def _fake(pred: Tensor, target: Tensor, tau: Tensor, kappa: float) -> tuple[Tensor, Tensor]:
    return pred.new_empty(pred.shape[:-1], dtype=reference.wide(pred.dtype)), torch.empty_like(pred)


_loss_and_grad = _library.define(
    "quantile_huber(Tensor pred, Tensor target, Tensor tau, float kappa) -> (Tensor, Tensor)",
    reference.quantile_huber,
    _fake,
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, grad = output
    ctx.mark_non_differentiable(grad)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad)


@once_differentiable
def _backward(ctx: Any, loss_grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None]:
    if loss_grad is None:
        return None, None, None, None
    (grad,) = ctx.saved_tensors
    return (grad * loss_grad.unsqueeze(-1)).to(grad.dtype), None, None, None


_library.autograd(_loss_and_grad, _backward, _setup_context)


def quantile_huber(pred: Tensor, target: Tensor, tau: Tensor, kappa: float = 1.0) -> Tensor:
    """The loss of every row, Σ_i mean_j |tau_i - 1{u < 0}| huber(u) / kappa, u = target_j - pred_i: [...].

    huber(u) = u²/2 where |u| <= kappa, kappa (|u| - kappa/2) beyond. pred [..., N], target [..., M] and tau [..., N]
    have the same leading axes; no tensor of N x M pairs is ever made. float32, float64 or bfloat16, all three alike;
    bfloat16 is summed in float32, and the loss comes back in float32.

    The gradient, -mean_j |tau_i - 1{u < 0}| huber'(u) / kappa, is made in the forward pass; backward multiplies by it.
    It flows to pred only: target and tau are constants, and there is no second derivative (asking for one raises
    RuntimeError, as an argument that does not fit does).
    Source: Dabney et al. 2018, eq. 3; Keswani et al. 2026, eqs. 5-7.
    """
    target, tau = target.detach().contiguous(), tau.detach().contiguous()
    return _loss_and_grad(pred.contiguous(), target, tau, kappa)[0]
