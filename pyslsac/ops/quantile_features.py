"""The two layers of an implicit quantile network in which most of its arithmetic lies, without their zeros."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.perceptron import perceptron
from pyslsac.ops.reference import quantile_features as reference

_INPUTS = "Tensor psi, Tensor cosines, Tensor phi_weight, Tensor phi_bias, Tensor weight, Tensor bias"


def _fake(psi: Tensor, cosines: Tensor, phi_weight: Tensor, phi_bias: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return psi.new_empty(*cosines.shape[:3], weight.shape[2])


def _fake_backward(grad: Tensor, features: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    psi, _, *learned = rest[:6]
    weights = rest[6]
    return torch.empty_like(psi), *(torch.empty_like(x) if weights else x.new_empty(0) for x in learned)


_features = _library.define(
    f"quantile_features({_INPUTS}, bool bf16=False) -> Tensor", reference.quantile_features, _fake
)
_features_backward = _library.define(
    f"quantile_features_backward(Tensor grad, Tensor features, {_INPUTS}, bool weights, bool bf16=False) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference.quantile_features_backward,
    _fake_backward,
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.bf16 = inputs
    ctx.save_for_backward(output, *tensors)


@once_differentiable
def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    weights = any(ctx.needs_input_grad[2:])
    psi, *learned = _features_backward(grad.contiguous(), *ctx.saved_tensors, weights, ctx.bf16)
    return psi, None, *(learned if weights else [None] * 4), None


_library.autograd(_features, _backward, _setup_context)


def quantile_features(
    psi: Tensor,
    cosines: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    bf16: bool = False,
) -> Tensor:
    """The features of every state's N quantiles, ReLU((psi ⊙ phi) weight + bias) [G, B, N, H], for G runs.

    phi = ReLU(cosines phi_weight + phi_bias).   psi [G, B, K] is the output of a ReLU, shared by the quantiles of a
    state: entries <= 0 count as zero and their gradient is zero. A column that is zero costs nothing in the compiled
    twins, forward or backward: neither its phi nor its row of `weight` is touched.

    cosines [G, B, N, C], phi_weight [G, C, K], phi_bias [G, K], weight [G, K, H], bias [G, H]; all of one dtype.
    float32 and float64 run compiled, every other floating dtype on the reference. bf16: the factors of all products are
    rounded to bfloat16 and their sums are float32, which is the dtype of all arguments then; zeros are multiplied too.
    On CUDA `perceptron` does that. Gradients go to all but cosines; those of the weights are made only where one is
    asked for. No second derivative (asking for one raises RuntimeError, as an argument that does not fit does). The
    sums of the weights' gradients have a fixed order, so that neither threads nor the runs beside it change a run's
    numbers.
    Source: Dabney et al. 2018, eq. 4 and section 3.1.
    """
    if bf16 and psi.is_cuda:
        phi = perceptron(cosines.detach().flatten(1, 2), [phi_weight], [phi_bias], ["relu"], bf16=1)  # [G, B N, K]
        joint = phi.view(*cosines.shape[:3], -1) * psi.relu().unsqueeze(2)
        return perceptron(joint.flatten(1, 2), [weight], [bias], ["relu"], bf16=1).view(*cosines.shape[:3], -1)
    args = (x.contiguous() for x in (psi, cosines.detach(), phi_weight, phi_bias, weight, bias))
    op: Callable[..., Tensor] = _features if psi.dtype in reference.DTYPES else reference.quantile_features
    return op(*args, bf16)
