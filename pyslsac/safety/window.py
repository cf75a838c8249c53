"""Windows of recent episode costs, which multipliers follow."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
from torch import Tensor

from pyslsac.safety.risk import empirical_cvar


class CostWindow:
    """The last W undiscounted training-episode costs of every run."""

    def __init__(self, runs: int, length: int) -> None:
        if length < 1:
            raise ValueError(f"CostWindow: length is {length}, wanted at least 1")
        self.length = length
        self.costs: list[deque[float]] = [deque(maxlen=length) for _ in range(runs)]
        self.found: dict[float, Tensor] = {}  # risk level -> CVaR, until a cost comes

    def append(self, run: int, cost: float) -> None:
        self.costs[run].append(float(cost))
        self.found.clear()

    def cvar(self, risk_level: float) -> Tensor:
        """CVaR of each run's window [R], float64; NaN before a run's first episode has ended."""
        if risk_level not in self.found:
            kept = [torch.tensor(list(costs), dtype=torch.float64) for costs in self.costs]
            values = [empirical_cvar(costs, risk_level).item() if costs.numel() else math.nan for costs in kept]
            self.found[risk_level] = torch.tensor(values, dtype=torch.float64)
        return self.found[risk_level].clone()

    def state_dict(self) -> dict[str, Any]:
        padded = [list(costs) + [math.nan] * (self.length - len(costs)) for costs in self.costs]
        return {"costs": torch.tensor(padded, dtype=torch.float64)}  # [R, W], NaN where there is no episode yet

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found.clear()
        for costs, saved in zip(self.costs, state["costs"].tolist(), strict=True):
            costs.clear()
            costs.extend(cost for cost in saved if not math.isnan(cost))
