"""The critic-driven multiplier of WCSAC: it follows what a cost critic expects, not what episodes cost."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class CriticMultiplier:
    """λ = softplus(x), `value` [R], x from 0: Adam on x down λ (budget - J) (Yang et al. 2021, released code).

    The gradient in x is sigmoid(x) (budget - J): λ starts at log 2, stays positive without a projection, and a long
    time below the budget takes it towards 0.
    """

    def __init__(self, runs: int, lr: float, *, device: torch.device | str = "cpu") -> None:
        if lr < 0:
            raise ValueError(f"CriticMultiplier: lr is {lr}, wanted at least 0")
        self.x = torch.zeros(runs, dtype=torch.float64, device=device)
        self.optimizer = torch.optim.Adam([self.x], lr=lr, fused=True, capturable=self.x.is_cuda)

    @property
    def value(self) -> Tensor:
        return F.softplus(self.x)

    def ascend(self, violation: Tensor) -> None:
        """One move along `violation` [R] = J - budget, J the critic's mean over a minibatch."""
        self.x.grad = -self.x.sigmoid() * violation.to(self.x)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x.clone(), "optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x.copy_(state["x"])
        self.optimizer.load_state_dict(state["optimizer"])
