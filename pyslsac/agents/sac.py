"""SAC, the soft actor-critic without a cost, as OmniSafe has it (Haarnoja et al. 2018, arXiv 1812.05905).

What an agent earns that no limit holds: the ceiling for the others. Facts are those of OmniSafe 0.5.0's code (O).

Deviations, and what is easily missed:
 1. The actor and the targets move every second update, and alpha is fixed; Haarnoja et al. move them every update and
    learn alpha, which is the preset `step`.
 2. Gradients are clipped to norm 40, the actor's and that of both twins together, each per run.
 3. With alpha="auto" the entropy is that of the actor's own pass; OmniSafe samples the moved policy anew.

Logged: Loss/Loss_reward_critic, Loss/Loss_pi, Value/reward_critic, Value/Entropy, Value/alpha.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.agents.base import Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Spec
from pyslsac.nn import Ensemble, TanhGaussian, frozen
from pyslsac.optim import Adam, EntropyCoefficient, Metrics, minimise, polyak_update


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """O: OmniSafe's default."""

    start_steps: int = 10_000  # uniformly random steps before learning starts (O)

    width: int = 256  # units of each of the two hidden layers (O)
    gamma: float = 0.99  # reward discount (O)
    polyak: float = 0.005  # target smoothing rate (O)
    critic_lr: float = 3e-4  # Adam (O)
    critic_grad_norm: float = 40.0  # per run, of both twins together (O)
    actor_lr: float = 3e-4  # Adam (O)
    actor_grad_norm: float = 40.0  # per run (O)
    policy_delay: int = 2  # updates per move of the actor and the targets (O)
    alpha: float | Literal["auto"] = 0.2  # entropy coefficient (O)
    alpha_lr: float = 3e-4  # Adam, with alpha="auto" (O)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "policy_delay")
        check_range(self, 0, math.inf, "critic_grad_norm", "actor_grad_norm")
        check_range(self, 0, 1, "gamma", "polyak")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults. The task makes no difference."""
    return {
        "omnisafe": {},
        "omnisafe-navigation": dict(actor_lr=5e-6, critic_lr=1e-3, alpha=1e-5),
        "step": dict(alpha="auto", policy_delay=1, start_steps=2_000),
    }


class SAC(Agent):
    """Twin critics and a tanh-Gaussian policy of high entropy."""

    config: SACConfig
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: SACConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, sizes = self.runs, (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = TanhGaussian(runs, spec.obs_dim, spec.act_dim, config.width, **layers).to(**place)
        self.critics = Ensemble((runs, 2), sizes, **layers).to(**place)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        self.reward_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        self.alpha = EntropyCoefficient(config.alpha, runs, spec.act_dim, lr=config.alpha_lr, **place)
        names = "actor critics target_critics actor_optim reward_optim alpha"
        self.parts = {name: getattr(self, name) for name in names.split()}

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: samples of the policy, or its mode."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actor.mode(obs)
        noise = self.exploration((obs.shape[1], self.spec.act_dim))
        return self.actor.sample(obs, noise)

    def draw(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Standard normals [R, B, A] behind a' ~ π(·|s') and a ~ π(·|s) of the next update."""
        shape, step = (batch_size, self.spec.act_dim), self.clock
        return self.normals(shape, 1, step), self.normals(shape, 2, step)

    def update(self, batch: Batch) -> Metrics:
        """One update, in OmniSafe's order."""
        batch, config = batch.to(self.device, self.dtype), self.config
        next_noise, noise = self.draw(batch.obs.shape[1])
        y = self.targets(batch, next_noise)
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim, grad_norm=config.critic_grad_norm)
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            metrics |= minimise(self.actor_loss(batch, noise), self.actor_optim, grad_norm=config.actor_grad_norm)
            self.alpha.adapt(metrics["Value/Entropy"])
            polyak_update(self.target_critics, self.critics, config.polyak)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, noise: Tensor) -> Tensor:
        """y = r + gamma (1 - terminated) (min_j Q̄_j(s', a') - alpha log π(a'|s')) [R, B], a' ~ π(·|s')."""
        action, log_prob = self.actor(batch.next_obs, noise)
        twins = self.target_critics(torch.cat([batch.next_obs, action], dim=-1)).squeeze(-1)  # [R, 2, B]
        value = twins.amin(1) - self.alpha.value.unsqueeze(-1) * log_prob
        return batch.reward + self.config.gamma * (1 - batch.terminated) * value

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - y)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {"Loss/Loss_reward_critic": loss.detach(), "Value/reward_critic": q.detach().mean((1, 2))}

    def actor_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B [alpha log π(a|s) - min_j Q_j(s, a)] [R], a ~ π(·|s)."""
        action, log_prob = self.actor(batch.obs, noise)
        with frozen(self.critics):
            value = self.critics(action, given=batch.obs).squeeze(-1).amin(1)  # [R, B]
        loss = (self.alpha.value.unsqueeze(-1) * log_prob - value).mean(-1)
        return loss, {"Loss/Loss_pi": loss.detach(), "Value/Entropy": -log_prob.detach().mean(-1)}

    def gauges(self) -> Metrics:
        return {"Value/alpha": self.alpha.value}
