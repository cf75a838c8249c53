"""LAC as one would write it straight from the paper: separate networks, a Python loop for the chain, autograd, one run.

It shares nothing with `pyslsac` but the batch in `pyslsac.data`, so that equality of the two says something, and it
does no work that a careful PyTorch author would avoid, so that its time says something too.
"""

from __future__ import annotations

import copy
import itertools
import math
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
    generator_width: int = 256
    gamma: float = 0.99
    cost_gamma: float = 1.0
    polyak: float = 0.005
    critic_lr: float = 3e-4
    generator_lr: float = 3e-4
    generator_grad_norm: float = 40.0
    generator_kl: float = 0.0
    obs_normalize: bool = True
    chain_steps: int = 30
    step_size: float = 1e-4
    temperature: float = 1.0
    kl_coef: float = 1e-3
    grad_cap: float | None = 1000.0
    grad_cap_scope: Literal["run", "sample"] = "run"
    multiplier_init: float = 0.0
    multiplier_lr: float = 0.01
    multiplier_max: float | Literal["auto"] | None = "auto"
    cost_limit: float = 25.0


@dataclass(frozen=True)
class Draws:
    """The standard normals of one update."""

    start: Tensor  # [B, A] behind the chain's first action
    moves: Tensor  # [T, B, A]


def mlp(activation: type[nn.Module], *sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Generator(nn.Module):
    """A Gaussian whose spread does not depend on the state."""

    def __init__(self, obs_dim: int, act_dim: int, width: int) -> None:
        super().__init__()
        self.net = mlp(nn.Tanh, obs_dim, width, width, act_dim)
        with torch.no_grad():
            for parameter in self.net[-1].parameters():
                parameter.mul_(0.1)
        self.log_std = nn.Parameter(torch.full((act_dim,), -0.5))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(obs), self.log_std.exp()


def log_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (-0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


class ObsMoments:
    """Mean and variance of all observations seen."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.square_sum = 0, torch.zeros(size, dtype=torch.float64), 0.0

    def add(self, obs: Tensor) -> None:
        """Take in obs [n, S], one after another (Welford)."""
        for row in obs.double():
            self.count += 1
            before = row - self.mean
            self.mean = self.mean + before / self.count
            self.square_sum = self.square_sum + before * (row - self.mean)

    def __call__(self, obs: Tensor) -> Tensor:
        if self.count == 0:
            return obs
        std = (self.square_sum / max(self.count - 1, 1)).sqrt().clamp(min=0.01)
        return ((obs - self.mean) / std).clamp(-5.0, 5.0).to(obs.dtype)


class LAC:
    """One run."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        self.config, self.act_dim = config, act_dim
        sizes = obs_dim + act_dim, config.width, config.width, config.width, 1
        self.generator = Generator(obs_dim, act_dim, config.generator_width)
        self.critics = nn.ModuleList(mlp(nn.Mish, *sizes) for _ in range(2))
        self.cost_critics = nn.ModuleList(mlp(nn.Mish, *sizes) for _ in range(2))
        self.target_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)
        self.generator_optim = torch.optim.Adam(self.generator.parameters(), lr=config.generator_lr, fused=True)
        self.reward_optim = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr, fused=True)
        self.cost_optim = torch.optim.Adam(self.cost_critics.parameters(), lr=config.critic_lr, fused=True)
        self.moments = ObsMoments(obs_dim)
        self.multiplier = config.multiplier_init
        maximum = math.inf if config.multiplier_max is None else config.multiplier_max
        self.multiplier_max = 2.0 if maximum == "auto" else maximum
        self.episodes: list[float] = []
        self.value_sums: list[tuple[Tensor, Tensor]] = []  # mean Q_R and Q_C of every update since the last iteration

    def observe(self, obs: Tensor) -> None:
        if self.config.obs_normalize:
            self.moments.add(obs)

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """A sample of the generator for obs [n, S]."""
        mean, std = self.generator(self.moments(obs))
        return (mean + std * torch.randn_like(mean)).clamp(-1.0, 1.0)

    def draw(self, batch: Batch) -> Draws:
        """Fresh random numbers for one update."""
        shape, like = (batch.obs.shape[1], self.act_dim), dict(dtype=batch.obs.dtype, device=batch.obs.device)
        return Draws(torch.randn(*shape, **like), torch.randn(self.config.chain_steps, *shape, **like))

    def langevin(self, obs: Tensor, draws: Draws) -> Tensor:
        """Algorithm 2: a_T [B, A] at obs [B, S]."""
        c = self.config
        with torch.no_grad():
            mean, std = self.target_generator(obs)
            action = mean + std * draws.start
        for noise in draws.moves:
            action.requires_grad_(True)
            x = torch.cat([obs, action], dim=-1)
            reward = torch.min(*(critic(x) for critic in self.critics)).sum()
            cost = torch.max(*(critic(x) for critic in self.cost_critics)).sum()
            energy = (self.multiplier * cost - reward) / c.kl_coef - log_normal(action, mean, std).sum()
            (grad,) = torch.autograd.grad(energy, action)
            with torch.no_grad():
                if c.grad_cap is not None:
                    norm = grad.norm() if c.grad_cap_scope == "run" else grad.norm(dim=-1, keepdim=True)
                    grad = grad * (c.grad_cap / (norm + 1e-6)).clamp(max=1.0)
                action = action - c.step_size / 2 * grad + math.sqrt(c.step_size * c.temperature) * noise
                action = action.clamp(-1.0, 1.0)
        return action

    def update(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """One update on a batch of one run [1, B, ...]."""
        c, draws = self.config, draws or self.draw(batch)
        obs, next_obs, alive = self.moments(batch.obs[0]), self.moments(batch.next_obs[0]), 1 - batch.terminated[0]
        self.critics.requires_grad_(False)
        self.cost_critics.requires_grad_(False)
        next_action = self.langevin(next_obs, draws)
        self.critics.requires_grad_(True)
        self.cost_critics.requires_grad_(True)

        with torch.no_grad():
            next_x = torch.cat([next_obs, next_action], dim=-1)
            next_reward = torch.min(*(critic(next_x) for critic in self.target_critics)).squeeze(-1)
            next_cost = torch.max(*(critic(next_x) for critic in self.target_cost_critics)).squeeze(-1)
            y = batch.reward[0] + c.gamma * alive * next_reward
            z = batch.cost[0] + c.cost_gamma * alive * next_cost
            self.value_sums.append((next_reward.mean(), next_cost.mean()))

        x = torch.cat([obs, batch.action[0]], dim=-1)
        reward_loss = sum(F.mse_loss(critic(x).squeeze(-1), y) for critic in self.critics)
        self.descend(reward_loss, self.reward_optim)
        cost_loss = sum(F.mse_loss(critic(x).squeeze(-1), z) for critic in self.cost_critics)
        self.descend(cost_loss, self.cost_optim)

        mean, std = self.generator(next_obs)
        loss = nll = -log_normal(next_action, mean, std).mean()  # eq. 15
        if c.generator_kl:
            with torch.no_grad():
                old_mean, old_std = self.target_generator(next_obs)
            squares = (std**2 + (mean - old_mean) ** 2) / (2 * old_std**2)
            loss = nll + c.generator_kl * ((old_std / std).log() + squares - 0.5).sum(-1).mean()  # eq. 16
        self.descend(loss, self.generator_optim, c.generator_grad_norm)

        self.update_target(self.target_critics, self.critics)
        self.update_target(self.target_cost_critics, self.cost_critics)
        self.update_target(self.target_generator, self.generator)
        return {"reward_loss": reward_loss.detach(), "cost_loss": cost_loss.detach(), "nll": nll.detach()}

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer, grad_norm: float | None = None) -> None:
        optimizer.zero_grad()
        loss.backward()
        if grad_norm is not None:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], grad_norm)
        optimizer.step()

    @torch.no_grad()
    def update_target(self, target: nn.Module, source: nn.Module) -> None:
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, self.config.polyak)

    def record_episode(self, cost: float) -> None:
        self.episodes.append(cost)

    def end_iteration(self) -> None:
        """Eq. 14, and the released code's cap."""
        c = self.config
        if c.multiplier_max == "auto" and self.value_sums:
            rewards, costs = (torch.stack(values).mean().abs().item() for values in zip(*self.value_sums, strict=True))
            self.multiplier_max = 2 * rewards / costs
        if self.episodes:
            self.multiplier += c.multiplier_lr * (sum(self.episodes) / len(self.episodes) - c.cost_limit)
        self.multiplier = min(max(0.0, self.multiplier), self.multiplier_max)
        self.episodes, self.value_sums = [], []
