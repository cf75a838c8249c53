"""LAC, Langevin actor-critic (Lei et al. 2024, Langevin Policy for Safe Reinforcement Learning, ICML).

The optimal constrained update of a policy is an energy-based law. Langevin chains sample it at the next states, from a
Gaussian generator's actions on. Critics learn from the chains' ends; the generator is fitted to them and alone acts.

Deviations, and choices where paper and code differ:
 1. The replay keeps raw observations; they, final ones among them, are normalised with the moments of the time when
    they are used, which are those of all that was acted on. The released code stores normalised observations.
 2. Time-outs bootstrap; the released code stores them as ends. With `cost_gamma=1` a task that never ends has then no
    fixed cost: Q_C creeps up by about polyak times the mean cost per update, little in the paper's few passes. Preset
    `step`, with an update per step, therefore discounts costs by 0.99 everywhere.
 3. `kl_coef` is the paper's 1e-3 (the code's default: 1e-4); the cap on the multiplier is in the code alone.
 4. Learning rates do not decay (the code's go linearly to one half), and the generator learns from the first pass on
    (the code's from the second).

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi (-log π at the chains' ends), Value/reward_critic,
Value/cost_critic, Langevin/Distance, Metrics/LagrangeMultiplier, Metrics/MultiplierMax.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac import ops
from pyslsac.agents.base import STREAMS, Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, RunningNormalizer, Spec
from pyslsac.nn import Ensemble, Gaussian
from pyslsac.optim import Adam, Metrics, minimise, polyak_update
from pyslsac.safety import Means, Multiplier


@dataclass(frozen=True)
class LACConfig(OffPolicyConfig):
    """S: the paper (its Safety-Gymnasium settings) · C: the authors' code."""

    buffer_size: int = 50_000  # transitions kept (S)
    start_steps: int = 100_000  # uniformly random steps, five iterations (C)
    iteration_steps: int = 20_000  # environment steps between passes over the replay; 0: single updates (S)
    reward_scale: float = 10.0  # rewards are multiplied by this before they are stored (C)

    width: int = 256  # units of each of the critics' three hidden layers (S)
    generator_width: int = 256  # units of each of the generator's two hidden layers (S)
    gamma: float = 0.99  # reward discount (S)
    cost_gamma: float = 1.0  # cost discount (S)
    polyak: float = 0.005  # target smoothing rate (C)
    critic_lr: float = 3e-4  # Adam, reward and cost critics (S)
    generator_lr: float = 3e-4  # Adam (S)
    generator_grad_norm: float = 40.0  # per run (C)
    generator_kl: float = 0.0  # weight of KL(generator || target generator) in the generator's loss (S)
    obs_normalize: bool = True  # running (obs - mean) / std, clipped at 5 (C)

    chain_steps: int = 30  # T, Langevin moves (S)
    step_size: float = 1e-4  # of a move (S)
    temperature: float = 1.0  # of the chain; 0 leaves the noise out (S)
    kl_coef: float = 1e-3  # the energy is (multiplier Q_C - Q_R) / kl_coef - log π (S)
    grad_cap: float | None = 1000.0  # greatest norm of the energy's gradient (C)
    grad_cap_scope: Literal["run", "sample"] = "run"  # one norm for a run's minibatch, or one per action (C)

    multiplier_init: float = 0.0  # (S)
    multiplier_lr: float = 0.01  # per move (S)
    multiplier_interval: int = 20_000  # environment steps between its moves, an iteration (S)
    multiplier_max: float | Literal["auto"] | None = "auto"  # cap; auto: 2, then 2 |mean Q_R| / |mean Q_C| (C)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "generator_width", "chain_steps", "multiplier_interval")
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")
        check_range(self, 0, math.inf, "generator_kl", "step_size", "temperature", "multiplier_init", "multiplier_lr")
        optional = [name for name in ("grad_cap", "multiplier_max") if getattr(self, name) not in (None, "auto")]
        check_range(self, 1e-12, math.inf, "kl_coef", "generator_grad_norm", *optional)
        if self.grad_cap_scope not in ("run", "sample"):
            raise ValueError(f"grad_cap_scope: got {self.grad_cap_scope!r}, wanted 'run' or 'sample'")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, the paper's for navigation tasks but those with buttons."""
    name = task or ""
    paper: dict[str, Any] = {}
    if "Velocity" in name:
        paper = dict(start_steps=25_000, iteration_steps=5_000, cost_gamma=0.99, multiplier_interval=5_000)
    elif "Button" in name:
        paper = dict(chain_steps=50)
    step = dict(start_steps=2_000, iteration_steps=0, cost_gamma=0.99, multiplier_interval=2_000)
    return {"paper": paper, "step": paper | step}


class LAC(Agent):
    """Langevin chains on a constrained energy as policy, a Gaussian that learns to imitate them as actor."""

    config: LACConfig

    def __init__(self, spec: Spec, config: LACConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, width = self.runs, config.width
        sizes = (spec.obs_dim + spec.act_dim, width, width, width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.generator = Gaussian(runs, spec.obs_dim, spec.act_dim, config.generator_width, **layers).to(**place)
        self.critics = Ensemble((runs, 2), sizes, activation="mish", **layers).to(**place)
        self.cost_critics = Ensemble((runs, 2), sizes, activation="mish", **layers).to(**place)
        self.target_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critics = copy.deepcopy(self.cost_critics).requires_grad_(False)

        self.generator_optim = Adam(self.generator.parameters(), lr=config.generator_lr)
        self.reward_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        self.cost_optim = Adam(self.cost_critics.parameters(), lr=config.critic_lr)
        maximum = 2.0 if config.multiplier_max == "auto" else config.multiplier_max
        rule: Any = dict(maximum=maximum, device=self.device)
        self.multiplier = Multiplier(runs, config.multiplier_init, config.multiplier_lr, **rule)
        self.episode_costs = Means(runs)
        self.chain_values = Means(runs, 2, self.device)  # Q_R and Q_C of the target critics
        self.obs_normalizer = RunningNormalizer(runs, (spec.obs_dim,), device=self.device)
        names = "generator critics cost_critics target_generator target_critics target_cost_critics generator_optim"
        rest = "reward_optim cost_optim multiplier episode_costs chain_values obs_normalizer"
        self.parts = {name: getattr(self, name) for name in f"{names} {rest}".split()}

    def observe(self, obs: Tensor) -> None:
        if self.config.obs_normalize:
            self.obs_normalizer.take(obs.to(self.device))

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A]: the generator's samples, or its means, clipped to [-1, 1]."""
        action, std = self.generator(self.obs_normalizer.normalize(obs.to(self.device, self.dtype)))
        if not deterministic:
            action = action + std * self.exploration(action.shape[1:])
        return action.clamp(-1, 1)

    def normalized(self, batch: Batch) -> Batch:
        """The batch with every observation in it normalised, where the config wants that."""
        if not self.config.obs_normalize:
            return batch
        names = [name for name in ("obs", "next_obs", "tail_obs") if hasattr(batch, name)]
        return replace(batch, **{name: self.obs_normalizer.normalize(getattr(batch, name)) for name in names})

    def update(self, batch: Batch) -> Metrics:
        """One minibatch of an iteration's pass (Algorithm 1), a_T by Algorithm 2."""
        config, batch = self.config, self.normalized(batch.to(self.device, self.dtype))
        action, y, z, metrics = self.targets(batch)  # critics' targets at a_T, drawn at s'
        metrics |= minimise(self.critic_loss(self.critics, batch, y, "reward"), self.reward_optim)
        metrics |= minimise(self.critic_loss(self.cost_critics, batch, z, "cost"), self.cost_optim)
        loss = self.generator_loss(batch.next_obs, action)
        metrics |= minimise(loss, self.generator_optim, grad_norm=config.generator_grad_norm)  # eqs. 15, 16
        polyak_update(self.target_critics, self.critics, config.polyak)
        polyak_update(self.target_cost_critics, self.cost_critics, config.polyak)
        polyak_update(self.target_generator, self.generator, config.polyak)
        self.tick()
        return metrics

    @torch.no_grad()
    def chain(self, obs: Tensor, start: Tensor, prior: tuple[Tensor, Tensor], path: bool = False) -> Tensor:
        """a_T [R, B, A], or with `path` a_1 .. a_T [R, T, B, A]: a <- clip(a - step_size/2 ∇E + √step_size ξ, -1, 1).

        E(s, a) = (multiplier max_i Q_Ci(s, a) - min_i Q_Ri(s, a)) / kl_coef - log N(a; prior) (Algorithm 2), Q_R and
        Q_C the online critics, T = `chain_steps` moves from `start` on. prior: mean and standard deviation [R, B, A],
        or what broadcasts to that.
        """
        config = self.config
        reward = self.critics.group(reduce="min", coef=1 / config.kl_coef)
        coef = -self.multiplier.value.to(self.dtype).unsqueeze(0) / config.kl_coef  # [1, R]
        options: Any = {name: getattr(config, name) for name in ("step_size", "temperature", "grad_cap")}
        last = ops.langevin_chain(
            obs,
            start,
            [reward, self.cost_critics.group(reduce="max", coef=coef)],
            steps=config.chain_steps,
            grad_cap_scope=config.grad_cap_scope,
            prior=prior,
            seed=self.noise_seed,
            step=self.clock * config.chain_steps,
            stream=STREAMS + 2,
            precision="bf16" if config.precision == "bf16" else "fp32",
            trajectory=path,
            **options,
        )
        moves = last.path if isinstance(last, ops.Chain) else last
        assert moves is not None
        return moves

    @torch.no_grad()
    def targets(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Metrics]:
        """a_T at s' [R, B, A] and the targets [R, B] y = r + γ min_i Q'_Ri(s', a_T), z = c + γ_c max_i Q'_Ci(s', a_T).

        z looks `cost_steps` ahead; the chains for the states there run in the same call.
        """
        rows, tail = batch.obs.shape[1], batch.tail(self.config.cost_gamma)
        obs = batch.next_obs if tail.obs is batch.next_obs else torch.cat([batch.next_obs, tail.obs], dim=1)
        mean, std = self.target_generator(obs)
        start = mean + std * self.normals(mean.shape[1:], stream=1, step=self.clock)
        ends = self.chain(obs, start, (mean, std))
        action, tail_action = ends[:, :rows], ends[:, -rows:]  # the same where the tail is one step long
        reward_value = self.target_critics(torch.cat([batch.next_obs, action], dim=-1)).squeeze(-1).amin(1)  # [R, B]
        cost_value = self.target_cost_critics(torch.cat([tail.obs, tail_action], dim=-1)).squeeze(-1).amax(1)
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * reward_value
        z = tail.cost + tail.discount * (1 - tail.terminated) * cost_value
        means = torch.stack([reward_value.mean(-1), cost_value.mean(-1)], dim=-1)  # [R, 2]
        self.chain_values.add(means)
        metrics = {"Value/reward_critic": means[:, 0], "Value/cost_critic": means[:, 1]}
        return action, y, z, metrics | {"Langevin/Distance": (ends - start).norm(dim=-1).mean(-1)}

    def critic_loss(self, critics: Ensemble, batch: Batch, target: Tensor, kind: str) -> tuple[Tensor, Metrics]:
        """Σ_i mean_B (Q_i(s, a) - target)² [R] of the twins."""
        q = critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2, B]
        loss = (q - target.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {f"Loss/Loss_{kind}_critic": loss.detach()}

    def generator_loss(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B [ -log π(a_T|s') + generator_kl KL(π || π')(s') ] [R], π' the target generator (eqs. 15, 16)."""
        nll = -self.generator.log_prob(obs, action).mean(-1)
        metrics = {"Loss/Loss_pi": nll.detach()}
        if self.config.generator_kl == 0:
            return nll, metrics
        return nll + self.config.generator_kl * self.generator_divergence(obs).mean(-1), metrics

    def generator_divergence(self, obs: Tensor) -> Tensor:
        """KL(N(μ, σ²) || N(μ', σ'²)) = Σ_A [ log σ'/σ + (σ² + (μ - μ')²) / (2 σ'²) - 1/2 ] [R, B]."""
        with torch.no_grad():
            old_mean, old_std = self.target_generator(obs)
        mean, std = self.generator(obs)
        squares = (std.square() + (mean - old_mean).square()) / (2 * old_std.square())
        return ((old_std / std).log() + squares - 0.5).sum(-1)

    def record_episode(self, run: int, cost: float) -> None:
        self.episode_costs.add(cost, run)

    def after_env_steps(self, count: int) -> None:
        """multiplier <- clip(multiplier + lr (mean cost of the episodes since its last move - d), 0, cap) (eq. 14)."""
        config, before = self.config, self.counters["env_steps"] // self.config.multiplier_interval
        super().after_env_steps(count)
        if self.counters["env_steps"] // config.multiplier_interval > before:
            if config.multiplier_max == "auto":
                reward_value, cost_value = self.chain_values.take().abs().unbind(-1)
                self.multiplier.move_maximum(2 * reward_value / cost_value)
            self.multiplier.ascend(self.episode_costs.take().squeeze(-1) - config.cost_limit)

    def gauges(self) -> Metrics:
        """The multiplier, and its cap where it has one."""
        metrics = {"Metrics/LagrangeMultiplier": self.multiplier.value.clone()}
        if self.config.multiplier_max is not None:
            metrics["Metrics/MultiplierMax"] = self.multiplier.maximum.clone()
        return metrics
