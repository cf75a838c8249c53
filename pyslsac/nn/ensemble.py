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
    `generators`, so that a run's weights do not depend on how many others there are. bf16: the factors of its products
    are rounded to bfloat16, there and back, and summed in float32.
    """

    def __init__(
        self,
        members: Sequence[int],
        inputs: int,
        outputs: int,
        generators: Sequence[torch.Generator],
        *,
        activation: Activation | None = None,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.members, self.activation, self.bf16 = tuple(members), activation, bf16
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> nn.Parameter:
            runs = [torch.empty(*self.members[1:], *shape).uniform_(-bound, bound, generator=g) for g in generators]
            return nn.Parameter(torch.stack(runs))

        self.weight = uniform(inputs, outputs)  # [*members, in, out]
        self.bias = uniform(outputs)  # [*members, out]

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return through([self], x, given)


def through(layers: Sequence[StackedLinear], x: Tensor, given: Tensor | None = None) -> Tensor:
    """[given, x] through layers in turn, of which the first may multiply in bfloat16; `given` takes no gradient."""
    weights, biases, names, bf16 = arguments(layers)
    return perceptron(x, weights, biases, names, given, bf16)


def arguments(layers: Sequence[StackedLinear]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[str | None], int]:
    """Layers as ops take them: weights, biases, activations, and how many of them multiply in bfloat16."""
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    return weights, biases, [layer.activation for layer in layers], sum(layer.bf16 for layer in layers)


class Ensemble(nn.Module):
    """A stack of perceptrons: x [R, B, in] -> [R, E, B, out] with members (R, E), [R, B, out] with members (R,).

    Every member of a run sees the same input; `sizes` lists the widths from input to output, `activation` follows the
    hidden layers. bf16: these multiply in bfloat16; the last one never does.
    """

    def __init__(
        self,
        members: Sequence[int],
        sizes: Sequence[int],
        generators: Sequence[torch.Generator],
        *,
        activation: Activation = "relu",
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.members, self.activation = tuple(members), activation
        *hidden, output = itertools.pairwise(sizes)
        self.layers = nn.Sequential(
            *(StackedLinear(members, i, o, generators, activation=activation, bf16=bf16) for i, o in hidden),
            StackedLinear(members, *output, generators),
        )

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return through(self.stack, x, given)

    @property
    def stack(self) -> list[StackedLinear]:
        return [layer for layer in self.layers if isinstance(layer, StackedLinear)]

    def group(self, **options: Any) -> QGroup:
        """These critics (members (R, E), input [observation, action], output 1) as a group of `langevin_chain`.

        The tensors are the parameters themselves: what is read is what they hold when the chain runs. options: those
        of `QGroup` (reduce, coef, ...).
        """
        weights, biases = ([getattr(layer, name).detach() for layer in self.stack] for name in ("weight", "bias"))
        return QGroup(weights, biases, self.activation, **options)
