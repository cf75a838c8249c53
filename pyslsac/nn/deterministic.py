"""A deterministic policy, squashed by tanh: TD3's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyslsac.nn.ensemble import Ensemble


class Deterministic(nn.Module):
    """a = tanh(network(s)), one network a run (Fujimoto et al. 2018)."""

    def __init__(
        self,
        runs: int,
        obs_dim: int,
        act_dim: int,
        width: int,
        generators: Sequence[torch.Generator],
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.network = Ensemble((runs,), (obs_dim, width, width, act_dim), generators, bf16=bf16)

    def forward(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Action [R, B, A] for obs [R, B, S]; with `noise` [R, B, A] added to it, clipped to [-1, 1]."""
        action = torch.tanh(self.network(obs))
        return action if noise is None else (action + noise).clamp(-1.0, 1.0)
