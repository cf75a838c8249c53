"""Lagrange multipliers, one a run, and the windows of episode costs that drive them."""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.safety.risk import empirical_cvar

MultiplierOptimizer = Literal["sgd", "adam"]


class Multiplier:
    """λ <- clip(λ + lr (J - d), 0, maximum): projected ascent on the dual, `value` [R] (SL-SAC, eq. 10).

    "sgd" is plain ascent; "adam" lets Adam scale the violation, as OmniSafe does, and projects afterwards.
    """

    def __init__(
        self,
        runs: int,
        init: float,
        lr: float,
        *,
        maximum: float | None = None,
        optimizer: MultiplierOptimizer = "sgd",
        device: torch.device | str = "cpu",
    ) -> None:
        if init < 0 or lr < 0:
            raise ValueError(f"Multiplier: init {init} and lr {lr} must not be negative")
        if optimizer not in ("sgd", "adam"):
            raise ValueError(f"Multiplier: optimizer is {optimizer!r}, wanted 'sgd' or 'adam'")
        self.value = torch.full((runs,), float(init), dtype=torch.float64, device=device)
        self.maximum = math.inf if maximum is None else maximum
        self.optimizer: torch.optim.Optimizer
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD([self.value], lr=lr, maximize=True)
        else:
            self.optimizer = torch.optim.Adam([self.value], lr=lr, maximize=True)

    def ascend(self, violation: Tensor, steps: int = 1) -> None:
        """`steps` moves along `violation` [R] = J - d; where it is NaN, nothing known yet, the gradient is zero."""
        self.value.grad = violation.to(self.value).nan_to_num(nan=0.0)
        for _ in range(steps):
            self.optimizer.step()
            self.value.clamp_(0.0, self.maximum)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value.clone(), "optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value.copy_(state["value"])
        self.optimizer.load_state_dict(state["optimizer"])


class CostWindow:
    """The last W undiscounted training-episode costs of every run."""

    def __init__(self, runs: int, length: int) -> None:
        if length < 1:
            raise ValueError(f"CostWindow: length is {length}, wanted at least 1")
        self.length = length
        self.costs: list[deque[float]] = [deque(maxlen=length) for _ in range(runs)]

    def append(self, run: int, cost: float) -> None:
        self.costs[run].append(float(cost))

    def cvar(self, risk_level: float) -> Tensor:
        """CVaR of each run's window [R], float64; NaN before a run's first episode has ended."""
        values = [
            empirical_cvar(torch.tensor(list(costs), dtype=torch.float64), risk_level).item() if costs else math.nan
            for costs in self.costs
        ]
        return torch.tensor(values, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        padded = [list(costs) + [math.nan] * (self.length - len(costs)) for costs in self.costs]
        return {"costs": torch.tensor(padded, dtype=torch.float64)}  # [R, W], NaN where there is no episode yet

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for costs, saved in zip(self.costs, state["costs"].tolist(), strict=True):
            costs.clear()
            costs.extend(cost for cost in saved if not math.isnan(cost))
