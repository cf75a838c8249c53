"""Dual variables that keep a policy's step inside a trust region."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pyslsac.optim.adam import Adam

TrustRegionRule = Literal["softplus", "clip"]


class TrustRegion:
    """alpha [R, D] >= 0, the prices of a run's D divergences: up while one is over its bound, down while it is under.

    "softplus": alpha = softplus(x), x by Adam from 0, without an upper bound (Abdolmaleki et al. 2018, MPO).
    "clip": alpha <- clip(alpha + scale violation, 0, maximum) from 0, each with a scale and a maximum (CVPO's code).
    """

    def __init__(
        self,
        runs: int,
        *,
        rule: TrustRegionRule = "softplus",
        lr: float = 0.1,
        scales: tuple[float, ...] = (1.0, 100.0),
        maxima: tuple[float, ...] = (0.1, 10.0),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if rule not in ("softplus", "clip"):
            raise ValueError(f"TrustRegion: rule is {rule!r}, wanted 'softplus' or 'clip'")
        if len(scales) != len(maxima):
            raise ValueError(
                f"TrustRegion: {len(scales)} scales and {len(maxima)} maxima; wanted one of each a divergence"
            )
        self.learned = rule == "softplus"
        self.x = torch.zeros(runs, len(scales), device=device, dtype=dtype)  # alpha itself with "clip"
        self.scales, self.maxima = (torch.tensor(v, device=device, dtype=dtype) for v in (scales, maxima))
        self.optimizer = Adam([self.x], lr=lr)

    @property
    def value(self) -> Tensor:
        return F.softplus(self.x) if self.learned else self.x.clone()

    @torch.no_grad()
    def ascend(self, violation: Tensor) -> None:
        """One move along `violation` [R, D] = divergence - bound."""
        if self.learned:
            self.x.grad = -violation * self.x.sigmoid()
            self.optimizer.step()
        else:
            self.x.copy_(torch.minimum((self.x + self.scales * violation).clamp(min=0), self.maxima))

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x.clone(), "optimizer": copy.deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x.copy_(state["x"])
        self.optimizer.load_state_dict(state["optimizer"])
