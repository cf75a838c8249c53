"""WCSAC as one would write it straight from the paper: separate networks, autograd alone, one run.

It shares nothing with `pyslsac` but the records in `pyslsac.data`; networks that SL-SAC has as well are those of its
plain version.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch, Draws

from .sl_sac import Actor, CostCritic, mlp, quantile_huber


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    safety_critic: Literal["iqn", "gaussian"] = "iqn"
    quantiles: int = 32
    cosines: int = 64
    kappa: float = 1.0
    gamma: float = 0.99
    cost_gamma: float = 0.99
    polyak: float = 0.005
    risk_level: float = 0.5
    critic_lr: float = 3e-4
    actor_lr: float = 3e-4
    critic_grad_norm: float | None = 40.0
    actor_grad_norm: float | None = 40.0
    policy_delay: int = 2
    alpha: float | Literal["auto"] = 0.2
    alpha_lr: float = 3e-4
    multiplier_lr: float = 6e-3
    damping: float = 10.0
    nonnegative_price: bool = False
    cost_limit: float = 25.0


class Gaussian(nn.Module):
    """Mean and variance of the cost, two networks."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.mean, self.spread = mlp(inputs, width, width, 1), mlp(inputs, width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x).squeeze(-1), F.softplus(self.spread(x).squeeze(-1)) + 1e-8


def minimise(loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer, grad_norm: float | None) -> None:
    optimizer.zero_grad()
    loss.backward()
    if grad_norm is not None:
        nn.utils.clip_grad_norm_(module.parameters(), grad_norm)
    optimizer.step()


class WCSAC:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, horizon: int = 1000) -> None:
        self.config, self.act_dim, inputs, width = config, act_dim, obs_dim + act_dim, config.width
        self.actor = Actor(obs_dim, act_dim, width)
        self.critics = nn.ModuleList(mlp(inputs, width, width, 1) for _ in range(2))
        iqn = config.safety_critic == "iqn"
        self.cost_critic = CostCritic(inputs, width, config.cosines) if iqn else Gaussian(inputs, width)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(0.0 if config.alpha == "auto" else math.log(config.alpha)))
        self.x = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.budget = config.cost_limit * sum(config.cost_gamma**t for t in range(horizon)) / horizon
        self.updates = 0
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.reward_optim = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr, fused=True)
        self.cost_optim = torch.optim.Adam(self.cost_critic.parameters(), lr=config.critic_lr, fused=True)
        self.alpha_optim = torch.optim.Adam([self.log_alpha], lr=config.alpha_lr)
        self.multiplier_optim = torch.optim.Adam([self.x], lr=config.multiplier_lr)

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        c, rows, like = self.config, batch.reward.shape, dict(dtype=batch.obs.dtype)  # rows: [1, B]
        next_tau, tau, tail = (torch.rand(*rows, c.quantiles, **like) for _ in range(3))
        next_action, action = (torch.randn(*rows, self.act_dim, **like) for _ in range(2))
        return Draws(next_action, next_tau, tau, action, 1 - c.risk_level * tail)

    def cvar(self, x: Tensor, risk_tau: Tensor) -> Tensor:
        if isinstance(self.cost_critic, CostCritic):
            return self.cost_critic(x, risk_tau).mean(-1)
        mean, variance = self.cost_critic(x)
        level = torch.tensor(self.config.risk_level, dtype=torch.float64)
        quantile = torch.special.ndtri(level)
        return mean + (torch.exp(-(quantile**2) / 2) / math.sqrt(2 * math.pi) / level).to(mean) * variance.sqrt()

    def cost_loss(self, batch: Batch, x: Tensor, next_x: Tensor, draws: Draws) -> Tensor:
        """The quantile loss, or the squared 2-Wasserstein distance as the paper writes it out."""
        c, cost, alive = self.config, batch.cost[0], 1 - batch.terminated[0]
        if isinstance(self.cost_critic, CostCritic):
            with torch.no_grad():
                next_z = self.target_cost_critic(next_x, draws.next_tau[0])
                z = cost.unsqueeze(-1) + c.cost_gamma * alive.unsqueeze(-1) * next_z
            return quantile_huber(self.cost_critic(x, draws.tau[0]), z, draws.tau[0], c.kappa)
        mean, variance = self.cost_critic(x)
        with torch.no_grad():
            next_mean, next_variance = self.target_cost_critic(next_x)
            g = c.cost_gamma * alive
            second = cost**2 + 2 * g * cost * next_mean + g**2 * (next_variance + next_mean**2)
            goal = (second - mean**2).clamp(min=1e-8)
        apart = F.mse_loss(mean, cost + g * next_mean)
        return apart + (variance + goal - 2 * (variance * goal).sqrt()).mean()

    def value(self, critics: nn.ModuleList, x: Tensor) -> Tensor:
        return torch.min(*(critic(x).squeeze(-1) for critic in critics))

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        x = torch.cat([batch.obs[0], batch.action[0]], dim=-1)
        with torch.no_grad():
            next_action, next_log_prob = self.actor(batch.next_obs[0], draws.next_action[0])
            next_x = torch.cat([batch.next_obs[0], next_action], dim=-1)
            next_value = self.value(self.target_critics, next_x) - self.log_alpha.exp() * next_log_prob
            y = batch.reward[0] + c.gamma * (1 - batch.terminated[0]) * next_value
        reward_loss = torch.stack([F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics]).sum()
        minimise(reward_loss, self.critics, self.reward_optim, c.critic_grad_norm)
        cost_loss = self.cost_loss(batch, x, next_x, draws)
        minimise(cost_loss, self.cost_critic, self.cost_optim, c.critic_grad_norm)
        with torch.no_grad():
            slack = self.budget - self.cvar(x, draws.risk_tau[0]).mean()

        self.updates += 1
        if self.updates % c.policy_delay == 0:
            self.update_actor(batch.obs[0], draws, c.damping * slack)
            self.update_target(self.target_critics, self.critics)
            self.update_target(self.target_cost_critic, self.cost_critic)
        self.multiplier_optim.zero_grad()
        (F.softplus(self.x) * slack).backward()
        self.multiplier_optim.step()
        return {"reward_loss": reward_loss.detach(), "cost_loss": cost_loss.detach()}

    def update_actor(self, obs: Tensor, draws: Draws, damp: Tensor) -> None:
        """The policy's loss, and alpha's own step."""
        self.critics.requires_grad_(False)
        self.cost_critic.requires_grad_(False)
        action, log_prob = self.actor(obs, draws.action[0])
        x = torch.cat([obs, action], dim=-1)
        price = F.softplus(self.x).detach() - damp
        if self.config.nonnegative_price:
            price = F.relu(price)
        cost = price * self.cvar(x, draws.risk_tau[0])
        loss = (self.log_alpha.exp().detach() * log_prob - self.value(self.critics, x) + cost).mean()
        minimise(loss, self.actor, self.actor_optim, self.config.actor_grad_norm)
        self.critics.requires_grad_(True)
        self.cost_critic.requires_grad_(True)
        if self.config.alpha == "auto":
            self.alpha_optim.zero_grad()
            (-self.log_alpha * (log_prob.detach().mean() - self.act_dim)).backward()
            self.alpha_optim.step()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)
