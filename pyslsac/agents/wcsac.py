"""WCSAC, worst-case soft actor-critic (Yang et al. 2023, Machine Learning 112:859; its Gaussian form Yang et al. 2021).

SAC whose policy pays for the CVaR of a distributional cost critic. The multiplier follows that critic as well, on the
actions in the replay; what episodes cost it never sees.

Deviations, and choices where the paper is silent:
 1. The defaults are WCSAC as SL-SAC's paper compares with it: on OmniSafe's SAC, the quantile critic that SL-SAC has.
    The authors' constants are `preset="original"`. Their critic has 512 units, the sigmoid of 512 cosines, no quantile
    below 1e-8, and midpoints of random partitions of (0, 1) as fractions; here these are independent and uniform.
 2. The price of CVaR in the policy's loss, multiplier - damp, is below 0 where replayed actions cost less than budget +
    multiplier / damping: the policy is then paid to cost more, up to there. The authors' code has no bound either;
    `nonnegative_price=True` is ours. The loss is not divided by (1 + multiplier).
 3. The multiplier moves at every update, actor and targets at every `policy_delay`-th (the code: all at every one).
 4. Gaussian form: the end of the task ends the variance's sum as it ends the mean's (the code: only the mean's).

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic (CVaR),
Value/ReplayCVaR, Value/CostPrice, Value/Entropy, Value/alpha, Metrics/LagrangeMultiplier.
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
from pyslsac.data import Batch, Draws, Spec
from pyslsac.nn import (
    Ensemble,
    NormalCost,
    QuantileNetwork,
    TanhGaussian,
    frozen,
    normal_cvar,
    normal_target,
    wasserstein,
)
from pyslsac.optim import Adam, EntropyCoefficient, Metrics, minimise, polyak_update
from pyslsac.safety import CriticMultiplier, budget, check_risk_level, tail_fractions


@dataclass(frozen=True)
class WCSACConfig(OffPolicyConfig):
    """S: SL-SAC's paper, on its WCSAC · C: the authors' code · O: OmniSafe's SAC · R: our reconstruction."""

    width: int = 256  # units of each of the two hidden layers (S)
    safety_critic: Literal["iqn", "gaussian"] = "iqn"  # law of the cost: quantiles, or a normal one (S)
    quantiles: int = 32  # fractions: predicted, of the target, and of the tail for CVaR, each (S)
    cosines: int = 64  # of the fraction's embedding (S)
    kappa: float = 1.0  # Huber threshold (C)
    gamma: float = 0.99  # reward discount (S)
    cost_gamma: float = 0.99  # cost discount (S)
    polyak: float = 0.005  # target smoothing rate (O)
    risk_level: float = 0.5  # of CVaR; 1 is the mean (S)
    critic_lr: float = 3e-4  # reward and cost critics, Adam (O)
    critic_grad_norm: float | None = 40.0  # per run, of both twins together and of the cost critic (O; C: None)
    actor_lr: float = 3e-4  # Adam (O)
    actor_grad_norm: float | None = 40.0  # per run (O; C: None)
    policy_delay: int = 2  # updates per move of the actor and the targets (O; C: 1)
    alpha: float | Literal["auto"] = 0.2  # entropy coefficient (O; C: auto)
    alpha_lr: float = 3e-4  # with alpha="auto" (O)
    multiplier_lr: float = 6e-3  # Adam, per update: 20 times the other rates (C)
    damping: float = 10.0  # damp = damping · (budget - CVaR of replayed actions) (C)
    nonnegative_price: bool = False  # multiplier - damp never below 0 (R; C: False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_risk_level(self.risk_level)
        check_range(self, 1, math.inf, "width", "quantiles", "cosines", "policy_delay")
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")
        check_range(self, 0, math.inf, "multiplier_lr", "damping")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, which are `paper`. The task makes no difference."""
    original: dict[str, Any] = dict(start_steps=500, quantiles=20, critic_lr=1e-3, actor_lr=1e-3, alpha_lr=1e-3)
    original |= dict(critic_grad_norm=None, actor_grad_norm=None, policy_delay=1, alpha="auto", multiplier_lr=2e-2)
    return {
        "paper": {},
        "original": original,
        "original-gaussian": original | dict(safety_critic="gaussian", multiplier_lr=5e-2),
        "omnisafe": dict(start_steps=10_000),
        "step": dict(alpha="auto", policy_delay=1, start_steps=2_000),
    }


class WCSAC(Agent):
    """SAC that pays for the CVaR its cost critic expects, with a multiplier that follows that critic too."""

    config: WCSACConfig
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: WCSACConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, inputs, width = self.runs, spec.obs_dim + spec.act_dim, config.width
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = TanhGaussian(runs, spec.obs_dim, spec.act_dim, width, **layers).to(**place)
        self.critics = Ensemble((runs, 2), (inputs, width, width, 1), **layers).to(**place)
        law: Any = NormalCost
        if config.safety_critic == "iqn":
            law, layers = QuantileNetwork, layers | dict(cosines=config.cosines)
        self.cost_critic: QuantileNetwork | NormalCost = law(runs, inputs, width, **layers).to(**place)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)

        rates = (self.actor, config.actor_lr), (self.critics, config.critic_lr), (self.cost_critic, config.critic_lr)
        optims = (Adam(module.parameters(), lr=lr) for module, lr in rates)
        self.actor_optim, self.reward_optim, self.cost_optim = optims
        self.alpha = EntropyCoefficient(config.alpha, runs, spec.act_dim, lr=config.alpha_lr, **place)
        self.multiplier = CriticMultiplier(runs, config.multiplier_lr, device=self.device)
        self.budget = budget(config.cost_limit, config.cost_gamma, spec.horizon)
        names = "actor critics cost_critic target_critics target_cost_critic actor_optim reward_optim cost_optim alpha"
        self.parts = {name: getattr(self, name) for name in (*names.split(), "multiplier")}

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
        step, actions = self.clock, (batch_size, self.spec.act_dim)
        next_action, action = (self.normals(actions, stream, step) for stream in (1, 2))
        next_tau, tau, tail = (self.uniforms((batch_size, self.config.quantiles), stream, step) for stream in (3, 4, 5))
        return Draws(next_action, next_tau, tau, action, tail_fractions(tail, self.config.risk_level))

    def update(self, batch: Batch) -> Metrics:
        """One minibatch: both critics, policy, entropy coefficient, targets, multiplier; docs/wcsac.md has the box."""
        batch, draws, config = batch.to(self.device, self.dtype), self.draw(batch.obs.shape[1]), self.config
        y, z = self.targets(batch, draws)
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim, grad_norm=config.critic_grad_norm)
        metrics |= minimise(self.cost_loss(batch, z, draws.tau), self.cost_optim, grad_norm=config.critic_grad_norm)
        price, excess, seen = self.price(batch, draws.risk_tau)
        metrics |= seen
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            loss = self.actor_loss(batch, draws, price)
            metrics |= minimise(loss, self.actor_optim, grad_norm=config.actor_grad_norm)
            self.alpha.adapt(metrics["Value/Entropy"])
            polyak_update(self.target_critics, self.critics, config.polyak)
            polyak_update(self.target_cost_critic, self.cost_critic, config.polyak)
        self.multiplier.ascend(excess)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, draws: Draws) -> tuple[Tensor, tuple[Tensor, Tensor] | Tensor]:
        """Reward target y [R, B], and the cost's: quantiles [R, B, N], or mean and standard deviation [R, B]."""
        tail = batch.tail(self.config.cost_gamma)
        action, log_prob = self.actor(batch.next_obs, draws.next_action)
        value = self.value(self.target_critics, batch.next_obs, action) - self.alpha.value.unsqueeze(-1) * log_prob
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * value
        if tail.obs is not batch.next_obs:  # more than one step on
            action = self.actor(tail.obs, draws.next_action)[0]
        discount = tail.discount * (1 - tail.terminated)
        if isinstance(self.target_cost_critic, NormalCost):
            mean = self.cost_critic(batch.obs, batch.action)[0]
            return y, normal_target(tail.cost, discount, self.target_cost_critic(tail.obs, action), mean)
        quantiles = self.target_cost_critic(tail.obs, action, draws.next_tau)
        return y, tail.cost.unsqueeze(-1) + discount.unsqueeze(-1) * quantiles

    def value(self, critics: Ensemble, obs: Tensor, action: Tensor) -> Tensor:
        """min_j Q_j(s, a) [R, B]."""
        return critics(action, given=obs).squeeze(-1).amin(1)

    def cvar(self, obs: Tensor, action: Tensor, risk_tau: Tensor) -> Tensor:
        """CVaR of the discounted cost [R, B]: the mean of the tail's quantiles, or the normal law's."""
        if isinstance(self.cost_critic, NormalCost):
            mean, std = self.cost_critic(obs, action)
            return normal_cvar(mean, std, self.config.risk_level)
        return self.cost_critic(obs, action, risk_tau).mean(-1)

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - y)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {"Loss/Loss_reward_critic": loss.detach(), "Value/reward_critic": q.detach().mean((1, 2))}

    def cost_loss(self, batch: Batch, z: tuple[Tensor, Tensor] | Tensor, tau: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B of Σ_i mean_j ρ_tau_i(z_j - Z(s, a; tau_i)), or of the squared 2-Wasserstein distance to z: [R]."""
        if isinstance(z, Tensor):
            quantiles = self.cost_critic(batch.obs, batch.action, tau)  # [R, B, N]
            loss = ops.quantile_huber(quantiles, z, tau, self.config.kappa).mean(-1)
        else:
            loss = wasserstein(self.cost_critic(batch.obs, batch.action), z).mean(-1)
        return loss, {"Loss/Loss_cost_critic": loss.detach()}

    @torch.no_grad()
    def price(self, batch: Batch, risk_tau: Tensor) -> tuple[Tensor, Tensor, Metrics]:
        """multiplier - damp, what the policy pays for CVaR, and by how much replayed actions exceed the budget [R].

        damp = damping · mean_B (budget - CVaR(s, a)): the further below the budget, the less there is to pay.
        """
        excess = self.cvar(batch.obs, batch.action, risk_tau).mean(-1) - self.budget
        price = self.multiplier.value.to(excess) + self.config.damping * excess
        if self.config.nonnegative_price:
            price = price.clamp(min=0.0)
        return price, excess, {"Value/CostPrice": price, "Value/ReplayCVaR": excess + self.budget}

    def actor_loss(self, batch: Batch, draws: Draws, price: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B [alpha log π(a|s) - min_j Q_j(s, a) + price · CVaR(s, a)] [R]."""
        action, log_prob = self.actor(batch.obs, draws.action)
        with frozen(self.critics, self.cost_critic):
            value = self.value(self.critics, batch.obs, action)
            cvar = self.cvar(batch.obs, action, draws.risk_tau)  # [R, B]
        loss = self.alpha.value.unsqueeze(-1) * log_prob - value + price.unsqueeze(-1) * cvar
        loss = loss.mean(-1)
        return loss, {
            "Loss/Loss_pi": loss.detach(),
            "Value/cost_critic": cvar.detach().mean(-1),
            "Value/Entropy": -log_prob.detach().mean(-1),
        }

    def gauges(self) -> Metrics:
        """The multiplier and alpha."""
        return {"Metrics/LagrangeMultiplier": self.multiplier.value, "Value/alpha": self.alpha.value}
