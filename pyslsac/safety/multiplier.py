"""Lagrange multipliers, one a run: the rules by which they move."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal

import torch
from torch import Tensor

MultiplierOptimizer = Literal["sgd", "adam"]


class Multiplier:
    """λ <- clip(λ + lr (J - d), 0, maximum): projected ascent on the dual, `value` [R] (SL-SAC, eq. 10).

    "sgd" is plain ascent; "adam" lets Adam scale the violation, as OmniSafe does, and projects afterwards. `maximum`
    [R] may move (`move_maximum`) and belongs to the state.
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
        self.maximum = torch.full_like(self.value, math.inf if maximum is None else maximum)
        self.optimizer: torch.optim.Optimizer
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD([self.value], lr=lr, maximize=True)
        else:
            self.optimizer = torch.optim.Adam([self.value], lr=lr, maximize=True, fused=True)

    def ascend(self, violation: Tensor, steps: int = 1) -> None:
        """`steps` moves along `violation` [R] = J - d; where it is NaN, nothing known yet, the gradient is zero."""
        self.value.grad = violation.to(self.value).nan_to_num(nan=0.0)
        for _ in range(steps):
            self.optimizer.step()
            self.value.clamp_(min=0.0).clamp_(max=self.maximum)

    def move_maximum(self, maximum: Tensor) -> None:
        """The next moves end at `maximum` [R]; a run's stays where that is NaN or infinite."""
        self.maximum.copy_(torch.where(maximum.isfinite(), maximum, self.maximum))

    def state_dict(self) -> dict[str, Any]:
        state = {"value": self.value.clone(), "maximum": self.maximum.clone()}
        return state | {"optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value.copy_(state["value"])
        self.maximum.copy_(state["maximum"])
        self.optimizer.load_state_dict(state["optimizer"])


class LogMultiplier:
    """λ = exp(l), `value` [R]: Adam on l down λ (d - J), which keeps λ positive without a projection (ALGD's code)."""

    def __init__(self, runs: int, init: float, lr: float, *, device: torch.device | str = "cpu") -> None:
        if init <= 0 or lr < 0:
            raise ValueError(f"LogMultiplier: init is {init}, wanted above 0, and lr {lr}, wanted at least 0")
        self.log = torch.full((runs,), math.log(init), dtype=torch.float64, device=device)
        self.optimizer = torch.optim.Adam([self.log], lr=lr, fused=True, capturable=self.log.is_cuda)

    @property
    def value(self) -> Tensor:
        return self.log.exp()

    def ascend(self, violation: Tensor) -> None:
        """One move along `violation` [R] = J - d."""
        self.log.grad = -self.value * violation.to(self.log)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"log": self.log.clone(), "optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log.copy_(state["log"])
        self.optimizer.load_state_dict(state["optimizer"])
