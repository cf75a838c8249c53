"""Stacks of independent layers and perceptrons: the leading axes count networks, GEMMs are batched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyslsac.ops import QGroup
from pyslsac.ops.reference.langevin_chain import ACTIVATIONS, BACKWARD

Activation = Literal["relu", "silu", "gelu", "mish", "tanh"]
SLOPES = dict(zip(ACTIVATIONS, BACKWARD, strict=True))


class _Layers(torch.autograd.Function):
    """A perceptron's layers, x -> activation(x W + b), for G networks at once, as one node of the graph.

    x is [*members, B, in], W [*members, in, out], b [*members, out], and `kinds` holds for each layer its activation
    (None: none) and the dtype to which what it multiplies is taken first. ReLU is done in place on the product, and
    only the gradients that are asked for are computed. Twice differentiable it is not.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kinds: Sequence[tuple[Activation | None, torch.dtype]], *params: Tensor) -> Tensor:
        last = x.dim() - 3
        ctx.kinds, ctx.shapes, ctx.dtypes = kinds, [p.shape for p in (x, *params)], [p.dtype for p in (x, *params)]
        kept: list[Tensor] = []
        x = x.flatten(0, last)
        for (activation, dtype), weight, bias in zip(kinds, params[::2], params[1::2], strict=True):
            left, right = x.to(dtype), weight.to(dtype).flatten(0, last)  # [G, B, in], [G, in, out]
            y = _product(left, right).add_(bias.to(dtype).flatten(0, last).unsqueeze(1))
            x = y if activation is None else y.relu_() if activation == "relu" else ACTIVATIONS[activation](y)
            kept += left, right, y
        ctx.save_for_backward(*kept)
        return x.unflatten(0, ctx.shapes[0][:-2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept, needed = ctx.saved_tensors, [ctx.needs_input_grad[0], *ctx.needs_input_grad[2:]]
        grads: list[Tensor | None] = [None] * len(needed)
        grad = grad.flatten(0, grad.dim() - 3)

        def give(place: int, value: Tensor) -> None:
            grads[place] = value.to(ctx.dtypes[place]).view(ctx.shapes[place])

        for layer in reversed(range(len(ctx.kinds))):
            (left, right, y), (activation, dtype) = kept[3 * layer : 3 * layer + 3], ctx.kinds[layer]
            grad = grad.to(dtype)
            if activation is not None:
                grad = SLOPES[activation](grad, y)
            if needed[1 + 2 * layer]:
                give(1 + 2 * layer, torch.bmm(left.mT, grad) if grad.shape[-1] > 1 else torch.bmm(grad.mT, left).mT)
                give(2 + 2 * layer, grad.sum(1))
            if not any(needed[: 1 + 2 * layer]):
                break
            grad = torch.bmm(grad, right.mT) if grad.shape[-1] > 1 else grad * right.mT
        else:
            give(0, grad)
        return grads[0], None, *grads[1:]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right; one column is a product and a sum, of which CPUs make less work than of a matrix product."""
    return torch.bmm(left, right) if right.shape[-1] > 1 else (left * right.mT).sum(-1, keepdim=True)


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

    @property
    def kind(self) -> tuple[Activation | None, torch.dtype]:
        """The activation, and the dtype of the product."""
        return self.activation, self.compute or self.weight.dtype

    def forward(self, x: Tensor) -> Tensor:
        return _Layers.apply(x, [self.kind], self.weight, self.bias)


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
        layers = [layer for layer in self.layers if isinstance(layer, StackedLinear)]
        return _Layers.apply(x, [layer.kind for layer in layers], *self.parameters())

    def group(self, **options: Any) -> QGroup:
        """These critics (members (R, E), input [observation, action], output 1) as a group of `langevin_chain`.

        The tensors are the parameters themselves: what is read is what they hold when the chain runs. options: those
        of `QGroup` (reduce, coef, ...).
        """
        layers = [layer for layer in self.layers if isinstance(layer, StackedLinear)]
        weights, biases = ([getattr(layer, name).detach() for layer in layers] for name in ("weight", "bias"))
        return QGroup(weights, biases, self.activation, **options)
