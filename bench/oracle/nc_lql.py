"""NC-LQL, LQL (`levels=1`) and the safe form (`constrained=True`) as one would write them straight from the paper.

Separate networks, Python loops, autograd for the action's gradient, one run. It shares nothing with `pyslsac` but the
records in `pyslsac.data`, so that equality of the two says something, and it does no work that a careful PyTorch author
would avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyslsac.data import Batch


@dataclass(frozen=True)
class Config:
    """The names and defaults of the agent's config that change what an update does."""

    width: int = 256
    levels: int = 10
    sigma_max: float = 0.1
    sigma_min: float = 0.001
    repeats: int = 2
    step_size: float = 1e-4
    drift_scale: float = 500.0
    normalize: bool = True
    particles: int = 1
    gamma: float = 0.99
    polyak: float = 0.005
    critic_lr: float = 1e-4
    constrained: bool = False
    cost_gamma: float = 0.99
    multiplier_init: float = 0.0


@dataclass(frozen=True)
class LQLConfig(Config):
    """The same for LQL."""

    levels: int = 1
    repeats: int = 50
    step_size: float = 4e-4
    alpha: float | None = None


@dataclass(frozen=True)
class Chain:
    """The random numbers of one chain; with P particles B counts B P of them."""

    start: Tensor  # [B, A] uniform in the box
    noise: Tensor  # [K, B, A] standard normals


@dataclass(frozen=True)
class Draws:
    """The random numbers of one update."""

    chain: Chain  # from s'
    tail: Chain | None  # from where a cost target of several steps ends
    level: Tensor  # [B]
    noise: Tensor  # [B, A] standard normals


class Critic(nn.Module):
    """Q(s, a, level)."""

    def __init__(self, inputs: int, width: int, levels: int) -> None:
        super().__init__()
        dims = 16 if levels > 1 else 0
        self.embed = nn.Sequential(nn.Linear(16, 32), nn.Mish(), nn.Linear(32, 16)) if dims else None
        hidden = [nn.Linear(inputs + dims, width), nn.Mish()]
        for _ in range(2):
            hidden += [nn.Linear(width, width), nn.Mish()]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 1))
        angle = torch.arange(levels).unsqueeze(1) * torch.tensor([10000.0 ** (-j / 8) for j in range(8)])
        self.register_buffer("waves", torch.cat([angle.sin(), angle.cos()], dim=1) / 4)

    def forward(self, obs: Tensor, action: Tensor, level: int | Tensor) -> Tensor:
        """[B]; level is one for all rows, or int64 [B]."""
        parts = [obs, action]
        if self.embed is not None:
            parts.append(self.embed(self.waves[level]).expand(len(obs), -1))
        return self.net(torch.cat(parts, dim=-1)).squeeze(-1)


class NCLQL:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        self.config, self.act_dim, c = config, act_dim, config

        def twins() -> nn.ModuleList:
            return nn.ModuleList(Critic(obs_dim + act_dim, c.width, c.levels) for _ in range(2))

        self.critics = twins()
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.optim = torch.optim.Adam(self.critics.parameters(), lr=c.critic_lr, fused=True)
        if c.constrained:
            self.cost_critics = twins()
            self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)
            self.cost_optim = torch.optim.Adam(self.cost_critics.parameters(), lr=c.critic_lr, fused=True)
        self.multiplier = c.multiplier_init
        shares = [level / max(c.levels - 1, 1) for level in range(c.levels)]
        sigma = [c.sigma_max ** (1 - x) * c.sigma_min**x for x in shares]
        self.sigma = torch.tensor(sigma)
        self.eps = [c.step_size * (s / sigma[-1]) ** 2 for s in sigma]  # of each level's moves

    def draw_chain(self, like: Tensor) -> Chain:
        c, rows = self.config, (len(like) * self.config.particles, self.act_dim)
        noise = torch.randn(c.levels * c.repeats, *rows, dtype=like.dtype, device=like.device)
        return Chain(2 * torch.rand(*rows, dtype=like.dtype, device=like.device) - 1, noise)

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        c, obs = self.config, batch.obs[0]
        tail = self.draw_chain(obs) if batch.tail(c.cost_gamma).obs is not batch.next_obs else None
        level = torch.randint(max(c.levels - 1, 1), (len(obs),), device=obs.device)
        return Draws(self.draw_chain(obs), tail, level, torch.randn_like(batch.action[0]))

    def energy(self, obs: Tensor, action: Tensor, level: int) -> Tensor:
        """Σ Q_r - multiplier Σ Q_c [B]."""
        value = sum(critic(obs, action, level) for critic in self.critics)
        if self.config.constrained:
            value = value - self.multiplier * sum(critic(obs, action, level) for critic in self.cost_critics)
        return value

    def sample(self, obs: Tensor, chain: Chain | None = None) -> Tensor:
        """Actions [B, A] for obs [B, S]."""
        c, chain = self.config, chain or self.draw_chain(obs)
        alpha = getattr(c, "alpha", None)
        normalize, scale = (c.normalize, c.drift_scale) if alpha is None else (False, 1 / (2 * alpha))
        self.freeze(True)
        around, action = obs.repeat_interleave(c.particles, dim=0), chain.start
        for k, noise in enumerate(chain.noise):
            level = k // c.repeats
            action.requires_grad_(True)
            (grad,) = torch.autograd.grad(self.energy(around, action, level).sum(), action)
            if normalize:
                grad = grad / (grad.norm(dim=-1, keepdim=True) + 1e-8)
            eps = self.eps[level]
            action = (action.detach() + 0.5 * eps * scale * grad + math.sqrt(eps) * noise).clamp(-1.0, 1.0)
        if c.particles > 1:
            with torch.no_grad():
                value = torch.min(*(critic(around, action, c.levels - 1) for critic in self.critics))
                if c.constrained:
                    cost = torch.max(*(critic(around, action, c.levels - 1) for critic in self.cost_critics))
                    value = value - self.multiplier * cost
            best = value.view(-1, c.particles).argmax(1)
            action = action.view(-1, c.particles, self.act_dim)[torch.arange(len(obs)), best]
        self.freeze(False)
        return action

    def freeze(self, still: bool) -> None:
        self.critics.requires_grad_(not still)
        if self.config.constrained:
            self.cost_critics.requires_grad_(not still)

    def act(self, obs: Tensor) -> Tensor:
        """Actions for obs [n, S]."""
        return self.sample(obs)

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        clean, next_obs = c.levels - 1, batch.next_obs[0]
        next_action = self.sample(next_obs, draws.chain)
        with torch.no_grad():
            value = torch.min(*(critic(next_obs, next_action, clean) for critic in self.target_critics))
            y = batch.reward[0] + c.gamma * (1 - batch.terminated[0]) * value
        z = self.cost_target(batch, next_action, draws.tail) if c.constrained else None
        losses = self.learn(self.critics, self.optim, batch, y, draws)
        self.update_target(self.target_critics, self.critics)
        if z is not None:
            costs = self.learn(self.cost_critics, self.cost_optim, batch, z, draws)
            self.update_target(self.target_cost_critics, self.cost_critics)
            losses |= {f"cost_{name}": loss for name, loss in costs.items()}
        return losses

    def cost_target(self, batch: Batch, action: Tensor, chain: Chain | None) -> Tensor:
        """c + γ_c (1 - terminated) max_j Q̄_cj(s', a'), of as many steps as the batch has."""
        tail = batch.tail(self.config.cost_gamma)
        obs = tail.obs[0]
        if tail.obs is not batch.next_obs:
            action = self.sample(obs, chain)
        with torch.no_grad():
            value = torch.max(*(critic(obs, action, self.config.levels - 1) for critic in self.target_cost_critics))
        return tail.cost[0] + tail.discount[0] * (1 - tail.terminated[0]) * value

    def learn(
        self, critics: nn.ModuleList, optim: torch.optim.Optimizer, batch: Batch, y: Tensor, draws: Draws
    ) -> dict[str, Tensor]:
        """A step towards y at the clean level, then one of the noisy levels towards what the clean one was."""
        c, obs, action = self.config, batch.obs[0], batch.action[0]
        values = [critic(obs, action, c.levels - 1) for critic in critics]
        clean = torch.stack(values).mean(0).detach()
        losses = {"loss": self.descend(optim, values, y)}
        if c.levels > 1:
            noisy = action + self.sigma[draws.level].unsqueeze(-1) * draws.noise
            values = [critic(obs, noisy, draws.level) for critic in critics]
            losses["level_loss"] = self.descend(optim, values, clean)
        return losses

    def descend(self, optim: torch.optim.Optimizer, values: list[Tensor], target: Tensor) -> Tensor:
        loss = torch.stack([F.mse_loss(value, target) for value in values]).sum()
        optim.zero_grad()
        loss.backward()
        optim.step()
        return loss.detach()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), self.config.polyak)
