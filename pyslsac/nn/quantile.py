"""The implicit quantile network of Dabney et al. (2018) as a critic of states and actions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyslsac import ops
from pyslsac.nn.ensemble import StackedLinear


class QuantileNetwork(nn.Module):
    """Z(s, a; tau), the tau-quantile of the discounted sum, one network a run.

    psi = ReLU(Linear([s, a])),   phi = ReLU(Linear(cos(pi i tau), i = 0..cosines-1)),
    Z = Linear(ReLU(Linear(psi * phi))).   bf16: all layers but the last multiply in bfloat16.
    """

    def __init__(
        self,
        runs: int,
        inputs: int,
        width: int,
        generators: Sequence[torch.Generator],
        *,
        cosines: int = 64,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.psi = StackedLinear((runs,), inputs, width, generators, activation="relu", bf16=bf16)
        self.phi = StackedLinear((runs,), cosines, width, generators, activation="relu", bf16=bf16)
        self.hidden = StackedLinear((runs,), width, width, generators, activation="relu", bf16=bf16)
        self.head = StackedLinear((runs,), width, 1, generators)

    def forward(self, obs: Tensor, action: Tensor, tau: Tensor) -> Tensor:
        """Quantiles [R, B, N] at the fractions `tau` [R, B, N]."""
        psi = self.psi(action, given=obs)  # [R, B, width]
        layers = self.phi.weight, self.phi.bias, self.hidden.weight, self.hidden.bias, self.head.weight.squeeze(2)
        return ops.implicit_quantiles(psi, tau, *layers, bf16=self.hidden.bf16) + self.head.bias.unsqueeze(2)
