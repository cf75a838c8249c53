"""TD3-Lag as one would write it plainly: separate networks, Python loops, autograd, one run; without the cost, TD3.

It shares nothing with `pyslsac` but the records in `pyslsac.data`, so that equality of the two says something, and it
does no work that a careful PyTorch author would avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    gamma: float = 0.99
    cost_gamma: float = 0.99
    polyak: float = 0.005
    critic_lr: float = 3e-4
    critic_grad_norm: float = 40.0
    actor_lr: float = 3e-4
    actor_grad_norm: float = 40.0
    policy_delay: int = 2
    target_noise: float = 0.2
    target_noise_clip: float = 0.5
    multiplier_init: float = 1e-3
    multiplier_lr: float = 1e-5
    multiplier_optimizer: Literal["sgd", "adam"] = "adam"


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class TD3Lag:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, *, constrained: bool = True) -> None:
        self.config, self.act_dim, self.constrained, self.updates = config, act_dim, constrained, 0
        sizes = obs_dim + act_dim, config.width, config.width, 1
        self.actor = nn.Sequential(*mlp(obs_dim, config.width, config.width, act_dim), nn.Tanh())
        self.critics = nn.ModuleList(mlp(*sizes) for _ in range(2))
        self.cost_critic = mlp(*sizes)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.reward_optim = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr, fused=True)
        self.cost_optim = torch.optim.Adam(self.cost_critic.parameters(), lr=config.critic_lr, fused=True)
        self.multiplier = nn.Parameter(torch.tensor(config.multiplier_init, dtype=torch.float64))
        rule = torch.optim.Adam if config.multiplier_optimizer == "adam" else torch.optim.SGD
        self.multiplier_optim = rule([self.multiplier], lr=config.multiplier_lr)

    def draw(self, batch: Batch) -> Tensor:
        """A fresh standard normal [1, B, A] for one update."""
        return torch.randn(1, batch.obs.shape[1], self.act_dim, dtype=batch.obs.dtype, device=batch.obs.device)

    def update(self, batch: Batch, normal: Tensor | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, normal = self.config, self.draw(batch) if normal is None else normal
        obs, x = batch.obs[0], torch.cat([batch.obs[0], batch.action[0]], dim=-1)
        with torch.no_grad():
            noise = (c.target_noise * normal[0]).clamp(-c.target_noise_clip, c.target_noise_clip)
            action = (self.target_actor(batch.next_obs[0]) + noise).clamp(-1.0, 1.0)
            next_x = torch.cat([batch.next_obs[0], action], dim=-1)
            next_q = torch.min(*(critic(next_x).squeeze(-1) for critic in self.target_critics))
            y = batch.reward[0] + c.gamma * (1 - batch.terminated[0]) * next_q
        losses = {"reward_loss": torch.stack([F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics]).sum()}
        self.step(self.reward_optim, losses["reward_loss"], c.critic_grad_norm)
        if self.constrained:
            tail = batch.tail(c.cost_gamma)
            with torch.no_grad():
                next_x = torch.cat([tail.obs[0], self.actor(tail.obs[0])], dim=-1)
                next_cost = self.target_cost_critic(next_x).squeeze(-1)
                z = tail.cost[0] + tail.discount[0] * (1 - tail.terminated[0]) * next_cost
            losses["cost_loss"] = F.mse_loss(self.cost_critic(x).squeeze(-1), z)
            self.step(self.cost_optim, losses["cost_loss"], c.critic_grad_norm)
        self.updates += 1
        if self.updates % c.policy_delay == 0:
            losses["actor_loss"] = self.actor_loss(obs)
            self.step(self.actor_optim, losses["actor_loss"], c.actor_grad_norm)
            for name in ("critics", "actor", "cost_critic") if self.constrained else ("critics", "actor"):
                self.update_target(getattr(self, f"target_{name}"), getattr(self, name))
        return {name: loss.detach() for name, loss in losses.items()}

    def actor_loss(self, obs: Tensor) -> Tensor:
        """The policy's loss, by the first critic alone."""
        x = torch.cat([obs, self.actor(obs)], dim=-1)
        loss = -self.critics[0](x).squeeze(-1)
        if self.constrained:
            multiplier = self.multiplier.item()
            loss = (loss + multiplier * self.cost_critic(x).squeeze(-1)) / (1 + multiplier)
        return loss.mean()

    def move_multiplier(self, mean_cost: float, cost_limit: float) -> None:
        """One step up the violation."""
        self.step(self.multiplier_optim, -self.multiplier * (mean_cost - cost_limit))
        with torch.no_grad():
            self.multiplier.clamp_(min=0.0)

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, grad_norm: float | None = None) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad()
        torch.autograd.backward(loss, inputs=parameters)
        if grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, grad_norm)
        optimizer.step()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)
