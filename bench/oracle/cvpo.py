"""CVPO as one would write it straight from the paper: separate networks, every sampled action spelt out, one run.

The E-step's dual goes to SciPy's SLSQP on the host with finite differences and ten iterations, as in the authors' code;
the M-step takes the log densities of all B x K actions. It shares nothing with `pyslsac` but the records in
`pyslsac.data`, so that equality of the two says something, and it does no work that a careful PyTorch author would
avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.optimize
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch

LOG_2PI = math.log(2 * math.pi)
Dual = Callable[[Tensor, Tensor, "tuple[float, float]", float, float, float], "tuple[float, float]"]


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    particles: int = 32
    reward_critics: int = 2
    cost_critics: int = 2
    cost_terminates: bool = True
    gamma: float = 0.99
    cost_gamma: float = 0.99
    polyak: float = 0.005
    critic_lr: float = 1e-3
    estep_critics: Literal["target", "online"] = "target"
    eps_dual: float = 0.1
    dual_optimizer: Literal["newton", "adam"] = "newton"
    dual_lr: float = 0.02
    multiplier_max: float = 20.0
    mstep_iters: int = 4
    eps_mean: float = 5e-3
    eps_std: float = 5e-4
    trust_region: Literal["softplus", "clip"] = "softplus"
    trust_lr: float = 0.1
    mle_mean: bool = False
    actor_lr: float = 5e-4
    actor_grad_norm: float | None = None
    cost_limit: float = 25.0


class Draws(NamedTuple):
    """The random numbers of one update."""

    next_action: Tensor  # [1, B, A] standard normals behind a' ~ pi(.|s')
    action: Tensor  # [1, B, K, A] standard normals behind the actions of the E-step


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Actor(nn.Module):
    """The normal below a tanh."""

    def __init__(self, obs_dim: int, act_dim: int, width: int) -> None:
        super().__init__()
        self.net = mlp(obs_dim, width, width, 2 * act_dim)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [B, A]."""
        mean, log_std = self.net(obs).chunk(2, dim=-1)
        return mean, log_std.clamp(-20.0, 2.0).exp()


def log_prob(u: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log density [B, K] of u [B, K, A] under normals [B, A]."""
    mean, std = mean.unsqueeze(1), std.unsqueeze(1)
    return (-0.5 * ((u - mean) / std) ** 2 - std.log() - 0.5 * LOG_2PI).sum(-1)


def slsqp(
    q_reward: Tensor, q_cost: Tensor, start: tuple[float, float], eps: float, budget: float, maximum: float
) -> tuple[float, float]:
    """eta and multiplier that minimise the dual over Q tables [B, K], as the authors' code finds them."""
    reward, cost = q_reward.double().cpu().numpy(), q_cost.double().cpu().numpy()

    def g(x: np.ndarray) -> float:
        eta, multiplier = x
        z = reward - multiplier * cost
        top = z.max(1, keepdims=True)
        log_mean = np.log(np.exp((z - top) / eta).mean(1))
        return eta * eps + multiplier * budget + top.mean() + eta * log_mean.mean()

    bounds, options = [(1e-3, 1e3), (0.0, maximum)], {"maxiter": 10, "ftol": 1e-3}
    found = scipy.optimize.minimize(g, np.array(start), method="SLSQP", bounds=bounds, tol=1e-3, options=options).x
    return float(found[0]), float(found[1])


class CVPO:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, *, horizon: int = 1000, dual: Dual = slsqp) -> None:
        self.config, self.act_dim, self.solve = config, act_dim, dual
        sizes = obs_dim + act_dim, config.width, config.width, 1
        self.actor = Actor(obs_dim, act_dim, config.width)
        self.critics = nn.ModuleList(mlp(*sizes) for _ in range(config.reward_critics))
        self.cost_critics = nn.ModuleList(mlp(*sizes) for _ in range(config.cost_critics))
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.reward_optim = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr, fused=True)
        self.cost_optim = torch.optim.Adam(self.cost_critics.parameters(), lr=config.critic_lr, fused=True)
        gamma = config.cost_gamma
        self.budget = config.cost_limit * sum(gamma**t for t in range(horizon)) / horizon
        self.eta = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.multiplier = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
        self.dual_optim = torch.optim.Adam([self.eta, self.multiplier], lr=config.dual_lr)
        self.trust = nn.Parameter(torch.zeros(2))  # alpha, or what softplus makes alpha of
        self.trust_optim = torch.optim.Adam([self.trust], lr=config.trust_lr)

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """A sample of the policy for obs [n, S]."""
        mean, std = self.actor(obs)
        return torch.tanh(mean + std * torch.randn_like(mean))

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        size = batch.obs.shape[1]
        like: Any = dict(dtype=batch.obs.dtype, device=batch.obs.device)
        actions = torch.randn(1, size, self.config.particles, self.act_dim, **like)
        return Draws(torch.randn(1, size, self.act_dim, **like), actions)

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        obs, x = batch.obs[0], torch.cat([batch.obs[0], batch.action[0]], dim=-1)
        tail = batch.tail(c.cost_gamma)
        with torch.no_grad():
            next_x = self.with_action(batch.next_obs[0], draws.next_action[0])
            next_value = torch.stack([critic(next_x).squeeze(-1) for critic in self.target_critics]).min(0).values
            y = batch.reward[0] + c.gamma * (1 - batch.terminated[0]) * next_value
            if tail.obs is not batch.next_obs:
                next_x = self.with_action(tail.obs[0], draws.next_action[0])
            next_cost = torch.stack([critic(next_x).squeeze(-1) for critic in self.target_cost_critics]).max(0).values
            alive = 1 - tail.terminated[0] if c.cost_terminates else 1.0
            y_cost = tail.cost[0] + tail.discount[0] * alive * next_cost

        reward_loss = torch.stack([F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics]).sum()
        self.step(self.reward_optim, reward_loss)
        cost_loss = torch.stack([F.mse_loss(critic(x).squeeze(-1), y_cost) for critic in self.cost_critics]).sum()
        self.step(self.cost_optim, cost_loss)

        old_mean, old_std, u, w = self.e_step(obs, draws.action[0])
        for _ in range(c.mstep_iters):
            actor_loss = self.m_step(obs, old_mean, old_std, u, w)
        for name in ("critics", "cost_critics", "actor"):
            self.update_target(getattr(self, f"target_{name}"), getattr(self, name))
        losses = {"reward_loss": reward_loss, "cost_loss": cost_loss, "actor_loss": actor_loss}
        return {name: loss.detach() for name, loss in losses.items()}

    def with_action(self, obs: Tensor, noise: Tensor) -> Tensor:
        """[obs, a' ~ pi(.|obs)]."""
        mean, std = self.actor(obs)
        return torch.cat([obs, torch.tanh(mean + std * noise)], dim=-1)

    @torch.no_grad()
    def e_step(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The old policy at obs, K samples u [B, K, A] of it, and their weights w [B, K]."""
        c = self.config
        mean, std = self.target_actor(obs)
        u = mean.unsqueeze(1) + std.unsqueeze(1) * noise
        x = torch.cat([obs.unsqueeze(1).expand(-1, c.particles, -1), torch.tanh(u)], dim=-1).flatten(0, 1)
        online = c.estep_critics == "online"
        critics, costs = (
            (self.critics, self.cost_critics) if online else (self.target_critics, self.target_cost_critics)
        )
        q_reward = torch.stack([critic(x).view(-1, c.particles) for critic in critics]).min(0).values
        q_cost = torch.stack([critic(x).view(-1, c.particles) for critic in costs]).max(0).values
        if c.dual_optimizer == "newton":
            start = self.eta.item(), self.multiplier.item()
            eta, multiplier = self.solve(q_reward, q_cost, start, c.eps_dual, self.budget, c.multiplier_max)
            self.eta.fill_(eta)
            self.multiplier.fill_(multiplier)
        else:
            with torch.enable_grad():
                z = (q_reward - self.multiplier * q_cost) / self.eta
                log_mean = torch.logsumexp(z, dim=1) - math.log(c.particles)
                g = self.eta * (c.eps_dual + log_mean.mean()) + self.multiplier * self.budget
                self.step(self.dual_optim, g)
            self.eta.clamp_(1e-6, 20.0)
            self.multiplier.clamp_(1e-6, 20.0)
        return mean, std, u, torch.softmax((q_reward - self.multiplier * q_cost) / self.eta, dim=1).to(u)

    def m_step(self, obs: Tensor, old_mean: Tensor, old_std: Tensor, u: Tensor, w: Tensor) -> Tensor:
        """One move of the policy and of its trust region."""
        c = self.config
        mean, std = self.actor(obs)
        log_likelihood = w * (log_prob(u, mean, old_std) + log_prob(u, old_mean, std))  # [B, K]
        fit = log_likelihood.mean() if c.mle_mean else log_likelihood.sum(1).mean()
        kl_mean = 0.5 * (((mean - old_mean) / old_std) ** 2).sum(-1).mean()
        kl_std = 0.5 * (2 * (std / old_std).log() - 1 + (old_std / std) ** 2).sum(-1).mean()
        violation = torch.stack([kl_mean - c.eps_mean, kl_std - c.eps_std])
        loss = (self.alpha(violation.detach()) * violation).sum() - fit
        self.step(self.actor_optim, loss, c.actor_grad_norm)
        return loss

    def alpha(self, violation: Tensor) -> Tensor:
        """The trust region's duals after a move up the violation."""
        if self.config.trust_region == "softplus":
            self.step(self.trust_optim, -(F.softplus(self.trust) * violation).sum())
            return F.softplus(self.trust).detach()
        with torch.no_grad():
            for i, (scale, maximum) in enumerate([(1.0, 0.1), (100.0, 10.0)]):
                self.trust[i] = (self.trust[i] + scale * violation[i]).clamp(0.0, maximum)
        return self.trust.detach().clone()

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, grad_norm: float | None = None) -> None:
        optimizer.zero_grad()
        loss.backward()
        if grad_norm is not None:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], grad_norm)
        optimizer.step()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)
