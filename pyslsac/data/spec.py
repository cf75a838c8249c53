"""What an agent must know about a task before it sees the first observation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """Sizes of a task: `obs_dim` numbers in, `act_dim` numbers in [-1, 1] out, episodes of `horizon` steps at most."""

    obs_dim: int
    act_dim: int
    horizon: int = 1000

    def __post_init__(self) -> None:
        for name in ("obs_dim", "act_dim", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"Spec.{name}: got {getattr(self, name)}, wanted at least 1")
