"""SAC's entropy coefficient: a constant, or learned towards a target entropy."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.optim.adam import Adam


class EntropyCoefficient:
    """alpha [R]. "auto" descends log alpha (entropy - target), target = -A, log alpha from 0 (Haarnoja et al. 2018)."""

    def __init__(
        self,
        alpha: float | Literal["auto"],
        runs: int,
        act_dim: int,
        *,
        lr: float = 3e-4,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.learned, self.target = alpha == "auto", -float(act_dim)
        start = 1.0 if alpha == "auto" else float(alpha)
        self.log_alpha = torch.full((runs,), start, device=device, dtype=dtype).log()
        self.optimizer = Adam([self.log_alpha], lr=lr)

    @property
    def value(self) -> Tensor:
        return self.log_alpha.exp()

    def adapt(self, entropy: Tensor) -> None:
        """One Adam step on log alpha (entropy - target), given the policy's entropy [R]; a constant stays."""
        if self.learned:
            self.log_alpha.grad = entropy.detach() - self.target
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"log_alpha": self.log_alpha.clone(), "optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log_alpha.copy_(state["log_alpha"])
        self.optimizer.load_state_dict(state["optimizer"])
