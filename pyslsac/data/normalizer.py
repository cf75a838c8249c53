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
        self.square_sum = torch.zeros_like(self.mean)  # of deviations from the mean
        self.std = torch.zeros_like(self.mean)
        self.count = 0
        self.known = torch.zeros((), dtype=torch.bool, device=device)  # is anything taken in? Here a graph sees it

    def __call__(self, x: Tensor) -> Tensor:
        """Take in and normalise x."""
        self.take(x)
        return self.normalize(x)

    def take(self, x: Tensor) -> None:
        """Take in x [R, n, *size] (Chan's parallel update of the moments)."""
        values, fresh = x.to(self.mean), x.shape[1]
        if fresh == 0:
            return
        share, mean = fresh / (self.count + fresh), values.mean(1)
        shift = mean - self.mean
        self.square_sum.addcmul_(shift, shift, value=self.count * share)
        if fresh > 1:
            self.square_sum += (values - mean.unsqueeze(1)).square().sum(1)
        self.mean.add_(shift, alpha=share)
        self._counted(self.count + fresh)

    def _counted(self, count: int) -> None:
        self.count = count
        torch.div(self.square_sum, max(count - 1, 1), out=self.std).sqrt_().clamp_(min=self.min_std)
        self.known.fill_(count > 0)

    def normalize(self, x: Tensor) -> Tensor:
        """x [R, B, *size] in units of what has been taken in; x as it is before that."""
        scaled = (x.to(self.mean) - self.mean.unsqueeze(1)).div_(self.std.unsqueeze(1)).clamp_(-self.clip, self.clip)
        return torch.where(self.known, scaled.to(x), x)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean.clone(), "square_sum": self.square_sum.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean.copy_(state["mean"])
        self.square_sum.copy_(state["square_sum"])
        self._counted(state["count"])
