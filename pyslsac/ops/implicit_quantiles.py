"""The layers of an implicit quantile network in which most of its arithmetic lies, without their zeros."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.perceptron import perceptron
from pyslsac.ops.reference import implicit_quantiles as reference

_INPUTS = "Tensor psi, Tensor tau, Tensor phi_weight, Tensor phi_bias, Tensor weight"


def _fake(psi: Tensor, tau: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape, (_, _, weight, _, _, keep, *_) = tau.shape, rest
    return psi.new_empty(shape), psi.new_empty(*shape, -(-weight.shape[2] // 32) if keep else 0, dtype=torch.int32)


def _fake_backward(grad: Tensor, active: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    psi, _, phi_weight, phi_bias, weight, weights, *_ = rest
    like = phi_weight, phi_bias, weight, weight[:, 0]
    return torch.empty_like(psi), *(x.new_empty(x.shape if weights else 0) for x in like)


_forward = _library.define(
    f"implicit_quantiles({_INPUTS}, Tensor bias, Tensor head, bool keep, bool bf16=False) -> (Tensor, Tensor)",
    reference.implicit_quantiles,
    _fake,
)
_backward_op = _library.define(
    f"implicit_quantiles_backward(Tensor grad, Tensor active, {_INPUTS}, bool weights, bool bf16=False) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference.implicit_quantiles_backward,
    _fake_backward,
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, _, ctx.bf16 = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], *tensors)


@once_differentiable
def _backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    """By the features' argument; features are homogeneous in weight and bias, which gives the gradient by head."""
    if grad is None:
        return (None,) * 9
    active, psi, tau, phi_weight, phi_bias, weight, bias, head = ctx.saved_tensors
    learns = any(ctx.needs_input_grad[2:])
    args = active, psi, tau, phi_weight, phi_bias, weight * head.unsqueeze(1)
    psi_grad, *phi, unit, unit_bias = _backward_op(grad.contiguous(), *args, learns, ctx.bf16)
    if not learns:
        return psi_grad, *[None] * 8
    head_grad = (weight * unit).sum(1) + bias * unit_bias
    return psi_grad, None, *phi, unit * head.unsqueeze(1), unit_bias * head, head_grad, None, None


_library.autograd(_forward, _backward, _setup_context)


def implicit_quantiles(
    psi: Tensor,
    tau: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    head: Tensor,
    bf16: bool = False,
) -> Tensor:
    """Every state's N quantiles, but for the last layer's bias: ReLU((psi ⊙ phi) weight + bias) head [G, B, N].

    phi = ReLU(cosines phi_weight + phi_bias), cosines = cos(pi i tau), i = 0 .. C - 1.   For G runs: psi [G, B, K] is
    the output of a ReLU, shared by the quantiles of a state: entries <= 0 count as zero and their gradient is zero. A
    column that is zero costs nothing in the compiled twins, neither its phi nor its row of `weight` is touched. Of the
    features, the argument of `head`, only a bit for each is kept for the way back: is it above zero?

    tau [G, B, N], fractions; phi_weight [G, C, K], phi_bias [G, K], weight [G, K, H], bias and head [G, H]; all of one
    dtype. float32 and float64 run compiled, every other floating dtype on the reference. bf16: the factors of all
    products but that with head are rounded to bfloat16 and their sums are float32, which is the dtype of all arguments
    then; zeros are multiplied too. On CUDA `perceptron` does that. Gradients go to all but tau; those of the weights
    are made only where one is asked for. No second derivative (asking for one raises RuntimeError, as an argument that
    does not fit does). The weights' gradients are summed in a fixed order: neither threads nor other runs change them.
    Source: Dabney et al. 2018, eq. 4 and section 3.1.
    """
    if bf16 and psi.is_cuda:
        cosines = reference.embedded(tau.detach(), phi_weight.shape[1])
        phi = perceptron(cosines.flatten(1, 2), [phi_weight], [phi_bias], ["relu"], bf16=1)  # [G, B N, K]
        joint = phi.view(*tau.shape, -1) * psi.relu().unsqueeze(2)
        layers = [weight, head.unsqueeze(2)], [bias, torch.zeros_like(head[:, :1])], ["relu", None]
        return perceptron(joint.flatten(1, 2), *layers, bf16=1).view(tau.shape)
    args = [x.contiguous() for x in (psi, tau.detach(), phi_weight, phi_bias, weight, bias, head)]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in args)
    op: Callable[..., Any] = _forward if psi.dtype in reference.DTYPES else reference.implicit_quantiles
    return op(*args, keep, bf16)[0]
