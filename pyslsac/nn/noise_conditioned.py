"""Critics that are told how noisy the action is: NC-LQL's Q(s, a, level)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyslsac.nn.ensemble import Ensemble, StackedLinear
from pyslsac.ops import QGroup, perceptron

WAVES, HIDDEN, EMBEDDING = 8, 32, 16  # frequencies of the level's sinusoid; widths of its two layers


def sinusoid(levels: int) -> Tensor:
    """[levels, 16] in float64: sin and cos of level · 10000^(-j/8), j = 0..7, over √16."""
    level, wave = torch.arange(levels, dtype=torch.float64), torch.arange(WAVES, dtype=torch.float64)
    angle = level.unsqueeze(1) * 10_000.0 ** (-wave / WAVES)
    return torch.cat([angle.sin(), angle.cos()], dim=1) / (2 * WAVES) ** 0.5


class NoiseConditioned(nn.Module):
    """A stack of perceptrons Q(s, a, level) -> [R, E, B] with members (R, E): 3 hidden Mish layers and a linear output.

    Layer 1 sees [s, a, embedding(level)], embedding = Linear(Mish(Linear(sinusoid(level)))) with 32 and 16 units, a
    network of its own in every critic. The embedding's part of layer 1 is the same for all rows of a level, so it is
    computed once a level and added; with one level there is no embedding. `inputs` counts s and a; bf16: the hidden
    layers multiply in bfloat16.
    """

    waves: Tensor

    def __init__(
        self,
        members: Sequence[int],
        inputs: int,
        width: int,
        levels: int,
        generators: Sequence[torch.Generator],
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.members, self.inputs, self.levels = tuple(members), inputs, levels
        embedding = EMBEDDING if levels > 1 else 0
        sizes = (inputs + embedding, width, width, width, 1)
        self.trunk = Ensemble(members, sizes, generators, activation="mish", bf16=bf16)
        self.embed = nn.Sequential()
        if levels > 1:
            self.embed.append(StackedLinear(members, 2 * WAVES, HIDDEN, generators, activation="mish"))
            self.embed.append(StackedLinear(members, HIDDEN, EMBEDDING, generators))
        self.register_buffer("waves", sinusoid(levels), persistent=False)

    @property
    def layers(self) -> list[StackedLinear]:
        """The trunk's, from input to output."""
        return [layer for layer in self.trunk.layers if isinstance(layer, StackedLinear)]

    def shifts(self) -> Tensor:
        """What each level adds to the sums of layer 1 [R, E, levels, width]."""
        weight = self.layers[0].weight[:, :, self.inputs :]  # [R, E, 16, width], or of no rows
        if self.levels == 1:
            return weight.new_zeros(*self.members, 1, weight.shape[-1])
        return self.embed(self.waves.to(weight).expand(*self.members, -1, -1)) @ weight

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Q [R, E, B] of x = [s, a] [R, B, inputs] at the levels [R, B], or at one for all rows."""
        first, *others = self.layers
        weight, shifts = first.weight[:, :, : self.inputs], self.shifts()
        bias: Tensor = first.bias
        if isinstance(level, Tensor):  # a level's row is picked by the product that layer 1 is anyway
            chosen = level.unsqueeze(-1) == torch.arange(self.levels, device=level.device)  # [R, B, levels]
            x, weight = torch.cat([x, chosen.to(x)], dim=-1), torch.cat([weight, shifts], dim=2)
        else:
            bias = bias + shifts[:, :, level]
        weights, biases = [weight, *(layer.weight for layer in others)], [bias, *(layer.bias for layer in others)]
        names = [layer.activation for layer in self.layers]
        return perceptron(x, weights, biases, names, bf16=sum(layer.bf16 for layer in self.layers)).squeeze(-1)

    @torch.no_grad()
    def group(self, levels: Tensor, **options: Any) -> QGroup:
        """These critics as a group of `langevin_chain` whose move k is at level levels[k] (int64 [K]).

        step_bias holds what the embedding is now, so a chain after the weights have moved needs a group of its own.
        options: those of `QGroup` (reduce, coef, ...).
        """
        first, *others = self.layers
        weights = [first.weight.detach()[:, :, : self.inputs], *(layer.weight.detach() for layer in others)]
        biases = [layer.bias.detach() for layer in self.layers]
        shift = self.shifts()[:, :, levels].transpose(1, 2)  # [R, K, E, width]
        return QGroup(weights, biases, "mish", step_bias=shift, **options)
