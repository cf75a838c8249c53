"""Running mean and standard deviation of a stream of numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class RunningNormalizer:
    """x -> clip((x - mean) / max(std, 0.01), ±5), with the mean and std of all that a run has seen so far, x included.

    It is OmniSafe's cost normalisation. It subtracts the mean, so what comes out may be negative where x is a cost.
    """

    def __init__(self, runs: int, *, min_std: float = 0.01, clip: float = 5.0) -> None:
        self.min_std, self.clip = min_std, clip
        self.count = 0
        self.mean = torch.zeros(runs, dtype=torch.float64)
        self.square_sum = torch.zeros(runs, dtype=torch.float64)  # of deviations from the mean

    def __call__(self, x: Tensor) -> Tensor:
        """Take in and normalise x [R, n] (Chan's parallel update of the moments)."""
        values, fresh = x.double().cpu(), x.shape[1]
        total = self.count + fresh
        mean = values.mean(1)
        shift = mean - self.mean
        self.square_sum += (values - mean.unsqueeze(1)).square().sum(1) + shift.square() * self.count * fresh / total
        self.mean += shift * fresh / total
        self.count = total
        std = (self.square_sum / max(total - 1, 1)).sqrt().clamp(min=self.min_std)
        return ((values - self.mean.unsqueeze(1)) / std.unsqueeze(1)).clamp(-self.clip, self.clip).to(x)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean.clone(), "square_sum": self.square_sum.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self.mean.copy_(state["mean"])
        self.square_sum.copy_(state["square_sum"])
