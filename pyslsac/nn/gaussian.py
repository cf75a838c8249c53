"""The tanh-Gaussian policy of SAC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.nn.ensemble import Ensemble

LOG_STD_RANGE = (-20.0, 2.0)


class TanhGaussian(nn.Module):
    """a = tanh(u), u ~ N(mean(s), std(s)²), one network a run, log std clamped to [-20, 2] (Haarnoja et al. 2018)."""

    def __init__(
        self,
        runs: int,
        obs_dim: int,
        act_dim: int,
        width: int,
        generators: Sequence[torch.Generator],
        *,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.network = Ensemble((runs,), (obs_dim, width, width, 2 * act_dim), generators, compute=compute)

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Action [R, B, A] and its log density [R, B], from standard normals `noise` [R, B, A].

        log π(a|s) = Σ_A [ -noise²/2 - log std - log √(2π) - log(1 - a²) ], with
        log(1 - tanh²u) = 2 (log 2 - u - softplus(-2u)), which does not cancel at large |u|.
        """
        mean, log_std = self.network(obs).chunk(2, dim=-1)  # [R, B, A] each
        log_std = log_std.clamp(*LOG_STD_RANGE)
        u = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        log_slope = 2 * (math.log(2) - u - F.softplus(-2 * u))
        return torch.tanh(u), (log_normal - log_slope).sum(-1)

    def mode(self, obs: Tensor) -> Tensor:
        """The deterministic action tanh(mean(s)) [R, B, A]."""
        return torch.tanh(self.network(obs).chunk(2, dim=-1)[0])
