"""Rollouts: what a policy did between two updates, in order, and what there is to learn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from pyslsac.data.replay import Replay


def gae(
    reward: Tensor, value: Tensor, final_value: Tensor, terminated: Tensor, ended: Tensor, gamma: float, decay: float
) -> Tensor:
    """Generalised advantages [R, T, n] of T steps in order (Schulman et al. 2016).

        A_t = δ_t + gamma decay (1 - ended_t) A_{t+1},    δ_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t)

    value: V(s_t). final_value: V at the observation that step t led to. It is V(s'_t) where an episode ended, by a
    time-out say, and at the last step; elsewhere V(s'_t) is the value of the next step. All are [R, T, n].

    The sums are doubled in length log₂ T times: each partial sum takes in the one that begins where it ends.
    """
    following = torch.cat([value[:, 1:], final_value[:, -1:]], dim=1)
    following = torch.where(ended > 0, final_value, following)
    total = reward + gamma * (1 - terminated) * following - value
    factor = gamma * decay * (1 - ended)
    length, steps = 1, total.shape[1]
    while length < steps:
        head, head_factor = total[:, :-length], factor[:, :-length]
        total = torch.cat([head + head_factor * total[:, length:], total[:, -length:]], dim=1)
        factor = torch.cat([head_factor * factor[:, length:], factor[:, -length:]], dim=1)
        length *= 2
    return total


class Estimates(NamedTuple):
    """What a policy and its critics learn from, one row a step."""

    obs: Tensor  # [R, B, S]
    action: Tensor  # [R, B, A]
    log_prob: Tensor  # [R, B] of the action under the policy that took it
    reward_advantage: Tensor  # [R, B] of mean 0 and standard deviation 1
    cost_advantage: Tensor  # [R, B] of mean 0
    targets: Tensor  # [R, B, 2] of the critics of reward and cost: advantage + value

    def minibatches(self, order: Tensor, size: int) -> Iterator[Estimates]:
        """The rows in the order [R, B], `size` at a time; the last minibatch has what is left."""
        run = torch.arange(order.shape[0], device=order.device).unsqueeze(1)
        parts = [value[run, order].split(size, dim=1) for value in self]
        return map(Estimates._make, zip(*parts, strict=True))


@dataclass(frozen=True)
class Rollout:
    """T steps of n environments, in order: observations as the policy saw them, actions as it drew them."""

    obs: Tensor  # [R, T, n, S]
    action: Tensor  # [R, T, n, A], also outside [-1, 1]
    reward: Tensor  # [R, T, n]
    cost: Tensor  # [R, T, n]
    next_obs: Tensor  # [R, T, n, S] that the step led to, the last one of an episode included
    terminated: Tensor  # [R, T, n] 0 or 1
    ended: Tensor  # [R, T, n] 0 or 1: terminated, or cut off

    @classmethod
    def latest(cls, replay: Replay, steps: int) -> Rollout:
        """The last `steps` vector steps that were added to a replay, which must have room for them."""
        count = steps * replay.stride
        if not 0 < count <= replay.size:
            raise ValueError(f"Rollout: {count} transitions wanted, the replay holds {replay.size}")
        index = torch.arange(replay.added - count, replay.added, device=replay.rows.device) % replay.capacity
        rows = replay.rows[:, index].unflatten(1, (steps, replay.stride))  # [R, T, n, row]
        obs, action, *rest = rows.split(replay.widths, dim=-1)
        reward, cost, next_obs, terminated, ended = rest
        return cls(obs, action, reward[..., 0], cost[..., 0], next_obs, terminated[..., 0], ended[..., 0])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Rollout:
        """The rollout on another device, in another floating type."""
        return type(self)(*(getattr(self, field.name).to(device, dtype) for field in fields(self)))

    def estimates(
        self,
        log_prob: Callable[[Tensor, Tensor], Tensor],
        critics: Callable[[Tensor], Tensor],
        gammas: tuple[float, float],
        decay: float,
    ) -> Estimates:
        """The rows [R, B = T n] to learn from, by the policy's log_prob(obs, action) and critics(obs).

        The critics are of reward and of cost, [R, 2, B, 1]. As OmniSafe has it, the advantages of rewards are
        standardised over the rollout, and those of costs centred: they keep the unit of a cost.
        """
        obs, next_obs, action = (x.flatten(1, 2) for x in (self.obs, self.next_obs, self.action))
        advantages, targets = [], []
        signals, both = (self.reward, self.cost), torch.cat([critics(obs), critics(next_obs)], dim=1)  # [R, 4, B, 1]
        for kind, (signal, gamma) in enumerate(zip(signals, gammas, strict=True)):
            value, final = both[:, kind].view_as(signal), both[:, 2 + kind].view_as(signal)
            advantage = gae(signal, value, final, self.terminated, self.ended, gamma, decay)
            targets.append((advantage + value).flatten(1))
            advantages.append((advantage - advantage.mean((1, 2), keepdim=True)).flatten(1))
        spread = advantages[0].std(1, correction=0, keepdim=True) + 1e-8
        return Estimates(
            obs, action, log_prob(obs, action), advantages[0] / spread, advantages[1], torch.stack(targets, -1)
        )
