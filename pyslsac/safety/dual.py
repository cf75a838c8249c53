"""The dual of CVPO's E-step: how to reweight sampled actions so that they earn more and cost no more than a budget.

    g(eta, multiplier) = eta eps + multiplier budget + eta mean_B log mean_K exp(z / eta),    z = Q_r - multiplier Q_c

over eta > 0 and multiplier >= 0 is least where the weights w = softmax_K(z / eta) keep KL(w || 1/K) = eps and
E_w[Q_c] = budget on the mean over states; where a bound holds a variable, its equation is slack (Liu et al. 2022).
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.ops import estep_dual
from pyslsac.ops.reference.estep_dual import Weighted, reweight

DualOptimizer = Literal["newton", "adam"]
ADAM_RANGE = (1e-6, 20.0)  # of both variables, as FSRL clamps them


class Dual:
    """eta and multiplier [R], float64, kept from one minibatch to the next.

    "newton": `estep_dual` from where they stand. "adam": one step of Adam on g, then both clamped to [1e-6, 20] (FSRL).
    """

    def __init__(
        self,
        runs: int,
        eps: float,
        budget: float,
        *,
        optimizer: DualOptimizer = "newton",
        lr: float = 0.02,
        maximum: float = 20.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if optimizer not in ("newton", "adam"):
            raise ValueError(f"Dual: optimizer is {optimizer!r}, wanted 'newton' or 'adam'")
        self.eps, self.budget, self.maximum, self.newton = eps, budget, maximum, optimizer == "newton"
        self.eta = torch.ones(runs, dtype=torch.float64, device=device)
        self.multiplier = torch.zeros_like(self.eta)
        self.adam = torch.optim.Adam([self.eta, self.multiplier], lr=lr, fused=True, capturable=self.eta.is_cuda)

    @torch.no_grad()
    def fit(self, q: Tensor) -> Weighted:
        """Move eta and multiplier to suit q [R, 2, B, K], Q_r and Q_c of K actions a state; returns their weights."""
        if self.newton:
            found = estep_dual(q, self.eta, self.multiplier, self.eps, self.budget, maximum=self.maximum)
            self.eta.copy_(found[0])
            self.multiplier.copy_(found[1])
        else:
            now = reweight(q, self.eta, self.multiplier)
            self.eta.grad, self.multiplier.grad = self.eps - now.kl, self.budget - now.cost
            self.adam.step()
            for value in (self.eta, self.multiplier):
                value.clamp_(*ADAM_RANGE)
        return reweight(q, self.eta, self.multiplier)

    def state_dict(self) -> dict[str, Any]:
        optimizer = copy.deepcopy(self.adam.state_dict())
        return {"eta": self.eta.clone(), "multiplier": self.multiplier.clone(), "optimizer": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.eta.copy_(state["eta"])
        self.multiplier.copy_(state["multiplier"])
        self.adam.load_state_dict(state["optimizer"])
