"""LSAC's agent written plainly: separate networks, a loop over pairs, autograd alone, one run.

It shares nothing with `pyslsac` but the records in `pyslsac.data`; networks and aSGLD are those of SL-SAC's plain
version.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch

from .sl_sac import ASGLD, Actor, Noise, mlp


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    ensemble: int = 10
    actor_pairs: Literal["mean", "best"] = "mean"
    gamma: float = 0.99
    polyak: float = 0.005
    critic_lr: float = 1e-3
    temperature: float = 1e-16
    bias: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    variant = "asgld"  # the only one
    clip: Literal["grad_norm", "drift_value", "drift_norm"] | None = "grad_norm"
    clip_threshold: float = 0.7
    actor_lr: float = 1e-4
    actor_grad_norm: float | None = None
    policy_delay: int = 2
    alpha: float | Literal["auto"] = "auto"
    alpha_lr: float = 3e-4


class Draws(NamedTuple):
    """Standard normals of one update."""

    next_action: Tensor  # [1, B, A]
    action: Tensor  # [1, B, A]


class LSAC:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, noise: Noise = torch.randn_like) -> None:
        self.config, self.act_dim, inputs, width = config, act_dim, obs_dim + act_dim, config.width
        self.actor = Actor(obs_dim, act_dim, width)
        self.critics = nn.ModuleList(mlp(inputs, width, width, 1) for _ in range(2 * config.ensemble))
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(0.0 if config.alpha == "auto" else math.log(config.alpha)))
        self.updates = 0
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.alpha_optim = torch.optim.Adam([self.log_alpha], lr=config.alpha_lr)
        self.reward_optim = ASGLD(list(self.critics), config, noise)

    def pairs(self, critics: nn.ModuleList, x: Tensor) -> list[Tensor]:
        """The smaller twin of every pair, [B] each."""
        values = [critic(x).squeeze(-1) for critic in critics]
        return [torch.min(*values[i : i + 2]) for i in range(0, len(values), 2)]

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or Draws(torch.randn_like(batch.action), torch.randn_like(batch.action))
        x = torch.cat([batch.obs[0], batch.action[0]], dim=-1)
        with torch.no_grad():
            next_action, next_log_prob = self.actor(batch.next_obs[0], draws.next_action[0])
            next_x = torch.cat([batch.next_obs[0], next_action], dim=-1)
            alive, bonus = 1 - batch.terminated[0], self.log_alpha.exp() * next_log_prob
            targets = [batch.reward[0] + c.gamma * alive * (q - bonus) for q in self.pairs(self.target_critics, next_x)]
        losses = [F.mse_loss(critic(x).squeeze(-1), targets[i // 2]) for i, critic in enumerate(self.critics)]
        reward_loss = torch.stack(losses).sum()
        self.reward_optim.zero_grad()
        reward_loss.backward()
        self.reward_optim.step()

        self.updates += 1
        if self.updates % c.policy_delay == 0:
            self.update_actor(batch.obs[0], draws)
            with torch.no_grad():
                for slow, fast in zip(self.target_critics.parameters(), self.critics.parameters(), strict=True):
                    slow.lerp_(fast, c.polyak)
        return {"reward_loss": reward_loss.detach()}

    def update_actor(self, obs: Tensor, draws: Draws) -> None:
        """The policy's loss, and alpha's own step."""
        c = self.config
        self.critics.requires_grad_(False)
        action, log_prob = self.actor(obs, draws.action[0])
        values = torch.stack([q.mean() for q in self.pairs(self.critics, torch.cat([obs, action], dim=-1))])
        value = values.mean() if c.actor_pairs == "mean" else values.max()
        loss = self.log_alpha.exp().detach() * log_prob.mean() - value
        self.actor_optim.zero_grad()
        loss.backward()
        if c.actor_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.actor.parameters(), c.actor_grad_norm)
        self.actor_optim.step()
        self.critics.requires_grad_(True)
        if c.alpha == "auto":
            self.alpha_optim.zero_grad()
            (-self.log_alpha * (log_prob.detach().mean() - self.act_dim)).backward()
            self.alpha_optim.step()
