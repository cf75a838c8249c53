"""Means over what came since a multiplier last moved: of episodes' costs, of critics' values."""

from __future__ import annotations

import torch
from torch import Tensor


class Means:
    """Means [R, n] of what was added to each run since the last `take`, NaN where that is nothing."""

    def __init__(self, runs: int, size: int = 1, device: torch.device | str = "cpu") -> None:
        self.total = torch.zeros(runs, size, dtype=torch.float64, device=device)
        self.count = torch.zeros(runs, 1, dtype=torch.float64, device=device)

    def add(self, values: Tensor | float, run: int | slice = slice(None)) -> None:
        """Add values [R, n] to all runs, or a number or [n] to one."""
        self.total[run] += values
        self.count[run] += 1

    def take(self) -> Tensor:
        """The means; the next begin afresh."""
        means = self.total / self.count
        self.total.zero_()
        self.count.zero_()
        return means

    def state_dict(self) -> dict[str, Tensor]:
        return {"total": self.total.clone(), "count": self.count.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.total.copy_(state["total"])
        self.count.copy_(state["count"])
