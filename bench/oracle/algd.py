"""ALGD as one would write it straight from the paper: separate networks, Python loops, autograd for energies, one run.

It shares nothing with `pyslsac` but the records in `pyslsac.data`, so that equality of the two says something, and it
does no work that a careful PyTorch author would avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    cost_ensemble: int = 4
    gamma: float = 0.99
    cost_gamma: float = 0.99
    polyak: float = 0.005
    target_delay: int = 2
    critic_lr: float = 3e-4
    levels: int = 5
    weakest_noise: float = 0.01
    strongest_noise: float = 1.0
    score_width: int = 128
    level_embedding: int = 16
    actor_lr: float = 3e-4
    score: Literal["faithful", "principled"] = "faithful"
    score_weight: float = 0.1
    samples: int = 4
    temperature: float = 1.0
    lagrangian: Literal["augmented", "plain"] = "augmented"
    rho: float = 1.0
    cost_spread: float = 1.0
    multiplier_rule: Literal["replay", "episodes"] = "replay"
    multiplier_init: float = 0.6931
    multiplier_lr: float = 3e-4
    cost_limit: float = 25.0


class Draws(NamedTuple):
    """The random numbers of one update, of one run, with its axis kept: [1, ...]."""

    next_chain: Tensor  # [1, K, B, A] row 0 the start, row k the noise of level k
    chain: Tensor
    level: Tensor  # [1, B]
    forward: Tensor  # [1, B, A]
    samples: Tensor  # [1, B, n, A] normals, or uniforms (principled)


def mlp(activation: type[nn.Module], *sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with `activation` between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Score(nn.Module):
    """φ(s, a, k)."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        super().__init__()
        width, inputs = config.score_width, obs_dim + act_dim + config.level_embedding
        self.table = nn.Embedding(config.levels, config.level_embedding)
        self.net = mlp(nn.ReLU, inputs, width, width, width, act_dim)

    def forward(self, obs: Tensor, action: Tensor, level: Tensor) -> Tensor:
        return self.net(torch.cat([obs, action, self.table(level)], dim=-1))


class ALGD:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config, horizon: int = 1000) -> None:
        self.config, self.act_dim, inputs, width = config, act_dim, obs_dim + act_dim, config.width
        self.actor = Score(obs_dim, act_dim, config)
        self.critics = nn.ModuleList(mlp(nn.ReLU, inputs, width, width, 1) for _ in range(2))
        self.cost_critics = nn.ModuleList(mlp(nn.SiLU, inputs, width, width, 1) for _ in range(config.cost_ensemble))
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self.reward_optim = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr, fused=True)
        self.cost_optim = torch.optim.Adam(self.cost_critics.parameters(), lr=config.critic_lr, fused=True)
        self.log_multiplier = nn.Parameter(torch.tensor(float(config.multiplier_init)).log())
        self.multiplier_optim = torch.optim.Adam([self.log_multiplier], lr=config.multiplier_lr)
        self.updates = 0
        gamma = config.cost_gamma
        self.budget = config.cost_limit * (1 - gamma**horizon) / (1 - gamma) / horizon
        ratio = config.strongest_noise / config.weakest_noise
        self.sigma = [config.weakest_noise * ratio ** (k / (config.levels - 1)) for k in range(config.levels)]
        self.gain = [self.sigma[0] ** 2] + [b**2 - a**2 for a, b in itertools.pairwise(self.sigma)]
        self.unit = [1.0] * config.levels
        if config.score == "principled":
            self.unit = [1 / math.sqrt(sigma**2 + config.temperature**2) for sigma in self.sigma]

    def chain(self, obs: Tensor, noise: Tensor) -> list[Tensor]:
        """The reverse process from noise [K, B, A]: actions after every level, the last first."""
        x, path = noise[0], []
        boxed = self.config.score == "principled"
        action = x if boxed else torch.tanh(x)
        levels = torch.arange(self.config.levels, device=obs.device)
        for k in reversed(range(self.config.levels)):
            score = self.actor(obs, action, levels[k].expand(len(obs))) * self.unit[k]
            if boxed:
                score = self.inside(x, score, self.sigma[k])
            x = x + self.gain[k] * score
            if k > 0:
                shrink = self.sigma[k - 1] / self.sigma[k] if boxed else 1.0
                x = x + math.sqrt(self.gain[k]) * shrink * noise[k]
            action = x if boxed else torch.tanh(x)
            path.append(action)
        return path[::-1]

    def inside(self, x: Tensor, score: Tensor, sigma: Tensor | float) -> Tensor:
        return (torch.clamp(x + sigma**2 * score, -1, 1) - x) / sigma**2

    def cost_estimate(self, costs: Tensor) -> Tensor:
        """mean + k std of [E, B]."""
        if len(costs) == 1:
            return costs[0]
        std, mean = torch.std_mean(costs, dim=0)
        return mean + self.config.cost_spread * std

    def energy(self, obs: Tensor, action: Tensor) -> Tensor:
        """L_A [B]."""
        c, x = self.config, torch.cat([obs, action], dim=-1)
        value = torch.min(*(critic(x).squeeze(-1) for critic in self.critics))
        cost = self.cost_estimate(torch.stack([critic(x).squeeze(-1) for critic in self.cost_critics]))
        multiplier = self.log_multiplier.exp().detach()
        if c.lagrangian == "plain":
            return multiplier * (cost - self.budget) - value
        price = torch.clamp(multiplier + c.rho * (cost - self.budget), min=0)
        return (price**2 - multiplier**2) / (2 * c.rho) - value

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        c, rows, like = self.config, batch.reward.shape, dict(dtype=batch.obs.dtype, device=batch.obs.device)
        chain = 1, c.levels, rows[1], self.act_dim
        samples = torch.randn if c.score == "faithful" else torch.rand
        return Draws(
            next_chain=torch.randn(chain, **like),
            chain=torch.randn(chain, **like),
            level=torch.randint(c.levels, rows, device=batch.obs.device),
            forward=torch.randn(*rows, self.act_dim, **like),
            samples=samples(*rows, c.samples, self.act_dim, **like),
        )

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        obs, next_obs, alive = batch.obs[0], batch.next_obs[0], 1 - batch.terminated[0]
        x = torch.cat([obs, batch.action[0]], dim=-1)

        with torch.no_grad():
            next_x = torch.cat([next_obs, self.chain(next_obs, draws.next_chain[0])[0]], dim=-1)
            next_value = torch.min(*(critic(next_x).squeeze(-1) for critic in self.target_critics))
            y = batch.reward[0] + c.gamma * alive * next_value
            next_costs = torch.stack([critic(next_x).squeeze(-1) for critic in self.target_cost_critics])
            z = batch.cost[0] + c.cost_gamma * alive * next_costs  # [E, B]

        reward_loss = torch.stack([F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics]).sum()
        self.reward_optim.zero_grad()
        reward_loss.backward()
        self.reward_optim.step()

        costs = torch.stack([critic(x).squeeze(-1) for critic in self.cost_critics])
        cost_loss = ((costs - z) ** 2).mean(1).sum()
        self.cost_optim.zero_grad()
        cost_loss.backward()
        self.cost_optim.step()

        actor_loss = self.update_actor(obs, draws)
        if c.multiplier_rule == "replay":
            with torch.no_grad():
                slack = self.budget - self.cost_estimate(costs).mean()
            self.multiplier_optim.zero_grad()
            (self.log_multiplier.exp() * slack).backward()
            self.multiplier_optim.step()
        self.updates += 1
        if self.updates % c.target_delay == 0:
            self.update_target(self.target_critics, self.critics)
            self.update_target(self.target_cost_critics, self.cost_critics)
        return {"reward_loss": reward_loss.detach(), "cost_loss": cost_loss.detach(), "actor_loss": actor_loss}

    def update_actor(self, obs: Tensor, draws: Draws) -> Tensor:
        """The chain's end in the energy, and the score's regression on its Monte-Carlo target."""
        c, level = self.config, draws.level[0]
        faithful = c.score == "faithful"
        self.critics.requires_grad_(False)
        self.cost_critics.requires_grad_(False)
        with torch.set_grad_enabled(faithful):
            path = self.chain(obs, draws.chain[0])
        sigma = torch.tensor(self.sigma, dtype=obs.dtype, device=obs.device)[level].unsqueeze(-1)  # [B, 1]
        unit = torch.tensor(self.unit, dtype=obs.dtype, device=obs.device)[level].unsqueeze(-1)
        if faithful:
            noisy = torch.stack(path).detach()[level, torch.arange(len(level), device=obs.device)]
            around = noisy.unsqueeze(1) + sigma.unsqueeze(1) * draws.samples[0]  # [B, n, A]
        else:
            noisy = path[0] + sigma * draws.forward[0]
            around = self.truncated(noisy.unsqueeze(1), sigma.unsqueeze(1), draws.samples[0])
        around = around.requires_grad_()
        energies = self.energy(obs.repeat_interleave(c.samples, 0), around.flatten(0, 1)).unflatten(0, (-1, c.samples))
        grads = torch.autograd.grad(energies.sum(), around)[0]
        energies, temperature = energies.detach(), c.temperature
        if not faithful:
            temperature = temperature * grads.abs().mean()
        weights = torch.softmax(-energies / temperature, dim=1)
        target = -(weights.unsqueeze(-1) * grads).sum(1) / temperature
        if not faithful:
            by_samples = ((weights.unsqueeze(-1) * around.detach()).sum(1) - noisy) / sigma**2
            share = c.temperature**2 / (c.temperature**2 + sigma**2)
            target = share * self.inside(noisy, target, sigma) + (1 - share) * by_samples
        loss = c.score_weight * F.mse_loss(self.actor(obs, noisy, level), target / unit)
        if faithful:
            loss = loss + self.energy(obs, path[0]).mean()
        self.actor_optim.zero_grad()
        loss.backward()
        self.actor_optim.step()
        self.critics.requires_grad_(True)
        self.cost_critics.requires_grad_(True)
        return loss.detach()

    def truncated(self, mean: Tensor, std: Tensor, uniform: Tensor) -> Tensor:
        """Normals inside [-1, 1]."""
        low, high = torch.special.ndtr((-1 - mean.abs()) / std), torch.special.ndtr((1 - mean.abs()) / std)
        limits = torch.finfo(uniform.dtype)
        share = torch.clamp(low + uniform * (high - low), limits.tiny, 1 - limits.eps)
        inside = torch.clamp(mean.abs() + std * torch.special.ndtri(share), -1, 1)
        return torch.where(mean < 0, -inside, inside)

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)
