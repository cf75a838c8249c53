"""LSAC, Langevin soft actor-critic, without its distributional loss and synthetic data (Ishfaq et al. 2025, ICLR).

SAC on an ensemble of twin critics that follow adaptive SGLD, each pair towards its own target: the reward side of
SL-SAC as it was before there was a cost. It sees none.

What it leaves out, and choices:
 1. Left out: the distributional critics with their clipped targets, the transitions that a diffusion model makes up,
    the gradient steps on stored actions, the target policy, the learning rates' decay, a minibatch for every pair.
 2. Networks are SL-SAC's, 2 x 256 ReLU (the code: 3 x 256 GELU); all pairs learn from one minibatch.
 3. The policy follows the mean over pairs of the smaller twin, as in SL-SAC; `actor_pairs="best"` is the code's way,
    the pair that expects most of the minibatch.

Logged: Loss/Loss_reward_critic, Loss/Loss_pi, Value/reward_critic, Value/EnsembleSpread, Value/Entropy, Value/alpha,
Langevin/NoiseDriftRatio, Langevin/MovableShare.
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
from pyslsac.optim import ASGLD, Adam, EntropyCoefficient, Metrics, minimise, polyak_update


@dataclass(frozen=True)
class LSACConfig(OffPolicyConfig):
    """C: LSAC's code · O: OmniSafe's SAC · R: our choice."""

    start_steps: int = 1_000  # uniformly random steps before learning starts (C)
    width: int = 256  # units of each of the two hidden layers (C)
    ensemble: int = 10  # E, twin pairs of critics (C)
    actor_pairs: Literal["mean", "best"] = "mean"  # which pairs the policy follows (R; C: best)
    gamma: float = 0.99  # discount (C)
    polyak: float = 0.005  # target smoothing rate (C)

    critic_lr: float = 1e-3  # aSGLD (C)
    temperature: float = 1e-16  # 1 / beta (C)
    bias: float = 1.0  # weight of the adaptive drift (C)
    betas: tuple[float, float] = (0.9, 0.999)  # of aSGLD's moments (C)
    eps: float = 1e-8  # outside the root (C)
    clip: Literal["grad_norm", "drift_value", "drift_norm"] | None = "grad_norm"  # (C)
    clip_threshold: float = 0.7  # (C)
    compensated: bool = False  # keep what rounding would drop (R)

    actor_lr: float = 1e-4  # Adam (C)
    actor_grad_norm: float | None = None  # per run (C; O: 40)
    policy_delay: int = 2  # updates per move of the actor and the targets (C)
    alpha: float | Literal["auto"] = "auto"  # entropy coefficient (C)
    alpha_lr: float = 3e-4  # with alpha="auto" (C)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "ensemble", "policy_delay")
        check_range(self, 0, 1, "gamma", "polyak")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, which are `paper`. The task makes no difference."""
    rates = dict(critic_lr=3e-4, actor_lr=3e-4, actor_grad_norm=40.0)
    return {
        "paper": {},
        "omnisafe": rates | dict(start_steps=10_000, alpha=0.2),
        "step": rates | dict(start_steps=2_000, policy_delay=1),
    }


class LSAC(Agent):
    """Langevin twin-critic ensemble, no cost; without LSAC's distributional loss and synthetic data."""

    config: LSACConfig
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: LSACConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        members, sizes = (self.runs, 2 * config.ensemble), (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = TanhGaussian(self.runs, spec.obs_dim, spec.act_dim, config.width, **layers).to(**place)
        self.critics = Ensemble(members, sizes, **layers).to(**place)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        names = ["temperature", "bias", "betas", "eps", "clip", "clip_threshold", "compensated"]
        rule: Any = {name: getattr(config, name) for name in names}
        rule |= dict(lr=config.critic_lr, members=members, seed=self.derived_seeds("critics"))
        self.reward_optim = ASGLD(self.critics.parameters(), **rule)
        self.alpha = EntropyCoefficient(config.alpha, self.runs, spec.act_dim, lr=config.alpha_lr, **place)
        names = ["actor", "critics", "target_critics", "actor_optim", "reward_optim", "alpha"]
        self.parts = {name: getattr(self, name) for name in names}

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: samples of the policy, or its mode."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actor.mode(obs)
        noise = self.exploration((obs.shape[1], self.spec.act_dim))
        return self.actor.sample(obs, noise)

    def update(self, batch: Batch) -> Metrics:
        """One minibatch: every critic towards its pair's target, then policy, entropy coefficient and targets."""
        batch, config, step = batch.to(self.device, self.dtype), self.config, self.clock
        next_noise, noise = (self.normals(batch.action.shape[1:], stream, step) for stream in (1, 2))
        metrics = minimise(self.reward_loss(batch, self.targets(batch, next_noise)), self.reward_optim)
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            metrics |= minimise(self.actor_loss(batch, noise), self.actor_optim, grad_norm=config.actor_grad_norm)
            self.alpha.adapt(metrics["Value/Entropy"])
            polyak_update(self.target_critics, self.critics, config.polyak)
        return metrics

    def pairs(self, critics: Ensemble, obs: Tensor, action: Tensor) -> Tensor:
        """min_j Q_ij(s, a), the smaller twin of every pair [R, E, B]."""
        return critics(action, given=obs).squeeze(-1).unflatten(1, (-1, 2)).amin(2)

    @torch.no_grad()
    def targets(self, batch: Batch, noise: Tensor) -> Tensor:
        """y_i = r + gamma (1 - terminated) [min_j Q̄_ij(s', a') - alpha log π(a'|s')] [R, E, B], one a pair."""
        action, log_prob = self.actor(batch.next_obs, noise)
        entropy = self.alpha.value.unsqueeze(-1) * log_prob  # [R, B]
        value = self.pairs(self.target_critics, batch.next_obs, action) - entropy.unsqueeze(1)
        return batch.reward.unsqueeze(1) + self.config.gamma * (1 - batch.terminated).unsqueeze(1) * value

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_ij mean_B (Q_ij(s, a) - y_i)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2E, B]
        loss = (q.unflatten(1, (-1, 2)) - y.unsqueeze(2)).square().mean(-1).sum((1, 2))
        return loss, {
            "Loss/Loss_reward_critic": loss.detach(),
            "Value/reward_critic": q.detach().mean((1, 2)),
            "Value/EnsembleSpread": q.detach().std(1, correction=0).mean(-1),
        }

    def actor_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B [alpha log π(a|s) - Q(s, a)] [R], Q the mean of all pairs, or the pair whose mean_B is largest."""
        action, log_prob = self.actor(batch.obs, noise)
        with frozen(self.critics):
            values = self.pairs(self.critics, batch.obs, action).mean(-1)  # [R, E]
        if self.config.actor_pairs == "mean":
            value = values.mean(1)
        else:
            value = values.gather(1, values.argmax(1, keepdim=True)).squeeze(1)
        loss = self.alpha.value * log_prob.mean(-1) - value
        return loss, {"Loss/Loss_pi": loss.detach(), "Value/Entropy": -log_prob.detach().mean(-1)}

    def gauges(self) -> Metrics:
        """alpha, and how much of aSGLD's step is noise."""
        metrics = {"Value/alpha": self.alpha.value}
        if self.counters["updates"]:
            ratio, movable = self.reward_optim.noise_report()
            metrics |= {"Langevin/NoiseDriftRatio": ratio, "Langevin/MovableShare": movable}
        return metrics
