"""Minibatches and the random numbers one update consumes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Transitions (s, a, r, c, s', end) of R runs. `terminated` is 1 where the task ended, never at a time-out."""

    obs: Tensor  # [R, B, S]
    action: Tensor  # [R, B, A] in [-1, 1]
    reward: Tensor  # [R, B]
    cost: Tensor  # [R, B]
    next_obs: Tensor  # [R, B, S]
    terminated: Tensor  # [R, B] 0 or 1

    def __post_init__(self) -> None:
        rows = self.obs.shape[:2]
        for name, dims in (("action", 3), ("reward", 2), ("cost", 2), ("next_obs", 3), ("terminated", 2)):
            value = getattr(self, name)
            if value.dim() != dims or value.shape[:2] != rows:
                wanted = f"[{rows[0]}, {rows[1]}{', *' if dims == 3 else ''}]"
                raise ValueError(f"Batch.{name}: got shape {list(value.shape)}, wanted {wanted} as obs has")

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Batch:
        """The batch on another device, in another floating type."""
        return Batch(*(getattr(self, field.name).to(device, dtype) for field in fields(self)))


@dataclass(frozen=True)
class Draws:
    """Every random number of one distributional actor-critic update, so that two implementations can share them."""

    next_action: Tensor  # [R, B, A] standard normals behind a' ~ pi(.|s')
    next_tau: Tensor  # [R, B, M] fractions of the target quantiles, U(0, 1)
    tau: Tensor  # [R, B, N] fractions of the predicted quantiles, U(0, 1)
    action: Tensor  # [R, B, A] standard normals behind a ~ pi(.|s)
    risk_tau: Tensor  # [R, B, K] fractions of the tail, U(1 - risk_level, 1)
