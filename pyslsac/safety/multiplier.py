"""Lagrange multipliers, one a run: the rules by which they move."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.ops import adam_

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
        self.lr, moments = lr, 2 if optimizer == "adam" else 0
        self.moments = [torch.zeros_like(self.value) for _ in range(moments)]  # Adam's, of the violation
        self.moves = torch.zeros((), device=device)

    def ascend(self, violation: Tensor, steps: int = 1) -> None:
        """`steps` moves along `violation` [R] = J - d; where it is NaN, nothing known yet, the gradient is zero.

        Moves of plain ascent along one violation go one way, so several are one longer one, clipped once.
        """
        gradient = violation.to(self.value).nan_to_num(nan=0.0)
        if self.moments:
            mean, square = ([moment] for moment in self.moments)
            for _ in range(steps):
                adam_([self.value], [gradient], mean, square, [self.moves], lr=self.lr, maximize=True)
                self._clip()
        else:
            self.moves += steps
            self.value.add_(gradient, alpha=self.lr * steps)
            self._clip()

    def _clip(self) -> None:
        self.value.clamp_(min=0.0).clamp_(max=self.maximum)

    def move_maximum(self, maximum: Tensor) -> None:
        """The next moves end at `maximum` [R]; a run's stays where that is NaN or infinite."""
        self.maximum.copy_(torch.where(maximum.isfinite(), maximum, self.maximum))

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name).clone() for name in ("value", "maximum", "moves")}
        return state | {"moments": [moment.clone() for moment in self.moments]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("value", "maximum", "moves"):
            getattr(self, name).copy_(state[name])
        for moment, saved in zip(self.moments, state["moments"], strict=True):
            moment.copy_(saved)


class LogMultiplier:
    """λ = exp(l), `value` [R]: Adam on l down λ (d - J), which keeps λ positive without a projection (ALGD's code)."""

    def __init__(self, runs: int, init: float, lr: float, *, device: torch.device | str = "cpu") -> None:
        if init <= 0 or lr < 0:
            raise ValueError(f"LogMultiplier: init is {init}, wanted above 0, and lr {lr}, wanted at least 0")
        self.log = torch.full((runs,), math.log(init), dtype=torch.float64, device=device)
        self.lr, self.moments = lr, [torch.zeros_like(self.log) for _ in range(2)]  # Adam's
        self.moves = torch.zeros((), device=device)

    @property
    def value(self) -> Tensor:
        return self.log.exp()

    def ascend(self, violation: Tensor) -> None:
        """One move along `violation` [R] = J - d."""
        mean, square = ([moment] for moment in self.moments)
        gradient = self.value * violation.to(self.log)
        adam_([self.log], [gradient], mean, square, [self.moves], lr=self.lr, maximize=True)

    def state_dict(self) -> dict[str, Any]:
        return {"log": self.log.clone(), "moves": self.moves.clone(), "moments": [m.clone() for m in self.moments]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "moments" not in state:
            raise ValueError("LogMultiplier: the state is an earlier version's, which kept torch's Adam: train anew")
        self.log.copy_(state["log"])
        self.moves.copy_(state["moves"])
        for moment, saved in zip(self.moments, state["moments"], strict=True):
            moment.copy_(saved)
