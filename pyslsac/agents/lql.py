"""LQL, Langevin Q-learning: NC-LQL without noise levels (reconstructed from Ki et al. 2026, arXiv 2602.07873).

Twin critics Q(s, a) learn by TD alone; chains climb with one step size from start to end.

Deviations and choices: those of `nc_lql.py`, and
 1. The number of moves, their size and `alpha` are ours: with 50 moves of 0.5 · step_size · drift_scale = 0.1 a chain
    crosses the box of six actions.
 2. By default the gradient is normalised, so chains find the maximum of Q1 + Q2 whatever Q's scale, and end near it by
    about that 0.1 and a jitter of √step_size a coordinate. With `alpha` the gradient is raw and chains sample the
    Boltzmann law ∝ exp(Q / alpha), Q the twins' mean, as far as `repeats` moves take them.

Logged: Loss/Loss_reward_critic, Value/reward_critic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyslsac.agents import nc_lql
from pyslsac.agents.base import check_range
from pyslsac.agents.nc_lql import NCLQL, NCLQLConfig


@dataclass(frozen=True)
class LQLConfig(NCLQLConfig):
    """NC-LQL's config with one level. C: the authors' code · R: our reconstruction."""

    levels: int = 1  # none but the clean one, so that sigma_max and sigma_min are without effect (R)
    repeats: int = 50  # moves of a chain (R)
    step_size: float = 4e-4  # of every move (R)
    alpha: float | None = None  # of the law exp(Q / alpha); None: the gradient as `normalize` has it (R)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, 1, "levels")
        if self.alpha is not None and not self.alpha > 0:
            raise ValueError(f"alpha: got {self.alpha}, wanted a positive number or None")


presets = nc_lql.presets


class LQL(NCLQL):
    """NC-LQL whose critics know no noise."""

    config: LQLConfig

    def drift(self) -> dict[str, Any]:
        alpha = self.config.alpha
        return super().drift() | ({} if alpha is None else dict(normalize=False, drift_scale=0.5 / alpha))
