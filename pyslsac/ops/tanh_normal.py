"""Actions of a tanh-squashed normal policy and their log densities, with both gradients, in one pass each."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.reference import tanh_normal as reference

_forward = _library.define(
    "tanh_normal(Tensor params, Tensor noise) -> (Tensor, Tensor)",
    reference.tanh_normal,
    lambda params, noise: (torch.empty_like(noise), params.new_empty(params.shape[:-1])),
)
_backward_op = _library.define(
    "tanh_normal_backward(Tensor params, Tensor noise, Tensor action, Tensor action_grad, Tensor log_prob_grad) "
    "-> Tensor",
    reference.tanh_normal_backward,
    lambda params, noise, action, action_grad, log_prob_grad: torch.empty_like(params),
)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[0])


@once_differentiable
def _backward(ctx: Any, action_grad: Tensor, log_prob_grad: Tensor) -> tuple[Tensor, None]:
    return _backward_op(*ctx.saved_tensors, action_grad.contiguous(), log_prob_grad.contiguous()), None


_library.autograd(_forward, _backward, _setup_context)


def tanh_normal(params: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions tanh(u) [..., A] and their log densities [...], u = mean + std · noise.

    params [..., 2 A] holds the means, then the log standard deviations, which are clamped to [-20, 2]; noise [..., A]
    are standard normals. log π(a) = Σ_A [ -noise²/2 - log std - log √(2π) - log(1 - a²) ], with log(1 - tanh²u) =
    2 (log 2 - |u| - log(1 + exp(-2|u|))), which does not cancel at large |u|.

    The gradient flows to params only, none to a log std outside the clamp: ∂ log π / ∂u = 2 tanh(u). There is no second
    derivative (asking for one raises RuntimeError, as an argument that does not fit does). float32 or float64.
    Source: Haarnoja et al. 2018, appendix C.
    """
    return _forward(params.contiguous(), noise.detach().contiguous())
