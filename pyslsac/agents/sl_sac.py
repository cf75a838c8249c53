"""SL-SAC, safe Langevin soft actor-critic (Keswani, Jain, Bhattacharyya 2026, arXiv 2602.00587, Algorithm 1).

Twin reward critics in an ensemble, moved by adaptive SGLD; an implicit quantile network for the cost; a tanh-Gaussian
policy that pays for the cost's CVaR; a multiplier that follows the CVaR of recent episodes.

Deviations, and choices where the paper is silent:
 1. The clip is on each network's raw gradient norm (0.7), as in the code of LSAC, which the paper builds on; the
    paper's wording, a clip of gradient plus drift, is `clip="drift_norm"` or `"drift_value"`.
 2. The quantile loss sums over predicted and averages over target fractions, as IQN does.
 3. The actor's loss is divided by (1 + multiplier); actor and targets move every `policy_delay`-th update (OmniSafe).
 4. At the paper's temperature float32 drops most of the noise: Langevin/... report it, `compensated=True` keeps it.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic (CVaR),
Value/EnsembleSpread, Value/Entropy, Value/alpha, Metrics/LagrangeMultiplier, Metrics/EpCostCVaR,
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

from pyslsac import ops
from pyslsac.agents.base import Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Draws, RunningNormalizer, Spec
from pyslsac.nn import Ensemble, QuantileNetwork, TanhGaussian, frozen
from pyslsac.optim import ASGLD, Adam, EntropyCoefficient, Metrics, minimise, polyak_update
from pyslsac.safety import CostWindow, Multiplier, check_risk_level, tail_fractions


@dataclass(frozen=True)
class SLSACConfig(OffPolicyConfig):
    """S: the paper · C: LSAC's code · O: OmniSafe's default · R: our reconstruction."""

    width: int = 256  # units of each of the two hidden layers (S)
    ensemble: int = 3  # E, twin pairs of reward critics (S)
    aggregation: Literal["mean", "min"] = "mean"  # over pairs, of the smaller twin (S, C.2)
    quantiles: int = 32  # N, predicted fractions (S)
    target_quantiles: int = 32  # M, target fractions (S)
    risk_quantiles: int = 32  # K, fractions of the tail for CVaR (R)
    cosines: int = 64  # of the fraction's embedding (S)
    kappa: float = 1.0  # Huber threshold (S)
    gamma: float = 0.99  # reward discount (S)
    cost_gamma: float = 0.99  # cost discount (S)
    polyak: float = 0.005  # target smoothing rate (O)
    risk_level: float = 0.5  # of CVaR; 1 is the mean (S)

    reward_optimizer: Literal["asgld", "adam", "adamw"] = "asgld"  # (S; the others for Figure 5a)
    cost_optimizer: Literal["adamw", "asgld"] = "adamw"  # (S; asgld for C.5)
    critic_lr: float = 3e-4  # reward and cost critics (R)
    weight_decay: float = 0.01  # of AdamW (R)
    temperature: float = 1e-16  # 1 / beta (C)
    bias: float = 1.0  # weight of the adaptive drift (C)
    betas: tuple[float, float] = (0.9, 0.999)  # of aSGLD's moments (S)
    eps: float = 1e-8  # outside the root (C)
    variant: Literal["asgld", "sgld", "psgld", "asgld-preconditioned"] = "asgld"  # (C.3)
    clip: Literal["grad_norm", "drift_value", "drift_norm"] | None = "grad_norm"  # (C)
    clip_threshold: float = 0.7  # (C)
    compensated: bool = False  # keep what rounding would drop (ours)

    actor_lr: float = 3e-4  # Adam (O)
    actor_grad_norm: float = 40.0  # per run (O)
    policy_delay: int = 2  # updates per move of the actor and the targets (O)
    alpha: float | Literal["auto"] = 0.2  # entropy coefficient (O)
    alpha_lr: float = 3e-4  # with alpha="auto" (O)

    multiplier_init: float = 1e-3  # (O)
    multiplier_lr: float = 1e-5  # per environment step (O)
    multiplier_max: float | None = None  # cap, none by default
    multiplier_warmup: int = 100_000  # environment steps before it moves (S)
    multiplier_window: int = 10  # W, episodes (R)
    multiplier_optimizer: Literal["sgd", "adam"] = "sgd"  # eq. 10's plain ascent, or OmniSafe's Adam
    cost_normalize: bool = False  # OmniSafe's running (c - mean) / std on stored costs; CVaR loses its units with it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_risk_level(self.risk_level)
        counts = ("width", "ensemble", "quantiles", "target_quantiles", "risk_quantiles", "cosines", "policy_delay")
        check_range(self, 1, math.inf, *counts)
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, which are `paper`."""
    velocity = task is not None and "Velocity" in task
    step = dict(alpha="auto", policy_delay=1, start_steps=2_000, multiplier_warmup=15_000)
    omnisafe = dict(start_steps=10_000, multiplier_warmup=200_000, multiplier_optimizer="adam", cost_normalize=velocity)
    return {
        "paper": {},
        "omnisafe": omnisafe,
        "omnisafe-navigation": omnisafe
        | dict(actor_lr=5e-6, critic_lr=1e-3, alpha=1e-5, multiplier_init=0.0, multiplier_lr=5e-7),
        "step": step,
        "demo": step
        | dict(ensemble=1, quantiles=8, target_quantiles=8, risk_quantiles=8, batch_size=128, cost_limit=5.0),
    }


class SLSAC(Agent):
    """Langevin twin-critic ensemble, quantile cost critic, CVaR-driven multiplier (the main algorithm)."""

    config: SLSACConfig
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: SLSACConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, inputs, width = self.runs, spec.obs_dim + spec.act_dim, config.width
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = TanhGaussian(runs, spec.obs_dim, spec.act_dim, width, **layers).to(**place)
        self.critics = Ensemble((runs, 2 * config.ensemble), (inputs, width, width, 1), **layers).to(**place)
        self.cost_critic = QuantileNetwork(runs, inputs, width, cosines=config.cosines, **layers).to(**place)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)

        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        self.reward_optim = self._optimizer(config.reward_optimizer, self.critics, (runs, 2 * config.ensemble))
        self.cost_optim = self._optimizer(config.cost_optimizer, self.cost_critic, (runs,))
        self.alpha = EntropyCoefficient(config.alpha, runs, spec.act_dim, lr=config.alpha_lr, **place)
        rule: Any = dict(maximum=config.multiplier_max, optimizer=config.multiplier_optimizer, device=self.device)
        self.multiplier = Multiplier(runs, config.multiplier_init, config.multiplier_lr, **rule)
        self.window = CostWindow(runs, config.multiplier_window)
        self.cost_normalizer = RunningNormalizer(runs)
        names = "actor critics cost_critic target_critics target_cost_critic actor_optim reward_optim cost_optim alpha"
        self.parts = {n: getattr(self, n) for n in (*names.split(), "multiplier", "window", "cost_normalizer")}

    def _optimizer(self, kind: str, module: torch.nn.Module, members: tuple[int, ...]) -> torch.optim.Optimizer:
        config = self.config
        if kind != "asgld":  # Adam is AdamW without decay
            decay = config.weight_decay if kind == "adamw" else 0.0
            return Adam(module.parameters(), config.critic_lr, weight_decay=decay, decoupled_weight_decay=True)
        names = ["temperature", "bias", "betas", "eps", "variant", "clip", "clip_threshold", "compensated"]
        rule: Any = {name: getattr(config, name) for name in names}
        seed = self.derived_seeds(type(module).__name__)
        return ASGLD(module.parameters(), lr=config.critic_lr, members=members, seed=seed, **rule)

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: samples of the policy, or its mode."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actor.mode(obs)
        noise = self.exploration((obs.shape[1], self.spec.act_dim))
        return self.actor.sample(obs, noise)

    def draw(self, batch_size: int) -> Draws:
        """The random numbers of the next update."""
        config, step, actions = self.config, self.clock, (batch_size, self.spec.act_dim)
        return Draws(
            next_action=self.normals(actions, 1, step),
            next_tau=self.uniforms((batch_size, config.target_quantiles), 2, step),
            tau=self.uniforms((batch_size, config.quantiles), 3, step),
            action=self.normals(actions, 4, step),
            risk_tau=tail_fractions(self.uniforms((batch_size, config.risk_quantiles), 5, step), config.risk_level),
        )

    def update(self, batch: Batch) -> Metrics:
        """One pass of Algorithm 1, lines 6-12."""
        batch, draws, config = batch.to(self.device, self.dtype), self.draw(batch.obs.shape[1]), self.config
        y, z = self.targets(batch, draws)  # l. 6    eqs. 2, 4
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim)  # l. 7    eqs. 1, 3: aSGLD, every member
        metrics |= minimise(self.cost_loss(batch, z, draws.tau), self.cost_optim)  # l. 8    eqs. 5-7
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            loss = self.actor_loss(batch, draws)
            metrics |= minimise(loss, self.actor_optim, grad_norm=config.actor_grad_norm)  # l. 9    eq. 9
            self.alpha.adapt(metrics["Value/Entropy"])
            polyak_update(self.target_critics, self.critics, config.polyak)  # l. 12
            polyak_update(self.target_cost_critic, self.cost_critic, config.polyak)
        return metrics

    def value(self, critics: Ensemble, obs: Tensor, action: Tensor) -> Tensor:
        """(1/E) Σ_i min_j Q_ij(s, a) [R, B]: the mean over pairs of the smaller twin; with "min" the smallest pair."""
        twins = critics(action, given=obs).squeeze(-1).unflatten(1, (-1, 2))  # [R, E, 2, B]
        pairs = twins.amin(2)  # [R, E, B]
        return pairs.mean(1) if self.config.aggregation == "mean" else pairs.amin(1)

    @torch.no_grad()
    def targets(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Reward target y [R, B] (eq. 2), shared by all members, and cost quantile targets [R, B, M] (eq. 4)."""
        tail = batch.tail(self.config.cost_gamma)
        action, log_prob = self.actor(batch.next_obs, draws.next_action)
        value = self.value(self.target_critics, batch.next_obs, action) - self.alpha.value.unsqueeze(-1) * log_prob
        if tail.obs is not batch.next_obs:  # more than one step on
            action = self.actor(tail.obs, draws.next_action)[0]
        quantiles = self.target_cost_critic(tail.obs, action, draws.next_tau)
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * value
        return y, tail.cost.unsqueeze(-1) + (tail.discount * (1 - tail.terminated)).unsqueeze(-1) * quantiles

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_ij mean_B (Q_ij(s, a) - y)² [R] (eq. 1)."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2E, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {
            "Loss/Loss_reward_critic": loss.detach(),
            "Value/reward_critic": q.detach().mean((1, 2)),
            "Value/EnsembleSpread": q.detach().std(1, correction=0).mean(-1),
        }

    def cost_loss(self, batch: Batch, z: Tensor, tau: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B Σ_i mean_j ρ_tau_i(z_j - Z(s, a; tau_i)) [R] (eqs. 5-7)."""
        quantiles = self.cost_critic(batch.obs, batch.action, tau)  # [R, B, N]
        loss = ops.quantile_huber(quantiles, z, tau, self.config.kappa).mean(-1)
        return loss, {"Loss/Loss_cost_critic": loss.detach()}

    def actor_loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Metrics]:
        """mean_B [alpha log π(a|s) - Q(s, a) + λ CVaR(s, a)] / (1 + λ) [R] (eqs. 8, 9)."""
        action, log_prob = self.actor(batch.obs, draws.action)
        with frozen(self.critics, self.cost_critic):
            value = self.value(self.critics, batch.obs, action)
            cvar = self.cost_critic(batch.obs, action, draws.risk_tau).mean(-1)  # [R, B]
        multiplier = self.multiplier.value.to(cvar).unsqueeze(-1)
        loss = self.alpha.value.unsqueeze(-1) * log_prob - value + multiplier * cvar
        loss = (loss / (1 + multiplier)).mean(-1)
        return loss, {
            "Loss/Loss_pi": loss.detach(),
            "Value/cost_critic": cvar.detach().mean(-1),
            "Value/Entropy": -log_prob.detach().mean(-1),
        }

    def record_episode(self, run: int, cost: float) -> None:
        self.window.append(run, cost)

    def after_env_steps(self, count: int) -> None:
        """λ <- [λ + lr (CVaR of the window - d)]_+ for each environment step past the warm-up (eq. 10)."""
        super().after_env_steps(count)
        steps = min(count, self.counters["env_steps"] - self.config.multiplier_warmup)
        if steps > 0:
            self.multiplier.ascend(self.window.cvar(self.config.risk_level) - self.config.cost_limit, steps)

    def stored_cost(self, cost: Tensor) -> Tensor:
        return self.cost_normalizer(cost) if self.config.cost_normalize else cost

    def gauges(self) -> Metrics:
        """The multiplier, alpha, the window's CVaR, and how much of aSGLD's step is noise."""
        metrics = {
            "Metrics/LagrangeMultiplier": self.multiplier.value.clone(),
            "Metrics/EpCostCVaR": self.window.cvar(self.config.risk_level),
            "Value/alpha": self.alpha.value,
        }
        if isinstance(self.reward_optim, ASGLD) and self.counters["updates"]:
            ratio, movable = self.reward_optim.noise_report()
            metrics |= {"Langevin/NoiseDriftRatio": ratio, "Langevin/MovableShare": movable}
        return metrics
