"""The score network of a diffusion policy, conditioned on the noise level by a learned table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyslsac.nn.ensemble import Ensemble, arguments
from pyslsac.ops import reverse_chain


class ScoreNetwork(nn.Module):
    """φ(s, a, k), one perceptron a run with three hidden layers on [s, a, table[k]].

    table [R, levels, embedding] starts as torch.nn.Embedding does, from N(0, 1). bf16: the hidden layers
    multiply in bfloat16. Source: ALGD's released code (3 x 128 ReLU, 16 numbers a level).
    """

    def __init__(
        self,
        runs: int,
        obs_dim: int,
        act_dim: int,
        width: int,
        levels: int,
        generators: Sequence[torch.Generator],
        *,
        embedding: int = 16,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.stack([torch.randn(levels, embedding, generator=g) for g in generators]))
        sizes = (obs_dim + act_dim + embedding, width, width, width, act_dim)
        self.network = Ensemble((runs,), sizes, generators, bf16=bf16)

    def forward(self, obs: Tensor, action: Tensor, level: int | Tensor) -> Tensor:
        """φ [R, B, A] for obs [R, B, S], action [R, B, A] and one level, or one of each row: int64 [R, B]."""
        if isinstance(level, int):
            embedded = self.table[:, level].unsqueeze(1).expand(-1, obs.shape[1], -1)  # [R, B, embedding]
        else:  # a product, whose gradient is one too: the same sums on every device
            chosen = level.unsqueeze(-1) == torch.arange(self.table.shape[1], device=level.device)  # [R, B, K]
            embedded = torch.bmm(chosen.to(self.table.dtype), self.table)
        return self.network(torch.cat([action, embedded], dim=-1), given=obs)

    def chain(self, obs: Tensor, noise: Tensor, gain: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """The reverse chain that this score leads: the op `reverse_chain`, with arguments and results as there."""
        weights, biases, names, bf16 = arguments(self.network.stack)
        return reverse_chain(obs, noise, self.table, weights, biases, names, gain, spread, bf16)
