"""Lagrange multipliers moved by a controller with proportional, integral and derivative terms, one a run."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class PIDMultiplier:
    """λ = clip(kp P + I + kd D, 0, maximum), `value` [R], from the violation e = J - d (Stooke et al. 2020; OmniSafe).

        I <- clip(I + ki e, 0, maximum)         P <- p_ema P + (1 - p_ema) e
        S <- d_ema S + (1 - d_ema) J            D = max(0, S - what S was `delay` moves ago)

    P, S and its past start at 0, I and λ at `init` (OmniSafe's λ is 0 until its first move). With kp = kd = 0 this is
    `Multiplier`'s plain ascent with lr = ki.
    """

    def __init__(
        self,
        runs: int,
        init: float,
        *,
        kp: float,
        ki: float,
        kd: float,
        cost_limit: float,
        p_ema: float = 0.95,
        d_ema: float = 0.95,
        delay: int = 10,
        maximum: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        gains = dict(init=init, kp=kp, ki=ki, kd=kd)
        if min(gains.values()) < 0:
            raise ValueError(f"PIDMultiplier: none of {gains} may be negative")
        if not (0 <= p_ema < 1 and 0 <= d_ema < 1):
            raise ValueError(f"PIDMultiplier: p_ema is {p_ema} and d_ema {d_ema}, wanted numbers in [0, 1)")
        if delay < 1:
            raise ValueError(f"PIDMultiplier: delay is {delay}, wanted at least 1")
        self.kp, self.ki, self.kd, self.p_ema, self.d_ema = kp, ki, kd, p_ema, d_ema
        self.cost_limit, self.maximum = cost_limit, math.inf if maximum is None else maximum
        self.integral = torch.full((runs,), float(init), dtype=torch.float64, device=device)
        self.value = self.integral.clamp(max=self.maximum)
        self.proportional = torch.zeros_like(self.value)
        self.past = torch.zeros(runs, delay + 1, dtype=torch.float64, device=device)  # of S, newest last

    def ascend(self, violation: Tensor, steps: int = 1) -> None:
        """`steps` moves with violation [R] = J - d; a run whose violation is NaN, nothing known yet, stays."""
        error = violation.to(self.value)
        known = ~error.isnan()
        for _ in range(steps):
            integral = (self.integral + self.ki * error).clamp(0.0, self.maximum)
            proportional = torch.lerp(error, self.proportional, self.p_ema)
            smooth = torch.lerp(error + self.cost_limit, self.past[:, -1], self.d_ema)
            past = torch.cat([self.past[:, 1:], smooth.unsqueeze(1)], dim=1)
            rise = (past[:, -1] - past[:, 0]).clamp(min=0.0)
            value = (self.kp * proportional + integral + self.kd * rise).clamp(0.0, self.maximum)
            self.integral.copy_(torch.where(known, integral, self.integral))
            self.proportional.copy_(torch.where(known, proportional, self.proportional))
            self.past.copy_(torch.where(known.unsqueeze(1), past, self.past))
            self.value.copy_(torch.where(known, value, self.value))

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).clone() for name in ("value", "integral", "proportional", "past")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, saved in state.items():
            getattr(self, name).copy_(saved)
