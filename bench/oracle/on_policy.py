"""PPO-Lag and CPO as one would write them straight from the papers: plain modules, loops, autograd, one run.

They share nothing with `pyslsac` but the rollout in `pyslsac.data`, so that equality of the two says something. CPO's
Fisher matrix is the Hessian of the KL by two passes of autograd, and its dual is minimised over intervals of the trust
region's multiplier, as the paper's appendix does.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from pyslsac.data import Rollout


@dataclass(frozen=True)
class Config:
    """The names and PPO-Lag's defaults of the agents' configs."""

    cost_limit: float = 25.0
    width: int = 64
    log_std: float = 0.0
    gamma: float = 0.99
    cost_gamma: float = 0.99
    gae_decay: float = 0.95
    iterations: int = 40
    batch_size: int = 64
    critic_lr: float = 3e-4
    critic_decay: float = 1e-3
    grad_norm: float = 40.0
    target_kl: float = 0.02
    actor_lr: float = 3e-4
    clip: float = 0.2
    alpha: float = 0.0
    multiplier_init: float = 0.001
    multiplier_lr: float = 0.035
    cg_steps: int = 15
    cg_damping: float = 0.1
    search_steps: int = 15
    search_decay: float = 0.8

    @classmethod
    def like(cls, config: Any) -> Config:
        """The same of an agent's config."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(config, name) for name in names if hasattr(config, name)})


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with tanh between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Actor(nn.Module):
    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.full((act_dim,), config.log_std))
        self.mean = mlp(obs_dim, config.width, config.width, act_dim)

    def forward(self, obs: Tensor) -> Independent:
        return Independent(Normal(self.mean(obs), self.log_std.exp().expand(len(obs), -1)), 1)


class Plain:
    """What both have: an actor, two critics, advantages step by step, and regression of the critics."""

    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        self.config = config
        self.actor = Actor(obs_dim, act_dim, config)
        self.critics = [mlp(obs_dim, config.width, config.width, 1) for _ in range(2)]
        self.critic_optims = [torch.optim.Adam(critic.parameters(), lr=config.critic_lr) for critic in self.critics]

    @torch.no_grad()
    def read(self, rollout: Rollout) -> None:
        """Take the rollout of run 0 apart."""
        config = self.config
        steps, envs = rollout.reward.shape[1:]
        self.obs, self.action = rollout.obs[0].flatten(0, 1), rollout.action[0].flatten(0, 1)
        self.log_prob = self.actor(self.obs).log_prob(self.action)
        self.targets, advantages = [], []
        signals = (rollout.reward[0], config.gamma), (rollout.cost[0], config.cost_gamma)
        for critic, (signal, gamma) in zip(self.critics, signals, strict=True):
            value, final = critic(rollout.obs[0])[..., 0], critic(rollout.next_obs[0])[..., 0]  # [T, n]
            parts = signal, value, final, rollout.terminated[0], rollout.ended[0]
            rows = torch.stack(parts, dim=-1).tolist()
            found = [[0.0] * envs for _ in range(steps)]
            for env in range(envs):
                ahead = 0.0
                for t in reversed(range(steps)):
                    gain, now, after, lost, ended = rows[t][env]
                    if not ended and t < steps - 1:
                        after = rows[t + 1][env][1]
                    delta = gain + gamma * (1 - lost) * after - now
                    ahead = delta if ended else delta + gamma * config.gae_decay * ahead
                    found[t][env] = ahead
            advantage = torch.tensor(found, dtype=value.dtype, device=value.device)
            self.targets.append((advantage + value).flatten())
            advantages.append(advantage.flatten() - advantage.mean())
        self.reward_advantage = advantages[0] / (advantages[0].std(correction=0) + 1e-8)
        self.cost_advantage = advantages[1]

    def fit_critics(self, rows: Tensor) -> None:
        for critic, optimizer, target in zip(self.critics, self.critic_optims, self.targets, strict=True):
            optimizer.zero_grad()
            (critic(self.obs[rows])[:, 0] - target[rows]).square().mean().backward()
            clip_grad_norm_(critic.parameters(), self.config.grad_norm)
            for parameter in critic.parameters():
                parameter.grad += 2 * self.config.critic_decay * parameter.detach()
            optimizer.step()

    def minibatches(self, orders: Sequence[Tensor] | None, iteration: int) -> Sequence[Tensor]:
        order = torch.randperm(len(self.obs), device=self.obs.device) if orders is None else orders[iteration]
        return order.split(self.config.batch_size)


class PPOLag(Plain):
    def __init__(self, obs_dim: int, act_dim: int, config: Config) -> None:
        super().__init__(obs_dim, act_dim, config)
        self.actor_optim = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr)
        self.multiplier = torch.tensor(config.multiplier_init, requires_grad=True)
        self.multiplier_optim = torch.optim.Adam([self.multiplier], lr=config.multiplier_lr)

    def update(self, rollout: Rollout, cost: float | None = None, orders: Sequence[Tensor] | None = None) -> int:
        """One update; cost is the mean of the last episodes'. Returns the number of passes."""
        config = self.config
        self.multiplier_optim.zero_grad()
        (-self.multiplier * (0.0 if cost is None else cost - config.cost_limit)).backward()
        self.multiplier_optim.step()
        price = self.multiplier.detach().clamp_(min=0).item()
        self.read(rollout)
        advantage = (self.reward_advantage - price * self.cost_advantage) / (1 + price)
        with torch.no_grad():
            old = self.actor(self.obs)
        for iteration in range(config.iterations):
            for rows in self.minibatches(orders, iteration):
                self.fit_critics(rows)
                law = self.actor(self.obs[rows])
                ratio = (law.log_prob(self.action[rows]) - self.log_prob[rows]).exp()
                clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
                loss = -torch.min(ratio * advantage[rows], clipped * advantage[rows]).mean()
                loss = loss - config.alpha * law.entropy().mean()
                self.actor_optim.zero_grad()
                loss.backward()
                clip_grad_norm_(self.actor.parameters(), config.grad_norm)
                self.actor_optim.step()
            with torch.no_grad():
                if kl_divergence(old, self.actor(self.obs)).mean() > config.target_kl:
                    break
        return iteration + 1


class CPO(Plain):
    def surrogates(self) -> tuple[Tensor, Tensor]:
        ratio = (self.actor(self.obs).log_prob(self.action) - self.log_prob).exp()
        return (ratio * self.reward_advantage).mean(), (ratio * self.cost_advantage).mean()

    def update(self, rollout: Rollout, excess: float = 0.0, orders: Sequence[Tensor] | None = None) -> None:
        """One update; excess: by how much the cost of a step is over the limit."""
        config = self.config
        self.read(rollout)
        parameters = list(self.actor.parameters())
        reward, cost = self.surrogates()
        g = parameters_to_vector(torch.autograd.grad(reward, parameters, retain_graph=True))
        b = parameters_to_vector(torch.autograd.grad(cost, parameters))
        with torch.no_grad():
            old = self.actor(self.obs)
        kl = kl_divergence(old, self.actor(self.obs)).mean()
        slope = parameters_to_vector(torch.autograd.grad(kl, parameters, create_graph=True))

        def product(v: Tensor) -> Tensor:
            parts = torch.autograd.grad(slope @ v, parameters, retain_graph=True)
            return parameters_to_vector([part.contiguous() for part in parts]) + config.cg_damping * v

        x, p = (self.solve(product, vector) for vector in (g, b))
        step = self.best(x, p, float(g @ x), float(g @ p), float(b @ p), excess)
        self.search(step, old, reward.detach(), cost.detach(), excess)
        for iteration in range(config.iterations):
            for rows in self.minibatches(orders, iteration):
                self.fit_critics(rows)

    def solve(self, product, right: Tensor) -> Tensor:
        x, residual, direction = torch.zeros_like(right), right.clone(), right.clone()
        for _ in range(self.config.cg_steps):
            if residual @ residual <= 1e-10 * (right @ right):
                break
            image = product(direction)
            size = (residual @ residual) / (direction @ image)
            x, after = x + size * direction, residual - size * image
            direction = after + (after @ after) / (residual @ residual) * direction
            residual = after
        return x

    def best(self, x: Tensor, p: Tensor, q: float, r: float, s: float, c: float) -> Tensor:
        """The step by the appendix's two candidates, each the best of its interval."""
        radius = self.config.target_kl
        room = 2 * radius - c * c / s
        self.improve = False
        if c > 0 and room < 0:
            return -math.sqrt(2 * radius / s) * p
        candidates = [(math.sqrt(q / (2 * radius)), 0.0)]
        if room > 0:
            rho = math.sqrt(max(q - r * r / s, 0.0) / room)
            candidates.append((rho, max(0.0, (r + rho * c) / s)))
        duals = []
        for rho, nu in candidates:
            nu = max(nu, (r + rho * c) / s, 0.0)  # the best at this rho
            duals.append(((q - 2 * nu * r + nu * nu * s) / (2 * rho) + rho * radius - nu * c, rho, nu))
        _, rho, nu = min(duals)
        self.improve = c <= 0 or nu == 0
        return (x - nu * p) / rho

    @torch.no_grad()
    def search(self, step: Tensor, old: Independent, reward: Tensor, cost: Tensor, c: float) -> None:
        config, start = self.config, parameters_to_vector(self.actor.parameters())
        for attempt in range(config.search_steps):
            vector_to_parameters(start + config.search_decay**attempt * step, self.actor.parameters())
            new_reward, new_cost = self.surrogates()
            near = kl_divergence(old, self.actor(self.obs)).mean() <= config.target_kl
            if near and new_cost - cost <= max(0.0, -c) and (new_reward >= reward or not self.improve):
                return
        vector_to_parameters(start, self.actor.parameters())
