"""The normal law of the discounted cost, WCSAC's Gaussian safety critic (Yang et al. 2021, AAAI)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.nn.ensemble import Ensemble

LEAST_VARIANCE = 1e-8


class NormalCost(nn.Module):
    """N(mean(s, a), std(s, a)²), two perceptrons a run: one is the mean, std² = softplus(the other) + 1e-8."""

    def __init__(
        self,
        runs: int,
        inputs: int,
        width: int,
        generators: Sequence[torch.Generator],
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.networks = Ensemble((runs, 2), (inputs, width, width, 1), generators, bf16=bf16)

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [R, B]."""
        mean, spread = self.networks(action, given=obs).squeeze(-1).unbind(1)
        return mean, (F.softplus(spread) + LEAST_VARIANCE).sqrt()


def normal_cvar(mean: Tensor, std: Tensor, risk_level: float) -> Tensor:
    """CVaR of N(mean, std²): mean + pdf(Φ⁻¹(risk_level)) / risk_level · std; at risk_level 1 the mean."""
    if risk_level == 1:
        return mean
    unit = NormalDist()
    return mean + unit.pdf(unit.inv_cdf(risk_level)) / risk_level * std


def normal_target(cost: Tensor, discount: Tensor, then: tuple[Tensor, Tensor], mean: Tensor) -> tuple[Tensor, Tensor]:
    """Mean y and standard deviation [R, B] of cost + discount Z', given Z' ~ N(*then) and the `mean` of Z now.

    y = cost + discount · mean',    std² = max(1e-8, y² + (discount · std')² - mean²)

    y² + (discount · std')² is the second moment of this one sample, so that the mean of std² over samples of one (s, a)
    is the variance of Z, the next state's chance included, where none meets the bound. Source: Yang et al. 2021, code.
    """
    y = cost + discount * then[0]
    variance = y.square() + (discount * then[1]).square() - mean.square()
    return y, variance.clamp(min=LEAST_VARIANCE).sqrt()


def wasserstein(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """The squared 2-Wasserstein distance of two normal laws (mean, std): (mean - mean')² + (std - std')²."""
    return (one[0] - other[0]).square() + (one[1] - other[1]).square()
