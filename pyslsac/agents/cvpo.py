"""CVPO, constrained variational policy optimisation (Liu et al. 2022, arXiv 2201.11927, Algorithm 1).

Policy improvement as expectation maximisation. The E-step reweights actions sampled from the old policy, so that they
earn the most while costing no more than the budget and staying near that policy; the M-step fits the policy to the
weights by maximum likelihood within a trust region. No multiplier is learned over time: each minibatch has its own.

Deviations, and choices where the paper is silent:
 1. The policy is a tanh-squashed diagonal Gaussian, and densities and divergences are those of the normal below the
    tanh, whose Jacobian drops out of them (the code: a Cholesky factor, and only the mean squashed).
 2. The E-step's dual is solved on the device by fixed Newton steps in float64 with the multiplier in [0, 20] (the
    code: SLSQP on the host, bounds 1e5; where no weights reach the budget the multiplier runs to its bound).
 3. Two cost critics, of which the larger counts (the code: one, or the smaller of several), bootstrap to the end of
    the task only (`cost_terminates=False`: the code); the trust region's duals are softplus and unbounded.
 4. The likelihood sums the weighted actions of a state (`mle_mean=True`: the code's mean over them, 1/K of it).
 5. Presets `original` and `fsrl` update at a steady rate, not in bursts after 20 episodes, and take rewards one step at
    a time; `fsrl` subtracts the cost once (FSRL's code, through an alias, twice) and its old policy follows by Polyak.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic,
Value/Entropy, Metrics/LagrangeMultiplier, Dual/Eta, Dual/KL, Dual/Cost, Dual/Budget, Trust/KLMean, Trust/KLStd,
Trust/AlphaMean, Trust/AlphaStd.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pyslsac.agents.base import Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Spec
from pyslsac.nn import Ensemble, TanhGaussian
from pyslsac.optim import Adam, Metrics, TrustRegion, minimise, polyak_update
from pyslsac.safety import Dual, budget


@dataclass(frozen=True)
class CVPOConfig(OffPolicyConfig):
    """S: the paper · C: its code, or FSRL's · O: OmniSafe's default · R: our reconstruction."""

    width: int = 256  # units of each of the two hidden layers (C)
    particles: int = 32  # K, actions a state in the E-step (C)
    reward_critics: int = 2  # of which the smallest counts (C)
    cost_critics: int = 2  # of which the largest counts (R; C: 1)
    cost_terminates: bool = True  # no cost comes after the end of the task (R; C: False)
    gamma: float = 0.99  # reward discount (C)
    cost_gamma: float = 0.99  # cost discount (C)
    polyak: float = 0.005  # smoothing rate of the targets, the old policy among them (C)
    critic_lr: float = 1e-3  # Adam (C)

    estep_critics: Literal["target", "online"] = "target"  # that value the sampled actions (C; FSRL: online)
    eps_dual: float = 0.1  # KL of the E-step's weights from the old policy (C)
    dual_optimizer: Literal["newton", "adam"] = "newton"  # solved, or one step a minibatch (R; FSRL: adam)
    dual_lr: float = 0.02  # with dual_optimizer="adam" (C)
    multiplier_max: float = 20.0  # with dual_optimizer="newton" (R; C: 1e5)

    mstep_iters: int = 4  # moves of the policy a minibatch (R; C: 6, FSRL 1)
    eps_mean: float = 5e-3  # KL of the policy's mean from the old policy's (C)
    eps_std: float = 5e-4  # KL of its spread (C)
    trust_region: Literal["softplus", "clip"] = "softplus"  # rule of that KL's duals (R; C: clip)
    trust_lr: float = 0.1  # Adam, with trust_region="softplus" (C)
    mle_mean: bool = False  # the likelihood is divided by K (R; C: True)
    actor_lr: float = 5e-4  # Adam (C)
    actor_grad_norm: float | None = None  # per run (R; C: 0.01)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "particles", "mstep_iters")
        check_range(self, 1, 2, "reward_critics", "cost_critics")
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")
        check_range(self, 0, math.inf, "eps_dual", "eps_mean", "eps_std", "multiplier_max")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults. The task makes no difference."""
    original: dict[str, Any] = dict(batch_size=300, buffer_size=80_000, start_steps=4_000, updates_per_step=40 / 300)
    original |= dict(cost_critics=1, cost_terminates=False, mstep_iters=6, eps_mean=1e-3, eps_std=1e-3)
    original |= dict(trust_region="clip", mle_mean=True, actor_lr=2e-3, actor_grad_norm=0.01)
    fsrl: dict[str, Any] = dict(
        buffer_size=200_000, updates_per_step=0.2, cost_steps=2, width=128, particles=16, reward_critics=1
    )
    fsrl |= dict(cost_critics=1, gamma=0.97, cost_gamma=0.97, polyak=0.05, estep_critics="online", eps_dual=0.02)
    fsrl |= dict(dual_optimizer="adam", mstep_iters=1, mle_mean=True)
    return {"default": {}, "original": original, "fsrl": fsrl, "step": dict(start_steps=2_000)}


class Improved(NamedTuple):
    """What the M-step fits: the old policy, and moments of the noise n in its actions, tanh(mean + std n), under w."""

    mean: Tensor  # [R, B, A]
    log_std: Tensor  # [R, B, A]
    first: Tensor  # [R, B, A] Σ_k w_k n_k
    second: Tensor  # [R, B, A] Σ_k w_k n_k²


class CVPO(Agent):
    """Reweighted actions under a cost budget, fitted within a trust region."""

    config: CVPOConfig

    def __init__(self, spec: Spec, config: CVPOConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, sizes = self.runs, (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = TanhGaussian(runs, spec.obs_dim, spec.act_dim, config.width, **layers).to(**place)
        self.critics = Ensemble((runs, config.reward_critics), sizes, **layers).to(**place)
        self.cost_critics = Ensemble((runs, config.cost_critics), sizes, **layers).to(**place)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)  # the old policy
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)

        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        self.reward_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        self.cost_optim = Adam(self.cost_critics.parameters(), lr=config.critic_lr)
        self.budget = budget(config.cost_limit, config.cost_gamma, spec.horizon)
        rule: Any = dict(optimizer=config.dual_optimizer, lr=config.dual_lr, maximum=config.multiplier_max)
        self.dual = Dual(runs, config.eps_dual, self.budget, **rule, device=self.device)
        self.trust = TrustRegion(runs, rule=config.trust_region, lr=config.trust_lr, **place)
        self.bounds = torch.tensor([config.eps_mean, config.eps_std], **place)
        names = "actor critics cost_critics target_actor target_critics target_cost_critics actor_optim reward_optim"
        self.parts = {name: getattr(self, name) for name in (*names.split(), "cost_optim", "dual", "trust")}

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: samples of the policy, or its mode."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actor.mode(obs)
        noise = self.exploration((obs.shape[1], self.spec.act_dim))
        return self.actor.sample(obs, noise)

    def update(self, batch: Batch) -> Metrics:
        """One minibatch of Algorithm 1: critics, E-step, M-step, targets; docs/cvpo.md has the formulas."""
        batch, config, step = batch.to(self.device, self.dtype), self.config, self.clock
        size, actions = batch.obs.shape[1], self.spec.act_dim
        y, z, metrics = self.targets(batch, self.normals((size, actions), 1, step))
        metrics |= minimise(self.critic_loss(self.critics, batch, y, "reward"), self.reward_optim)
        metrics |= minimise(self.critic_loss(self.cost_critics, batch, z, "cost"), self.cost_optim)
        improved, more = self.e_step(batch.obs, self.normals((size, config.particles, actions), 2, step))
        metrics |= more
        for _ in range(config.mstep_iters):
            fit, divergence = self.m_step(batch.obs, improved)
            self.trust.ascend(divergence.detach() - self.bounds)
            metrics |= minimise(self.actor_loss(fit, divergence), self.actor_optim, grad_norm=config.actor_grad_norm)
        polyak_update(self.target_critics, self.critics, config.polyak)
        polyak_update(self.target_cost_critics, self.cost_critics, config.polyak)
        polyak_update(self.target_actor, self.actor, config.polyak)
        self.tick()
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor, Metrics]:
        """r + gamma (1 - end) min_j Q̄_rj(s', a') and c + gamma_c (1 - end) max_j Q̄_cj(s', a') [R, B], a' ~ π(·|s')."""
        tail, config = batch.tail(self.config.cost_gamma), self.config
        action, log_prob = self.actor(batch.next_obs, noise)
        x = torch.cat([batch.next_obs, action], dim=-1)
        value = self.target_critics(x).squeeze(-1).amin(1)
        if tail.obs is not batch.next_obs:  # more than one step on
            x = torch.cat([tail.obs, self.actor(tail.obs, noise)[0]], dim=-1)
        going_on = 1 - tail.terminated if config.cost_terminates else 1.0
        cost_value = self.target_cost_critics(x).squeeze(-1).amax(1)
        y = batch.reward + config.gamma * (1 - batch.terminated) * value
        return y, tail.cost + tail.discount * going_on * cost_value, {"Value/Entropy": -log_prob.mean(-1)}

    def critic_loss(self, critics: Ensemble, batch: Batch, target: Tensor, of: str) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - target)² [R]."""
        q = critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, E, B]
        loss = (q - target.unsqueeze(1)).square().mean(-1).sum(-1)
        metrics = {f"Loss/Loss_{of}_critic": loss.detach()}
        return loss, metrics | ({"Value/reward_critic": q.detach().mean((1, 2))} if of == "reward" else {})

    @torch.no_grad()
    def e_step(self, obs: Tensor, noise: Tensor) -> tuple[Improved, Metrics]:
        """Sample K actions of the old policy by `noise` [R, B, K, A], and weigh them by the solved dual."""
        reward, cost = self.target_critics, self.target_cost_critics
        if self.config.estep_critics == "online":
            reward, cost = self.critics, self.cost_critics
        mean, log_std = self.target_actor.latent(obs)
        action = torch.tanh(mean.unsqueeze(2) + log_std.exp().unsqueeze(2) * noise)  # [R, B, K, A]
        x = torch.cat([obs.unsqueeze(2).expand(*action.shape[:3], -1), action], dim=-1).flatten(1, 2)  # [R, B K, S + A]
        values = torch.stack([reward(x).amin(1), cost(x).amax(1)], dim=1)  # [R, 2, B K, 1]
        q = values.double().view(self.runs, 2, *action.shape[1:3])  # [R, 2, B, K]
        found = self.dual.fit(q)
        w = found.w.to(noise).unsqueeze(2)  # [R, B, 1, K]
        metrics = {"Dual/KL": found.kl, "Dual/Cost": found.cost, "Value/cost_critic": q[:, 1].mean((1, 2))}
        return Improved(mean, log_std, (w @ noise).squeeze(2), (w @ noise.square()).squeeze(2)), metrics

    def m_step(self, obs: Tensor, old: Improved) -> tuple[Tensor, Tensor]:
        """mean_B Σ_k w_k (log π₁ + log π₂)(a_k|s) [R], and the divergences of mean and spread [R, 2].

        π₁ has the new mean and the old spread, π₂ the reverse. In units of the old spread a_k is n_k, π₁'s mean
        δ = (mean - mean_old) / std_old and π₂'s spread std / std_old, so that two moments of n under w say all:

            Σ_k w_k (log π₁ + log π₂) = Σ_A [ -(second - 2 δ first + δ²) / 2 - second (std_old / std)² / 2
                                              - log std - log std_old - log 2π ]
            C_mean = mean_B Σ_A δ² / 2,    C_std = mean_B Σ_A [ log(std / std_old) + ((std_old / std)² - 1) / 2 ]
        """
        mean, log_std = self.actor.latent(obs)
        shift = (mean - old.mean) * (-old.log_std).exp()
        growth = log_std - old.log_std
        shrunk, square = (-2 * growth).exp(), shift.square()
        fit = shift * old.first - (square + old.second * (1 + shrunk)) / 2 - log_std - old.log_std
        divergence = torch.stack([square / 2, growth + (shrunk - 1) / 2], dim=1).sum(-1).mean(-1)  # [R, 2]
        return fit.sum(-1).mean(-1) - self.spec.act_dim * math.log(2 * math.pi), divergence

    def actor_loss(self, fit: Tensor, divergence: Tensor) -> tuple[Tensor, Metrics]:
        """-fit + Σ alpha (C - eps) [R], of mean and spread."""
        alpha, config = self.trust.value, self.config
        scale = config.particles if config.mle_mean else 1
        loss = (alpha * (divergence - self.bounds)).sum(-1) - fit / scale
        kl_mean, kl_std = divergence.detach().unbind(1)
        metrics = {"Loss/Loss_pi": loss.detach(), "Trust/KLMean": kl_mean, "Trust/KLStd": kl_std}
        return loss, metrics

    def gauges(self) -> Metrics:
        """The duals of both steps, and the budget."""
        alpha_mean, alpha_std = self.trust.value.unbind(1)
        return {
            "Metrics/LagrangeMultiplier": self.dual.multiplier.clone(),
            "Dual/Eta": self.dual.eta.clone(),
            "Dual/Budget": torch.full_like(self.dual.eta, self.budget),
            "Trust/AlphaMean": alpha_mean,
            "Trust/AlphaStd": alpha_std,
        }
