"""Stacks of independent layers and perceptrons: the leading axes count networks, GEMMs are batched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyslsac.ops import QGroup, perceptron

Activation = Literal["relu", "silu", "gelu", "mish", "tanh"]


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

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return through([self], x, given)


def through(layers: Sequence[StackedLinear], x: Tensor, given: Tensor | None = None) -> Tensor:
    """[given, x] through layers in turn, as many at a time as compute in one dtype; `given` takes no gradient."""
    for dtype, alike in itertools.groupby(layers, lambda layer: layer.compute or layer.weight.dtype):
        some = list(alike)
        weights, biases = [layer.weight.to(dtype) for layer in some], [layer.bias.to(dtype) for layer in some]
        before = None if given is None else given.to(dtype)
        x, given = perceptron(x.to(dtype), weights, biases, [layer.activation for layer in some], before), None
    return x


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

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return through([layer for layer in self.layers if isinstance(layer, StackedLinear)], x, given)

    def group(self, **options: Any) -> QGroup:
        """These critics (members (R, E), input [observation, action], output 1) as a group of `langevin_chain`.

        The tensors are the parameters themselves: what is read is what they hold when the chain runs. options: those
        of `QGroup` (reduce, coef, ...).
        """
        layers = [layer for layer in self.layers if isinstance(layer, StackedLinear)]
        weights, biases = ([getattr(layer, name).detach() for layer in layers] for name in ("weight", "bias"))
        return QGroup(weights, biases, self.activation, **options)
