"""SL-SAC as one would write it straight from the paper: separate networks, Python loops, eager pairwise loss, one run.

It shares nothing with `pyslsac` but the records in `pyslsac.data`, so that equality of the two says something, and it
does no work that a careful PyTorch author would avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch, Draws

Noise = Callable[[Tensor], Tensor]  # a parameter -> standard normals of its shape


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    ensemble: int = 3
    aggregation: Literal["mean", "min"] = "mean"
    quantiles: int = 32
    target_quantiles: int = 32
    risk_quantiles: int = 32
    cosines: int = 64
    kappa: float = 1.0
    gamma: float = 0.99
    cost_gamma: float = 0.99
    polyak: float = 0.005
    risk_level: float = 0.5
    reward_optimizer: Literal["asgld", "adam", "adamw"] = "asgld"
    cost_optimizer: Literal["adamw", "asgld"] = "adamw"
    critic_lr: float = 3e-4
    weight_decay: float = 0.01
    temperature: float = 1e-16
    bias: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    variant: Literal["asgld", "sgld", "psgld", "asgld-preconditioned"] = "asgld"
    clip: Literal["grad_norm", "drift_value", "drift_norm"] | None = "grad_norm"
    clip_threshold: float = 0.7
    actor_lr: float = 3e-4
    actor_grad_norm: float = 40.0
    policy_delay: int = 2
    alpha: float | Literal["auto"] = 0.2
    alpha_lr: float = 3e-4
    multiplier_init: float = 1e-3
    multiplier_lr: float = 1e-5
    multiplier_warmup: int = 100_000
    multiplier_window: int = 10
    cost_limit: float = 25.0


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Actor(nn.Module):
    """tanh-Gaussian policy."""

    def __init__(self, obs_dim: int, act_dim: int, width: int) -> None:
        super().__init__()
        self.net = mlp(obs_dim, width, width, 2 * act_dim)

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.net(obs).chunk(2, dim=-1)
        log_std = log_std.clamp(-20.0, 2.0)
        u = mean + log_std.exp() * noise
        log_prob = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - u - F.softplus(-2 * u))
        return torch.tanh(u), log_prob.sum(-1)


class CostCritic(nn.Module):
    """Implicit quantile network: Z(s, a; tau)."""

    def __init__(self, inputs: int, width: int, cosines: int) -> None:
        super().__init__()
        self.psi = nn.Linear(inputs, width)
        self.phi = nn.Linear(cosines, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)
        self.register_buffer("frequencies", math.pi * torch.arange(cosines))

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        psi = F.relu(self.psi(x)).unsqueeze(1)  # [B, 1, width]
        phi = F.relu(self.phi(torch.cos(tau.unsqueeze(-1) * self.frequencies)))  # [B, N, width]
        return self.head(F.relu(self.hidden(psi * phi))).squeeze(-1)  # [B, N]


def quantile_huber(pred: Tensor, target: Tensor, tau: Tensor, kappa: float) -> Tensor:
    """Eqs. 5-7 over all pairs: summed over predictions, averaged over targets and the batch."""
    pred, target = torch.broadcast_tensors(pred.unsqueeze(2), target.unsqueeze(1))  # [B, N, M]
    weight = (tau.unsqueeze(2) - (target < pred.detach()).to(tau.dtype)).abs()
    huber = F.huber_loss(pred, target, reduction="none", delta=kappa)
    return (weight * huber).mean(2).sum(1).mean() / kappa


class ASGLD:
    """Eq. 3 and its variants of C.3, one network after another."""

    def __init__(self, networks: list[nn.Module], config: Config, noise: Noise) -> None:
        self.config, self.noise = config, noise
        self.networks = [list(network.parameters()) for network in networks]
        self.moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for params in self.networks for p in params}

    def zero_grad(self) -> None:
        for params in self.networks:
            for p in params:
                p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        c = self.config
        sigma = math.sqrt(2 * c.critic_lr * c.temperature)
        for params in self.networks:
            if c.clip == "grad_norm":
                nn.utils.clip_grad_norm_(params, c.clip_threshold)
            drifts = [self.drift(p, p.grad) for p in params]
            if c.clip == "drift_value":
                drifts = [drift.clamp(-c.clip_threshold, c.clip_threshold) for drift in drifts]
            if c.clip == "drift_norm":
                norm = nn.utils.get_total_norm(drifts)
                drifts = [drift * (c.clip_threshold / (norm + 1e-6)).clamp(max=1.0) for drift in drifts]
            for p, drift in zip(params, drifts, strict=True):
                noise = self.noise(p)
                if c.variant == "asgld-preconditioned":
                    noise = noise / (self.moments[p][1].sqrt() + c.eps).sqrt()
                p.add_(noise.mul_(sigma).sub_(drift, alpha=c.critic_lr))

    def drift(self, p: Tensor, grad: Tensor) -> Tensor:
        """D of eqs. 38-41, after moving the moments."""
        c, (m, v) = self.config, self.moments[p]
        m.lerp_(grad, 1 - c.betas[0])
        v.mul_(c.betas[1]).addcmul_(grad, grad, value=1 - c.betas[1])
        if c.variant == "sgld":
            return grad
        denom = v.sqrt().add_(c.eps)
        if c.variant == "psgld":
            return grad / denom
        if c.variant == "asgld-preconditioned":
            return m / denom
        return torch.addcdiv(grad, m, denom, value=c.bias)


class SLSAC:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, noise: Noise = torch.randn_like) -> None:
        self.config, self.act_dim, inputs, width = config, act_dim, obs_dim + act_dim, config.width
        self.actor = Actor(obs_dim, act_dim, width)
        self.critics = nn.ModuleList(mlp(inputs, width, width, 1) for _ in range(2 * config.ensemble))
        self.cost_critic = CostCritic(inputs, width, config.cosines)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(0.0 if config.alpha == "auto" else math.log(config.alpha)))
        self.multiplier = config.multiplier_init
        self.window: deque[float] = deque(maxlen=config.multiplier_window)
        self.updates = self.env_steps = 0
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.alpha_optim = torch.optim.Adam([self.log_alpha], lr=config.alpha_lr)
        self.reward_optim = self._optimizer(config.reward_optimizer, list(self.critics), noise)
        self.cost_optim = self._optimizer(config.cost_optimizer, [self.cost_critic], noise)

    def _optimizer(self, kind: str, networks: list[nn.Module], noise: Noise) -> ASGLD | torch.optim.Optimizer:
        c, params = self.config, [p for network in networks for p in network.parameters()]
        if kind == "asgld":
            return ASGLD(networks, c, noise)
        if kind == "adam":
            return torch.optim.Adam(params, lr=c.critic_lr, fused=True)
        return torch.optim.AdamW(params, lr=c.critic_lr, weight_decay=c.weight_decay, fused=True)

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """A sample of the policy for obs [n, S]."""
        return self.actor(obs, torch.randn(len(obs), self.act_dim, dtype=obs.dtype))[0]

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        c, rows = self.config, batch.reward.shape  # [1, B]
        like = dict(dtype=batch.obs.dtype)
        return Draws(
            next_action=torch.randn(*rows, self.act_dim, **like),
            next_tau=torch.rand(*rows, c.target_quantiles, **like),
            tau=torch.rand(*rows, c.quantiles, **like),
            action=torch.randn(*rows, self.act_dim, **like),
            risk_tau=1 - c.risk_level * torch.rand(*rows, c.risk_quantiles, **like),
        )

    def value(self, critics: nn.ModuleList, x: Tensor) -> Tensor:
        """(1/E) Σ_i min_j Q_ij, or the smallest pair: [B]."""
        values = [critic(x).squeeze(-1) for critic in critics]
        pairs = torch.stack([torch.min(*values[i : i + 2]) for i in range(0, len(values), 2)])
        return pairs.mean(0) if self.config.aggregation == "mean" else pairs.min(0).values

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        obs, next_obs, alive = batch.obs[0], batch.next_obs[0], 1 - batch.terminated[0]
        x = torch.cat([obs, batch.action[0]], dim=-1)

        with torch.no_grad():  # eqs. 2 and 4
            next_action, next_log_prob = self.actor(next_obs, draws.next_action[0])
            next_x = torch.cat([next_obs, next_action], dim=-1)
            next_value = self.value(self.target_critics, next_x) - self.log_alpha.exp() * next_log_prob
            y = batch.reward[0] + c.gamma * alive * next_value
            next_z = self.target_cost_critic(next_x, draws.next_tau[0])
            z = batch.cost[0].unsqueeze(-1) + c.cost_gamma * alive.unsqueeze(-1) * next_z

        reward_loss = torch.stack([F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics]).sum()  # eq. 1
        self.reward_optim.zero_grad()
        reward_loss.backward()
        self.reward_optim.step()

        cost_loss = quantile_huber(self.cost_critic(x, draws.tau[0]), z, draws.tau[0], c.kappa)
        self.cost_optim.zero_grad()
        cost_loss.backward()
        self.cost_optim.step()

        self.updates += 1
        if self.updates % c.policy_delay == 0:
            self.update_actor(obs, draws)
            self.update_target(self.target_critics, self.critics)
            self.update_target(self.target_cost_critic, self.cost_critic)
        return {"reward_loss": reward_loss.detach(), "cost_loss": cost_loss.detach()}

    def update_actor(self, obs: Tensor, draws: Draws) -> None:
        """Eqs. 8 and 9, and alpha's own step."""
        c = self.config
        self.critics.requires_grad_(False)
        self.cost_critic.requires_grad_(False)
        action, log_prob = self.actor(obs, draws.action[0])
        x = torch.cat([obs, action], dim=-1)
        cvar = self.cost_critic(x, draws.risk_tau[0]).mean(-1)
        alpha = self.log_alpha.exp().detach()
        loss = alpha * log_prob - self.value(self.critics, x) + self.multiplier * cvar
        loss = loss.mean() / (1 + self.multiplier)
        self.actor_optim.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), c.actor_grad_norm)
        self.actor_optim.step()
        self.critics.requires_grad_(True)
        self.cost_critic.requires_grad_(True)
        if c.alpha == "auto":
            self.alpha_optim.zero_grad()
            (-self.log_alpha * (log_prob.detach().mean() - self.act_dim)).backward()
            self.alpha_optim.step()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)

    def record_episode(self, cost: float) -> None:
        self.window.append(cost)

    def after_env_step(self) -> None:
        """Eq. 10, once an environment step."""
        c = self.config
        self.env_steps += 1
        if self.env_steps > c.multiplier_warmup and self.window:
            worst = sorted(self.window, reverse=True)[: math.ceil(c.risk_level * len(self.window))]
            self.multiplier = max(0.0, self.multiplier + c.multiplier_lr * (sum(worst) / len(worst) - c.cost_limit))
