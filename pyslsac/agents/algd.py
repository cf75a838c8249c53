"""ALGD, augmented-Lagrangian-guided diffusion (2026).

A diffusion policy led by a score network. Its energy is the augmented Lagrangian of the task, L_A(s, a) = -min_j Q_j +
([λ + ρ (Qc - h)]_+² - λ²) / 2ρ with Qc = mean_e Qc_e + k std_e Qc_e and h the budget, and the policy is to follow
exp(-L_A / temperature). Equations and constants are those of the authors' released code.

Where that code departs from the theory of diffusion, `score="faithful"` does too:
 1. The network learns a score of actions; the chain applies it before tanh, without the Jacobian.
 2. The noisy action of level k is the chain's after level k, whose noise is that of level k - 1.
 3. The target is a self-normalised mean over four samples, biased where σ is large; samples leave the box.
 4. The chain is also trained through itself, which leads the policy to minima of L_A rather than to exp(-L_A).
Ours:
 5. `score="principled"` learns the score alone, in the space of actions: at the policy's actions under forward noise,
    from samples inside the box, in units that bring every level's target near 1, at a temperature measured in mean
    magnitudes of the energy's gradient. The chain's noise is that of the level which it moves to.
 6. Before learning starts actions are uniformly random; the authors act with the untrained policy.
 7. Weights start as torch.nn.Linear's do; the authors' are Xavier's and truncated normal.
 8. The rule "replay" of λ takes Qc of replayed actions as predicted before the critics' step of the same update.
 9. `multiplier_rule="episodes"`: λ <- [λ + lr (J - d)]_+ for each environment step, J the mean of recent episodes.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Loss/Loss_score, Value/reward_critic,
Value/cost_critic (Qc), Value/EnsembleSpread, Value/Energy (L_A), Metrics/LagrangeMultiplier.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch import Tensor

from pyslsac import sampling
from pyslsac.agents.base import Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Spec
from pyslsac.nn import Ensemble, ScoreNetwork
from pyslsac.optim import Adam, Metrics, minimise, polyak_update
from pyslsac.safety import CostWindow, LogMultiplier, Multiplier, budget, penalty_and_slope, pessimistic


@dataclass(frozen=True)
class ALGDConfig(OffPolicyConfig):
    """C: the authors' code · O: OmniSafe's default · R: our reconstruction · S: as the other agents have it."""

    updates_per_step: float = 10  # gradient updates per environment step (C)
    width: int = 256  # units of each of a critic's two hidden layers (C)
    cost_ensemble: int = 4  # E, cost critics (C)
    gamma: float = 0.99  # reward discount (C)
    cost_gamma: float = 0.99  # cost discount (C)
    polyak: float = 0.005  # target smoothing rate (C)
    target_delay: int = 2  # updates per move of the targets (C)
    critic_lr: float = 3e-4  # Adam, reward and cost critics (C)

    levels: int = 5  # K, moves of the reverse chain (C)
    weakest_noise: float = 0.01  # σ of the first level (C)
    strongest_noise: float = 1.0  # σ of the last level (C)
    score_width: int = 128  # units of each of the score network's three hidden layers (C)
    level_embedding: int = 16  # numbers that stand for a level (C)
    actor_lr: float = 3e-4  # Adam (C)
    score: Literal["faithful", "principled"] = "faithful"  # how it is learned: see the module (C; principled: R)
    score_weight: float = 0.1  # of its squared error beside the energy of the chain's end (C)
    samples: int = 4  # n, actions behind one score target (C)
    temperature: float = 1.0  # of the policy exp(-L_A / temperature); principled: in mean magnitudes of ∇L_A (C)

    lagrangian: Literal["augmented", "plain"] = "augmented"  # plain: λ (Qc - h) (C)
    rho: float = 1.0  # ρ, weight of the quadratic penalty (C)
    cost_spread: float = 1.0  # k, standard deviations that Qc lies above the ensemble's mean (C)
    multiplier_rule: Literal["replay", "episodes"] = "replay"  # what λ follows: Qc of replayed actions, episodes (C; R)
    multiplier_init: float = 0.6931  # (C)
    multiplier_lr: float = 3e-4  # of Adam on log λ per update; episodes: of plain ascent per environment step (C)
    multiplier_window: int = 10  # W, episodes (R)

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("width", "cost_ensemble", "target_delay", "levels", "score_width", "level_embedding", "samples")
        check_range(self, 1, math.inf, *counts)
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")
        check_range(self, 0, math.inf, "score_weight", "cost_spread")
        check_range(self, 1e-9, math.inf, "rho", "temperature", "weakest_noise")
        check_range(self, self.weakest_noise, math.inf, "strongest_noise")
        for name in ("score", "lagrangian", "multiplier_rule"):
            known = get_args(get_type_hints(type(self))[name])
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, wanted one of {', '.join(known)}")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, which are `paper`."""
    return {
        "paper": {},
        "principled": dict(score="principled", score_weight=1.0, samples=32, temperature=0.05),
        "step": dict(start_steps=2_000, updates_per_step=2),
    }


class ALGD(Agent):
    """Diffusion policy led by the augmented Lagrangian of twin reward critics and a cost ensemble."""

    config: ALGDConfig
    periods = ("target_delay",)

    def __init__(self, spec: Spec, config: ALGDConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, sizes = self.runs, (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        score: Any = dict(width=config.score_width, levels=config.levels, embedding=config.level_embedding)
        self.actor = ScoreNetwork(runs, spec.obs_dim, spec.act_dim, **score, **layers).to(**place)
        self.critics = Ensemble((runs, 2), sizes, **layers).to(**place)
        self.cost_critics = Ensemble((runs, config.cost_ensemble), sizes, activation="silu", **layers).to(**place)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)
        rates = (self.actor, config.actor_lr), (self.critics, config.critic_lr), (self.cost_critics, config.critic_lr)
        optims = (Adam(module.parameters(), lr=lr) for module, lr in rates)
        self.actor_optim, self.reward_optim, self.cost_optim = optims
        rule = LogMultiplier if config.multiplier_rule == "replay" else Multiplier
        self.multiplier = rule(runs, config.multiplier_init, config.multiplier_lr, device=self.device)
        self.window = CostWindow(runs, config.multiplier_window)
        self.budget = budget(config.cost_limit, config.cost_gamma, spec.horizon)  # h
        self.levels = sampling.variance_exploding(config.levels, config.weakest_noise, config.strongest_noise)
        self.boxed = config.score == "principled"
        self.units = [(s**2 + config.temperature**2) ** -0.5 if self.boxed else 1.0 for s in self.levels.sigma]
        self.sigma, self.unit = (torch.tensor(x, **place) for x in (self.levels.sigma, self.units))  # [K]
        gain = torch.tensor(self.levels.gain, dtype=torch.float64)
        self.moves = gain, gain.sqrt()
        names = "actor critics cost_critics target_critics target_cost_critics actor_optim reward_optim cost_optim"
        self.parts = {n: getattr(self, n) for n in (*names.split(), "multiplier", "window")}

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: ends of chains with fresh noise, or of the chain from 0 without noise."""
        obs, shape = obs.to(self.device, self.dtype), (self.config.levels, obs.shape[1], self.spec.act_dim)
        if deterministic:
            return self.chain(obs, obs.new_zeros(self.runs, *shape))[0]
        return self.chain(obs, self.exploration(shape))[0]

    def chain(self, obs: Tensor, noise: Tensor) -> list[Tensor]:
        """The policy's actions [R, B, A] after every level's move, element 0 the one that it takes."""
        if self.boxed:
            return sampling.reverse(
                lambda action, k: self.actor(obs, action, k) * self.units[k], noise, self.levels, boxed=True
            )
        action, path = self.actor.chain(obs, noise, *self.moves)
        return [action, *path[1:]]

    def draw(self, batch_size: int) -> sampling.DiffusionDraws:
        """The random numbers of the next update."""
        config, step, actions = self.config, self.clock, self.spec.act_dim
        chain, samples = (config.levels, batch_size, actions), (batch_size, config.samples, actions)
        level = (self.uniforms((batch_size,), 3, step) * config.levels).long().clamp(max=config.levels - 1)
        return sampling.DiffusionDraws(
            next_chain=self.normals(chain, 1, step),
            chain=self.normals(chain, 2, step),
            level=level,
            forward=self.normals((batch_size, actions), 4, step),
            samples=(self.normals if config.score == "faithful" else self.uniforms)(samples, 5, step),
        )

    def update(self, batch: Batch) -> Metrics:
        """One gradient update: critics, policy, multiplier, and every `target_delay`-th time the targets."""
        batch, draws, config = batch.to(self.device, self.dtype), self.draw(batch.obs.shape[1]), self.config
        y, z = self.targets(batch, draws)
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim)
        metrics |= minimise(self.cost_loss(batch, z), self.cost_optim)
        replayed = metrics.pop("replayed")
        metrics |= minimise(self.actor_loss(batch, draws), self.actor_optim)
        if config.multiplier_rule == "replay":
            self.multiplier.ascend(replayed - self.budget)
        self.tick()
        if self.counters["updates"] % config.target_delay == 0:
            polyak_update(self.target_critics, self.critics, config.polyak)
            polyak_update(self.target_cost_critics, self.cost_critics, config.polyak)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, draws: sampling.DiffusionDraws) -> tuple[Tensor, Tensor]:
        """Targets of the reward critics [R, B], shared by both, and of the cost critics [R, E, B], one each."""
        tail = batch.tail(self.config.cost_gamma)
        action = self.chain(batch.next_obs, draws.next_chain)[0]
        value = self.target_critics(torch.cat([batch.next_obs, action], -1)).squeeze(-1).amin(1)  # [R, B]
        if tail.obs is not batch.next_obs:  # more than one step on
            action = self.chain(tail.obs, draws.next_chain)[0]
        cost = self.target_cost_critics(torch.cat([tail.obs, action], -1)).squeeze(-1)  # [R, E, B]
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * value
        return y, tail.cost.unsqueeze(1) + (tail.discount * (1 - tail.terminated)).unsqueeze(1) * cost

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - y)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], -1)).squeeze(-1)  # [R, 2, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {
            "Loss/Loss_reward_critic": loss.detach(),
            "Value/reward_critic": q.detach().mean((1, 2)),
            "Value/EnsembleSpread": q.detach().std(1, correction=0).mean(-1),
        }

    def cost_loss(self, batch: Batch, z: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_e mean_B (Qc_e(s, a) - z_e)² [R]; beside the metrics Qc of the replayed actions, for the multiplier."""
        q = self.cost_critics(torch.cat([batch.obs, batch.action], -1)).squeeze(-1)  # [R, E, B]
        loss = (q - z).square().mean(-1).sum(-1)
        replayed = pessimistic(q.detach(), self.config.cost_spread)[0].mean(-1)
        return loss, {"Loss/Loss_cost_critic": loss.detach(), "replayed": replayed}

    @torch.no_grad()
    def energy(self, obs: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_A [R, B, n], its gradient by the action [R, B, n, A] and Qc [R, B, n] at points [R, B, n, A]."""
        config, action = self.config, points.flatten(1, 2)
        around, multiplier = obs.repeat_interleave(points.shape[2], 1), self.multiplier.value.to(obs).unsqueeze(-1)
        q, pull = sampling.values_and_pullback(around, action, self.critics.group(), self.bf16)
        costs, cost_pull = sampling.values_and_pullback(around, action, self.cost_critics.group(), self.bf16)
        value, least = q.min(1, keepdim=True)
        cost, slope = pessimistic(costs, config.cost_spread)
        rho = config.rho if config.lagrangian == "augmented" else None
        penalty, price = penalty_and_slope(cost, self.budget, multiplier, rho)
        grad = pull(torch.zeros_like(q).scatter_(1, least, -1.0)) + cost_pull(price.unsqueeze(1) * slope)
        energy, grad, cost = (x.unflatten(1, points.shape[1:3]) for x in (penalty - value.squeeze(1), grad, cost))
        return energy, grad, cost

    def actor_loss(self, batch: Batch, draws: sampling.DiffusionDraws) -> tuple[Tensor, Metrics]:
        """mean_B L_A(s, a_0) through the chain (faithful) + score_weight mean_BA ((φ - φ*) / unit)² [R]."""
        with torch.set_grad_enabled(not self.boxed):
            path = self.chain(batch.obs, draws.chain)
        sigma, unit = (x[draws.level].unsqueeze(-1) for x in (self.sigma, self.unit))  # [R, B, 1]
        noisy, near = sampling.score_points(path, draws, sigma, self.boxed)
        points = torch.cat([near, path[0].detach().unsqueeze(2)], 2)  # the policy's own action is the last
        energy, grad, cost = self.energy(batch.obs, points)
        known = energy[:, :, :-1], grad[:, :, :-1], self.config.temperature
        boxed, free = sampling.boxed_score_target, sampling.score_target
        target = boxed(noisy, sigma, near, *known) if self.boxed else free(*known)
        error = (self.actor(batch.obs, noisy, draws.level) - target / unit).square().mean((1, 2))
        through = (grad[:, :, -1] * (path[0] - path[0].detach())).sum(-1)  # 0, with the energy's gradient by a_0
        loss = (energy[:, :, -1] + through).mean(-1) + self.config.score_weight * error
        values = {"Value/Energy": energy[:, :, -1].mean(-1), "Value/cost_critic": cost[:, :, -1].mean(-1)}
        return loss, values | {"Loss/Loss_pi": loss.detach(), "Loss/Loss_score": error.detach()}

    def record_episode(self, run: int, cost: float) -> None:
        self.window.append(run, cost)

    def after_env_steps(self, count: int) -> None:
        """Rule "episodes": λ <- [λ + lr (mean cost of the window - d)]_+ for each environment step."""
        super().after_env_steps(count)
        if isinstance(self.multiplier, Multiplier):
            self.multiplier.ascend(self.window.cvar(1.0) - self.config.cost_limit, count)

    def gauges(self) -> Metrics:
        return {"Metrics/LagrangeMultiplier": self.multiplier.value.clone()}
