"""Gaussian policies: SAC's, squashed by tanh, and a plain one with one spread for all states."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyslsac import ops
from pyslsac.nn.ensemble import Ensemble
from pyslsac.ops.reference.tanh_normal import LOG_STD_RANGE


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
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.network = Ensemble((runs,), (obs_dim, width, width, 2 * act_dim), generators, bf16=bf16)

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Action [R, B, A] and its log density [R, B], from standard normals `noise` [R, B, A] (`ops.tanh_normal`)."""
        return ops.tanh_normal(self.network(obs), noise)

    def latent(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation [R, B, A] of u."""
        mean, log_std = self.network(obs).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def sample(self, obs: Tensor, noise: Tensor) -> Tensor:
        """`forward`'s action [R, B, A] alone."""
        return self(obs, noise)[0]

    def mode(self, obs: Tensor) -> Tensor:
        """The deterministic action tanh(mean(s)) [R, B, A]."""
        return torch.tanh(self.latent(obs)[0])


class Gaussian(nn.Module):
    """a ~ N(mean(s), std²), one network a run; std does not depend on the state and is learned (LAC's generator).

    The mean's last layer starts at a tenth of its usual size, log std at -0.5 (Lei et al. 2024, released code).
    """

    def __init__(
        self,
        runs: int,
        obs_dim: int,
        act_dim: int,
        width: int,
        generators: Sequence[torch.Generator],
        *,
        log_std: float = -0.5,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        sizes = (obs_dim, width, width, act_dim)
        self.network = Ensemble((runs,), sizes, generators, activation="tanh", bf16=bf16)
        for parameter in self.network.layers[-1].parameters():
            parameter.data.mul_(0.1)
        self.log_std = nn.Parameter(torch.full((runs, act_dim), log_std))  # [R, A]

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [R, B, A], and standard deviation [R, 1, A]."""
        return self.network(obs), self.log_std.exp().unsqueeze(1)

    def log_prob(self, obs: Tensor, action: Tensor) -> Tensor:
        """log density [R, B] of `action` [R, B, A], which may lie outside the box of actions."""
        mean, std = self(obs)
        log_std = self.log_std.unsqueeze(1)
        return (-0.5 * ((action - mean) / std).square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def divergence(self, obs: Tensor, old: tuple[Tensor, Tensor]) -> Tensor:
        """KL(old || this)(obs) [R, B] = Σ_A [ log std/std_old + (std_old² + (mean - mean_old)²) / (2 std²) - 1/2 ]."""
        (mean, std), (old_mean, old_std) = self(obs), old
        squares = (old_std.square() + (mean - old_mean).square()) / (2 * std.square())
        return ((std / old_std).log() + squares - 0.5).sum(-1)
