"""Safe NC-LQL: noise-conditioned Langevin Q-learning that pays for costs (ours, after Ki et al. 2026).

NC-LQL with `constrained`: twin cost critics at the same noise levels, trained alike with the larger twin in their
target; chains climb Σ Q_r - multiplier Σ Q_c with the whole gradient normalised, so that only the two gradients' ratio
matters; the multiplier follows the costs of training episodes, as SL-SAC's does.

Deviations and choices: those of `nc_lql.py`. Nothing of the constraint is from the paper, which has none.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_level, Loss/Loss_cost_level, Value/reward_critic,
Value/cost_critic, Metrics/LagrangeMultiplier, Metrics/EpCostCVaR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyslsac.agents import nc_lql
from pyslsac.agents.nc_lql import NCLQL, NCLQLConfig


@dataclass(frozen=True)
class SafeNCLQLConfig(NCLQLConfig):
    """NC-LQL's config with a constraint. C: the authors' code · R: our reconstruction."""

    constrained: bool = True  # learn cost critics and a multiplier (R)


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """NC-LQL's, with a multiplier that moves from step 15,000 on in `step`."""
    named = nc_lql.presets(task)
    return named | {"step": named["step"] | dict(multiplier_warmup=15_000)}


class SafeNCLQL(NCLQL):
    """NC-LQL under a limit on an episode's cost."""

    config: SafeNCLQLConfig
