"""Minibatches and the random numbers one update consumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

Columns = tuple[list[Tensor], Tensor]  # a Batch's fields, and where [R, B] the episode ended


class Tail(NamedTuple):
    """What a cost target is made of: cost + discount (1 - terminated) Q_c(obs, a'), a' the policy's action at obs."""

    cost: Tensor  # [R, B] discounted cost of the steps before obs
    obs: Tensor  # [R, B, S]
    terminated: Tensor  # [R, B]
    discount: Tensor  # [R, B]


@dataclass(frozen=True)
class Batch:
    """Transitions (s, a, r, c, s', end) of R runs. `terminated` is 1 where the task ended, never at a time-out."""

    obs: Tensor  # [R, B, S]
    action: Tensor  # [R, B, A] in [-1, 1]
    reward: Tensor  # [R, B]
    cost: Tensor  # [R, B]
    next_obs: Tensor  # [R, B, S]
    terminated: Tensor  # [R, B] 0 or 1

    def __post_init__(self) -> None:
        rows = self.obs.shape[:2]
        for name, dims in (("action", 3), ("reward", 2), ("cost", 2), ("next_obs", 3), ("terminated", 2)):
            value = getattr(self, name)
            if value.dim() != dims or value.shape[:2] != rows:
                wanted = f"[{rows[0]}, {rows[1]}{', *' if dims == 3 else ''}]"
                raise ValueError(f"Batch.{name}: got shape {list(value.shape)}, wanted {wanted} as obs has")

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Batch:
        """The batch on another device, in another floating type."""
        return type(self)(*(getattr(self, field.name).to(device, dtype) for field in fields(self)))

    def tail(self, gamma: float) -> Tail:
        """The one-step target of the cost critic."""
        return Tail(self.cost, self.next_obs, self.terminated, torch.full_like(self.cost, gamma))


@dataclass(frozen=True)
class NStepBatch(Batch):
    """Transitions with the costs of the n steps from theirs on: fewer where the episode, or the replay, ends before."""

    costs: Tensor  # [R, B, n], 0 after the last of `steps`
    steps: Tensor  # [R, B], 1..n
    tail_obs: Tensor  # [R, B, S] after these steps
    tail_terminated: Tensor  # [R, B]

    @classmethod
    def gathered(cls, columns: Columns, later: Callable[[int], tuple[Columns, Tensor]], steps: int) -> NStepBatch:
        """From the transitions' columns and those of `later(k)`, k steps on, with a mask of the rows that there are."""
        one, ended = columns
        costs, taken = [one[3]], torch.ones_like(one[3])
        tail_obs, tail_terminated, going = one[4], one[5], ended == 0
        for k in range(1, steps):
            (there, ended), held = later(k)
            going = going & held
            costs.append(torch.where(going, there[3], 0.0))
            taken = taken + going
            tail_obs = torch.where(going.unsqueeze(-1), there[4], tail_obs)
            tail_terminated = torch.where(going, there[5], tail_terminated)
            going = going & (ended == 0)
        tail = [torch.stack(costs, -1), taken, tail_obs, tail_terminated]
        return cls(*one, *tail)

    def tail(self, gamma: float) -> Tail:
        """The n-step target of the cost critic: Σ_k gamma^k c_k, k < steps, then gamma^steps."""
        weights = gamma ** torch.arange(self.costs.shape[-1], device=self.costs.device)
        return Tail((self.costs * weights).sum(-1), self.tail_obs, self.tail_terminated, gamma**self.steps)


@dataclass(frozen=True)
class Draws:
    """Every random number of one distributional actor-critic update, so that two implementations can share them."""

    next_action: Tensor  # [R, B, A] standard normals behind a' ~ pi(.|s')
    next_tau: Tensor  # [R, B, M] fractions of the target quantiles, U(0, 1)
    tau: Tensor  # [R, B, N] fractions of the predicted quantiles, U(0, 1)
    action: Tensor  # [R, B, A] standard normals behind a ~ pi(.|s)
    risk_tau: Tensor  # [R, B, K] fractions of the tail, U(1 - risk_level, 1)
