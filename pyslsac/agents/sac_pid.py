"""SAC-PID, SAC-Lag whose multiplier a PID controller moves, as OmniSafe has it (Stooke et al. 2020, arXiv 2007.03964).

Deviations and choices: those of `sac_lag.py`, and
 1. The multiplier starts at the integral's start, 0.001; OmniSafe's is 0 until it first moves.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic,
Value/Entropy, Value/alpha, Metrics/LagrangeMultiplier, Metrics/EpCostCVaR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pyslsac.agents import sac_lag
from pyslsac.agents.sac_lag import SACLag, SACLagConfig
from pyslsac.safety import PIDMultiplier


@dataclass(frozen=True)
class SACPIDConfig(SACLagConfig):
    """SAC-Lag's config with a controller's gains. O: OmniSafe's default."""

    actor_lr: float = 1e-4  # Adam (O)
    kp: float = 1e-6  # gain of the smoothed violation (O)
    ki: float = 1e-7  # gain of its integral, per environment step (O)
    kd: float = 1e-7  # gain of the cost's rise (O)
    p_ema: float = 0.95  # weight of the past in the smoothed violation (O)
    d_ema: float = 0.95  # weight of the past in the smoothed cost (O)
    d_delay: int = 10  # moves over which that cost's rise is taken (O)
    multiplier_lr: float = 0.0  # not to be set: ki is in its place
    multiplier_optimizer: Literal["sgd", "adam"] = "sgd"  # not to be set

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.multiplier_lr, self.multiplier_optimizer) != (0.0, "sgd"):
            raise ValueError("multiplier_lr, multiplier_optimizer: a PID multiplier has neither; set kp, ki and kd")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """SAC-Lag's with other gains; in `step` the actor is as fast as SAC-Lag's."""
    named, other = sac_lag.presets(task), dict(multiplier_lr=0.0, multiplier_init=1e-3, kp=5e-7, ki=1e-8, kd=1e-8)
    return named | {
        "omnisafe-navigation": named["omnisafe-navigation"] | other,
        "step": named["step"] | dict(multiplier_lr=0.0, kp=5e-3, ki=1e-6, actor_lr=3e-4),
    }


class SACPID(SACLag):
    """SAC-Lag with a PID multiplier."""

    config: SACPIDConfig

    def make_multiplier(self) -> PIDMultiplier:
        c = self.config
        gains: Any = dict(kp=c.kp, ki=c.ki, kd=c.kd, p_ema=c.p_ema, d_ema=c.d_ema, delay=c.d_delay)
        rest: Any = dict(cost_limit=c.cost_limit, maximum=c.multiplier_max, device=self.device)
        return PIDMultiplier(self.runs, c.multiplier_init, **gains, **rest)
