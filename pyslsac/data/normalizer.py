"""Running mean and standard deviation of a stream of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class RunningNormalizer:
    """x -> clip((x - mean) / max(std, 0.01), ±5), with the mean and std of all that a run has taken in.

    x is [R, n, *size], and every number of `size` has moments of its own. On costs it is OmniSafe's normalisation,
    which subtracts the mean, so what comes out may be negative; on observations it is LAC's.
    """

    def __init__(
        self,
        runs: int,
        size: Sequence[int] = (),
        *,
        min_std: float = 0.01,
        clip: float = 5.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.min_std, self.clip = min_std, clip
        self.mean = torch.zeros(runs, *size, dtype=torch.float64, device=device)
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.square_sum = torch.zeros_like(self.mean)  # of deviations from the mean

    def __call__(self, x: Tensor) -> Tensor:
        """Take in and normalise x."""
        self.take(x)
        return self.normalize(x)

    def take(self, x: Tensor) -> None:
        """Take in x [R, n, *size] (Chan's parallel update of the moments)."""
        values, fresh = x.to(self.mean), x.shape[1]
        total = self.count + fresh
        mean = values.mean(1)
        shift = mean - self.mean
        self.square_sum += (values - mean.unsqueeze(1)).square().sum(1) + shift.square() * self.count * fresh / total
        self.mean += shift * fresh / total
        self.count.copy_(total)

    def normalize(self, x: Tensor) -> Tensor:
        """x [R, B, *size] in units of what has been taken in; x as it is before that."""
        std = (self.square_sum / (self.count - 1).clamp(min=1)).sqrt().clamp(min=self.min_std)
        scaled = ((x.to(self.mean) - self.mean.unsqueeze(1)) / std.unsqueeze(1)).clamp(-self.clip, self.clip)
        return torch.where(self.count > 0, scaled.to(x), x)

    def state_dict(self) -> dict[str, Any]:
        return {"count": int(self.count), "mean": self.mean.clone(), "square_sum": self.square_sum.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count.fill_(state["count"])
        self.mean.copy_(state["mean"])
        self.square_sum.copy_(state["square_sum"])
