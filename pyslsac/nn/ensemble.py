"""Stacks of independent layers and multilayer perceptrons: the leading axes count networks, GEMMs are batched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.ops import QGroup

Activation = Literal["relu", "silu", "gelu", "mish", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "mish": F.mish,
    "tanh": torch.tanh,
}  # relu is part of the product


class _Affine(torch.autograd.Function):
    """y = x W + b, or ReLU of it, for G networks; the two pointwise passes are done in place on the product.

    x [G, B, in] is taken to the dtype `compute` first, as W [G, in, out] is; b [G, out] is added in that dtype. Only
    the gradients that are asked for are computed. Twice differentiable it is not.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, compute: torch.dtype, relu: bool) -> Tensor:
        left, right = x.to(compute), weight.to(compute)
        y = torch.bmm(left, right).add_(bias.to(compute).unsqueeze(1))  # [G, B, out]
        if relu:
            y.relu_()
        ctx.save_for_backward(left, right, y if relu else None)
        ctx.dtypes = x.dtype, weight.dtype
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        left, right, y = ctx.saved_tensors
        if y is not None:
            grad = torch.ops.aten.threshold_backward(grad, y, 0)
        x_grad = weight_grad = bias_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = torch.bmm(grad, right.transpose(1, 2)).to(ctx.dtypes[0])
        if ctx.needs_input_grad[1]:
            weight_grad = torch.bmm(left.transpose(1, 2), grad).to(ctx.dtypes[1])
            bias_grad = grad.sum(1).to(ctx.dtypes[1])
        return x_grad, weight_grad, bias_grad, None, None


class StackedLinear(nn.Module):
    """y = x W + b for every network of a stack: x [*members, B, in] -> y [*members, B, out], or `activation` of y.

    `members` is (R,) or (R, E). Initialised as torch.nn.Linear is: W and b uniform in ±1/√in, run by run from
    `generators`, so that a run's weights do not depend on how many others there are. The product is computed in
    `compute` (None: the parameters' dtype), whatever comes in.
    """

    def __init__(
        self,
        members: Sequence[int],
        inputs: int,
        outputs: int,
        generators: Sequence[torch.Generator],
        *,
        activation: Activation | None = None,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.members, self.activation, self.compute = tuple(members), activation, compute
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> nn.Parameter:
            runs = [torch.empty(*self.members[1:], *shape).uniform_(-bound, bound, generator=g) for g in generators]
            return nn.Parameter(torch.stack(runs))

        self.weight = uniform(inputs, outputs)  # [*members, in, out]
        self.bias = uniform(outputs)  # [*members, out]

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.members) - 1
        weight, bias = self.weight.flatten(0, last), self.bias.flatten(0, last)  # [G, in, out], [G, out]
        relu = self.activation == "relu"
        y = _Affine.apply(x.flatten(0, last), weight, bias, self.compute or weight.dtype, relu)  # [G, B, out]
        if self.activation is not None and not relu:
            y = ACTIVATIONS[self.activation](y)
        return y.unflatten(0, self.members)


class Ensemble(nn.Module):
    """A stack of perceptrons: x [R, B, in] -> [R, E, B, out] with members (R, E), [R, B, out] with members (R,).

    Every member of a run sees the same input; `sizes` lists the widths from input to output, `activation` follows the
    hidden layers. `compute` is the dtype of the hidden layers; the last one always keeps its parameters' dtype, for
    bfloat16 resolves only 2 at a value of 300.
    """

    def __init__(
        self,
        members: Sequence[int],
        sizes: Sequence[int],
        generators: Sequence[torch.Generator],
        *,
        activation: Activation = "relu",
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.members, self.activation = tuple(members), activation
        *hidden, output = itertools.pairwise(sizes)
        self.layers = nn.Sequential(
            *(StackedLinear(members, i, o, generators, activation=activation, compute=compute) for i, o in hidden),
            StackedLinear(members, *output, generators),
        )

    def forward(self, x: Tensor) -> Tensor:
        if len(self.members) == 2:
            x = x.unsqueeze(1).expand(-1, self.members[1], -1, -1).contiguous()  # [R, E, B, in]
        return self.layers(x)

    def group(self, **options: Any) -> QGroup:
        """These critics (members (R, E), input [observation, action], output 1) as a group of `langevin_chain`.

        The tensors are the parameters themselves: what is read is what they hold when the chain runs. options: those
        of `QGroup` (reduce, coef, ...).
        """
        layers = [layer for layer in self.layers if isinstance(layer, StackedLinear)]
        weights, biases = ([getattr(layer, name).detach() for layer in layers] for name in ("weight", "bias"))
        return QGroup(weights, biases, self.activation, **options)
