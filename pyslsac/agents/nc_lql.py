"""NC-LQL, noise-conditioned Langevin Q-learning (Ki et al. 2026, arXiv 2602.07873).

Twin critics Q(s, a, l) at noise levels l = 0..L-1, of which the last is clean; no actor. An action is where a Langevin
chain ends that starts uniformly in the box and climbs the twins' sum, from the coarsest level to the clean one. The
clean level learns by TD, the others learn what the clean one says of actions that noise has moved.

Deviations, and choices where the paper is silent (the steps cited are those of the authors' code):
 1. The gradient is normalised (as released), so Q's scale does not matter: a chain seeks the maximum, with a jitter of
    about √step_size a coordinate. `normalize=False` samples exp(drift_scale (Q1 + Q2)), and needs Q's scale known.
 2. The sampler has no mode: a deterministic action is a chain whose start and noise never change.
 3. Layers start as torch.nn.Linear does.
 4. `constrained` (ours, `safe-nc-lql`): twin cost critics trained alike; chains climb Σ Q_r - multiplier Σ Q_c. Rewards
    are stored times `reward_scale`, costs as they are: so the multiplier is in scaled rewards for a unit of cost.

Logged: Loss/Loss_reward_critic, Loss/Loss_level, Value/reward_critic.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from pyslsac.agents.base import STREAMS, Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Spec
from pyslsac.nn import NoiseConditioned
from pyslsac.ops import Chain, QGroup, langevin_chain
from pyslsac.optim import Adam, Metrics, minimise, polyak_update
from pyslsac.safety import CostWindow, Multiplier, check_risk_level
from pyslsac.sampling import annealed, sample

ACT, EVALUATE, TARGET, TAIL, LEVEL, PATH = range(0, 12, 2)  # noise streams: each is of a pair, starts and moves


@dataclass(frozen=True)
class NCLQLConfig(OffPolicyConfig):
    """C: the authors' code · R: our reconstruction."""

    start_steps: int = 30_000  # uniformly random steps before learning starts (C)
    updates_per_step: float = 0.2  # gradient updates per environment step: one for a step of five environments (C)
    reward_scale: float = 0.2  # rewards are multiplied by this before they are stored (C)

    width: int = 256  # units of each of the three hidden layers (C)
    levels: int = 10  # L, noise levels, the last one clean (C)
    sigma_max: float = 0.1  # noise of level 0 (C)
    sigma_min: float = 0.001  # noise of level L - 1, geometric in between (C)
    repeats: int = 2  # T, moves at each level (C)
    step_size: float = 1e-4  # of moves at the last level; others are larger by (sigma / sigma_min)² (C)
    drift_scale: float = 500.0  # w, what the gradient is multiplied by (C)
    normalize: bool = True  # each gradient is divided by its norm (C)
    particles: int = 1  # chains for an action, of which the best by the clean critics is kept (C)
    gamma: float = 0.99  # reward discount (C)
    polyak: float = 0.005  # target smoothing rate (C)
    critic_lr: float = 1e-4  # Adam, of both steps of an update (C)

    constrained: bool = False  # learn cost critics and a multiplier; the fields below are for that (R)
    cost_gamma: float = 0.99  # cost discount (R)
    risk_level: float = 1.0  # of the CVaR of episode costs that drives the multiplier; 1 is the mean (R)
    multiplier_init: float = 0.0  # in scaled rewards for a unit of cost, as all its fields (R)
    multiplier_lr: float = 2e-6  # per environment step: SL-SAC's 1e-5 times reward_scale (R)
    multiplier_max: float | None = None  # cap, none by default (R)
    multiplier_warmup: int = 100_000  # environment steps before it moves (R)
    multiplier_window: int = 10  # W, episodes (R)
    multiplier_optimizer: Literal["sgd", "adam"] = "sgd"  # plain ascent, or Adam (R)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_risk_level(self.risk_level)
        check_range(self, 1, math.inf, "width", "levels", "repeats", "particles")
        check_range(self, 0, math.inf, "sigma_max", "sigma_min", "step_size", "drift_scale")
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")
        if not 0 < self.sigma_min <= self.sigma_max:
            raise ValueError(f"sigma_min: got {self.sigma_min}, wanted a number in (0, sigma_max = {self.sigma_max}]")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, which are `paper`."""
    return {"paper": {}, "step": dict(start_steps=2_000, updates_per_step=1)}


class NCLQL(Agent):
    """Noise-conditioned twin critics and annealed Langevin actions; with `constrained` twins for the cost besides.

    C counts what is predicted: 1, the reward, or 2, the reward and the cost. The critics of both are one stack.
    """

    config: NCLQLConfig

    def __init__(self, spec: Spec, config: NCLQLConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, inputs, twins = self.runs, spec.obs_dim + spec.act_dim, 4 if config.constrained else 2
        sizes = (runs, twins), inputs, config.width, config.levels
        critics = NoiseConditioned(*sizes, generators=self.generators(), bf16=self.bf16)
        self.critics = critics.to(device=self.device, dtype=self.dtype)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.critic_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        size = torch.tensor(config.step_size, device=self.device, dtype=self.dtype)
        self.plan = annealed(config.levels, config.sigma_max, config.sigma_min, config.repeats, size)
        ratio = (config.sigma_min / config.sigma_max) ** (1 / max(config.levels - 1, 1))
        sigma = [config.sigma_max * ratio**level for level in range(config.levels)]
        self.sigma = torch.tensor(sigma, device=self.device, dtype=self.dtype)  # [L]
        rule: Any = dict(maximum=config.multiplier_max, optimizer=config.multiplier_optimizer, device=self.device)
        self.multiplier = Multiplier(runs, config.multiplier_init, config.multiplier_lr, **rule)
        self.window = CostWindow(runs, config.multiplier_window)
        names = ("critics", "target_critics", "critic_optim", *(("multiplier", "window") if config.constrained else ()))
        self.parts = {name: getattr(self, name) for name in names}

    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: ends of chains. Deterministic ones: row i's start and noise never change."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actions(obs, EVALUATE, 0)
        self.acts += 1
        return self.actions(obs, ACT, self.acts)

    @torch.no_grad()
    def actions(self, obs: Tensor, stream: int, count: int | Tensor) -> Tensor:
        """Ends [R, B, A] of chain number `count` of `stream` for obs [R, B, S]; of several particles the best end."""
        particles, dim = self.config.particles, self.spec.act_dim
        start = self.starts((obs.shape[1], dim) if particles == 1 else (obs.shape[1], particles, dim), stream, count)
        options = self.drift() | self.noise(stream, count)
        return sample(obs, start, self.groups(), self.plan, score=pessimistic, **options)

    @torch.no_grad()
    def path(self, obs: Tensor, count: int = 0) -> Tensor:
        """Where the chains of obs [R, B, S] go [R, moves + 1, B, A], starts first; other numbers, other chains."""
        obs, start = obs.to(self.device, self.dtype), self.starts((obs.shape[1], self.spec.act_dim), PATH, count)
        options = self.drift() | self.noise(PATH, count)
        schedule: Any = dict(steps=self.plan.steps, step_size=self.plan.step_size)
        chain = langevin_chain(obs, start, self.groups(), trajectory=True, **schedule, **options)
        assert isinstance(chain, Chain) and chain.path is not None
        return torch.cat([start.unsqueeze(1), chain.path], dim=1)

    def starts(self, shape: tuple[int, ...], stream: int, count: int | Tensor) -> Tensor:
        return 2 * self.uniforms(shape, stream, count) - 1

    def noise(self, stream: int, count: int | Tensor) -> dict[str, Any]:
        """Which noise chain number `count` draws: its moves have numbers of their own."""
        return dict(seed=self.noise_seed, step=count * self.plan.steps, stream=STREAMS + stream + 1)

    def drift(self) -> dict[str, Any]:
        """What becomes of the gradient before it moves an action."""
        config = self.config
        precision = "bf16" if config.precision == "bf16" else "fp32"
        return dict(normalize=config.normalize, drift_scale=config.drift_scale, precision=precision)

    def groups(self) -> list[QGroup]:
        """What chains climb: Q1 + Q2, or Σ Q_r - multiplier Σ Q_c, its factors taken into the output layers."""
        group = self.critics.group(self.plan.level, reduce="sum")
        if not self.config.constrained:
            return [group]
        price = self.multiplier.value.to(self.dtype).view(-1, 1, 1, 1).expand(-1, 2, -1, -1)
        factor = torch.cat([torch.ones_like(price), -price], dim=1)  # [R, 4, 1, 1]
        weights = [*group.weights[:-1], group.weights[-1] * factor]
        return [replace(group, weights=weights, biases=[*group.biases[:-1], group.biases[-1] * factor.squeeze(-1)])]

    def update(self, batch: Batch) -> Metrics:
        """One update, in the order of the authors' code; the same optimizer takes both steps."""
        batch, config = batch.to(self.device, self.dtype), self.config
        y, metrics = self.targets(batch)  # steps 1, 2
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1), config.levels - 1)  # [R, 2C, B]
        clean = pairs(q.detach()).mean(2)  # step 3: from before any move [R, C, B]
        metrics |= minimise(self.td_loss(q, y), self.critic_optim)  # step 4
        if config.levels > 1:
            level, noise = self.draw(batch.obs.shape[1])
            metrics |= minimise(self.level_loss(batch, clean, level, noise), self.critic_optim)  # step 5
        self.tick()
        polyak_update(self.target_critics, self.critics, config.polyak)  # step 6
        return metrics

    def draw(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Levels [R, B], uniform on 0..L-2, and standard normals [R, B, A] of the next update's step 5."""
        count, noisy = self.clock, self.config.levels - 1
        level = (noisy * self.uniforms((batch_size,), LEVEL, count)).long().clamp(max=noisy - 1)
        return level, self.normals((batch_size, self.spec.act_dim), LEVEL + 1, count)

    @torch.no_grad()
    def targets(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """TD targets [R, C, B], a' from a chain on the online critics, no entropy.

        r + γ (1 - terminated) min_j Q̄_j(s', a', L-1), and c + γ_c (1 - terminated) max_j Q̄_cj(s', a', L-1).
        """
        count = self.clock
        tail = batch.tail(self.config.cost_gamma)
        twins = self.target_values(batch.next_obs, self.actions(batch.next_obs, TARGET, count))  # [R, C, 2, B]
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * twins[:, 0].amin(1)
        if not self.config.constrained:
            return y.unsqueeze(1), {}
        if tail.obs is not batch.next_obs:  # more than one step on
            twins = self.target_values(tail.obs, self.actions(tail.obs, TAIL, count))
        cost = twins[:, 1].amax(1)  # [R, B]
        z = tail.cost + tail.discount * (1 - tail.terminated) * cost
        return torch.stack([y, z], dim=1), {"Value/cost_critic": cost.mean(-1)}

    def target_values(self, obs: Tensor, action: Tensor) -> Tensor:
        """The target critics' twins [R, C, 2, B] at the clean level."""
        return pairs(self.target_critics(torch.cat([obs, action], dim=-1), self.config.levels - 1))

    def td_loss(self, q: Tensor, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a, L-1) - y)² [R], over the twins of the reward and of the cost."""
        loss = (pairs(q) - y.unsqueeze(2)).square().mean(-1).sum(-1)  # [R, C]
        names = "Loss/Loss_reward_critic", "Loss/Loss_cost_critic"
        metrics = dict(zip(names, loss.detach().unbind(1), strict=False))
        return loss.sum(1), metrics | {"Value/reward_critic": q.detach()[:, :2].mean((1, 2))}

    def level_loss(self, batch: Batch, clean: Tensor, level: Tensor, noise: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a + σ_level noise, level) - clean)² [R]; the noisy action is not clipped.

        clean [R, C, B]: the twins' mean at (s, a, L-1). Its minimiser is E[clean | s, a + σ_level noise].
        """
        noisy = batch.action + self.sigma[level].unsqueeze(-1) * noise
        q = self.critics(torch.cat([batch.obs, noisy], dim=-1), level)  # [R, 2C, B]
        loss = (pairs(q) - clean.unsqueeze(2)).square().mean(-1).sum(-1)  # [R, C]
        return loss.sum(1), dict(
            zip(("Loss/Loss_level", "Loss/Loss_cost_level"), loss.detach().unbind(1), strict=False)
        )

    def record_episode(self, run: int, cost: float) -> None:
        self.window.append(run, cost)

    def after_env_steps(self, count: int) -> None:
        """multiplier <- [multiplier + lr (CVaR of the window - d)]_+ for each environment step past the warm-up."""
        super().after_env_steps(count)
        steps = min(count, self.counters["env_steps"] - self.config.multiplier_warmup)
        if self.config.constrained and steps > 0:
            self.multiplier.ascend(self.window.cvar(self.config.risk_level) - self.config.cost_limit, steps)

    def gauges(self) -> Metrics:
        """With `constrained`: the multiplier, and what drives it."""
        if not self.config.constrained:
            return {}
        cvar = self.window.cvar(self.config.risk_level)
        return {"Metrics/LagrangeMultiplier": self.multiplier.value.clone(), "Metrics/EpCostCVaR": cvar}


def pessimistic(values: list[Tensor]) -> Tensor:
    """By what the best of several ends is known [R, B]: min Q_r - multiplier max Q_c, of the group's values."""
    return pairs(values[0]).amin(2).sum(1)


def pairs(q: Tensor) -> Tensor:
    """[R, 2C, B] -> [R, C, 2, B]: the twins of the reward, then of the cost."""
    return q.unflatten(1, (-1, 2))
