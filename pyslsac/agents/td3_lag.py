"""TD3-Lag, TD3 under a Lagrange multiplier, as OmniSafe has it (Ji et al. 2024; Fujimoto et al. 2018).

Twin critics for the reward, one critic for the cost, a deterministic policy that pays multiplier · Q_c, and a
multiplier that follows the mean cost of recent training episodes. Facts are those of OmniSafe 0.5.0's code (O).

Deviations, and what is easily missed:
 1. The cost critic's target takes the present policy without noise, where the reward's takes the target policy with
    clipped noise.
 2. Gradients are clipped to norm 40, the actor's, the cost critic's and that of both twins together, each per run.
 3. The multiplier moves once an environment step. OmniSafe moves it once an update, of which there is one a step.
 4. It starts after 202,000 steps, when OmniSafe's epoch 101 begins, and follows the last 50 episodes: that is what the
    code keeps, and the 10 in its settings is read nowhere.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic,
Metrics/LagrangeMultiplier, Metrics/EpCostCVaR (at risk level 1, the mean).
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
from pyslsac.data import Batch, RunningNormalizer, Spec
from pyslsac.nn import Deterministic, Ensemble, frozen
from pyslsac.optim import Adam, Metrics, minimise, polyak_update
from pyslsac.safety import CostWindow, Multiplier, PIDMultiplier


@dataclass(frozen=True)
class TD3LagConfig(OffPolicyConfig):
    """O: OmniSafe's default."""

    start_steps: int = 25_000  # uniformly random steps before learning starts (O)

    width: int = 256  # units of each of the two hidden layers (O)
    gamma: float = 0.99  # reward discount (O)
    cost_gamma: float = 0.99  # cost discount (O)
    polyak: float = 0.005  # target smoothing rate (O)
    critic_lr: float = 3e-4  # Adam, reward and cost critics (O)
    critic_grad_norm: float = 40.0  # per run, of both twins together and of the cost critic (O)
    actor_lr: float = 3e-4  # Adam (O)
    actor_grad_norm: float = 40.0  # per run (O)
    policy_delay: int = 2  # updates per move of the actor and the targets (O)
    exploration_noise: float = 0.1  # standard deviation of the noise on actions in training (O)
    target_noise: float = 0.2  # standard deviation of the noise on the target's actions (O)
    target_noise_clip: float = 0.5  # bound of that noise (O)

    multiplier_init: float = 1e-3  # where it starts (O)
    multiplier_lr: float = 1e-5  # per environment step; 0 keeps the multiplier where it is (O)
    multiplier_max: float | None = None  # cap, none by default (O)
    multiplier_warmup: int = 202_000  # environment steps before it moves (O)
    multiplier_window: int = 50  # episodes whose mean cost it follows (O)
    multiplier_optimizer: Literal["sgd", "adam"] = "adam"  # Adam (O), or plain ascent
    cost_normalize: bool = False  # running (c - mean) / std on stored costs, which the multiplier does not see (O)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "policy_delay", "multiplier_window")
        check_range(self, 0, math.inf, "critic_grad_norm", "actor_grad_norm", "multiplier_warmup")
        check_range(self, 0, math.inf, "exploration_noise", "target_noise", "target_noise_clip")
        check_range(self, 0, 1, "gamma", "cost_gamma", "polyak")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults. `step`'s multiplier can rise by about 1 in 5,000 steps."""
    velocity = task is not None and "Velocity" in task
    step = dict(policy_delay=1, start_steps=2_000, multiplier_warmup=15_000)
    return {
        "omnisafe": dict(cost_normalize=velocity),
        "omnisafe-navigation": dict(actor_lr=5e-6, critic_lr=1e-3, multiplier_init=0.0, multiplier_lr=5e-7),
        "step": step | dict(multiplier_lr=2e-4, multiplier_window=10),
    }


class TD3Lag(Agent):
    """TD3 whose policy pays for the cost by a learned multiplier."""

    config: TD3LagConfig
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: TD3LagConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, sizes = self.runs, (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = Deterministic(runs, spec.obs_dim, spec.act_dim, config.width, **layers).to(**place)
        self.critics = Ensemble((runs, 2), sizes, **layers).to(**place)
        self.cost_critic = Ensemble((runs,), sizes, **layers).to(**place)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_cost_critic = copy.deepcopy(self.cost_critic).requires_grad_(False)

        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        self.reward_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        self.cost_optim = Adam(self.cost_critic.parameters(), lr=config.critic_lr)
        self.multiplier = self.make_multiplier()
        self.window = CostWindow(runs, config.multiplier_window)
        self.cost_normalizer = RunningNormalizer(runs)
        names = "actor critics cost_critic target_actor target_critics target_cost_critic actor_optim reward_optim"
        self.parts = {n: getattr(self, n) for n in (*names.split(), "cost_optim", "multiplier", "window")}
        self.parts["cost_normalizer"] = self.cost_normalizer

    def make_multiplier(self) -> Multiplier | PIDMultiplier:
        config = self.config
        rule: Any = dict(maximum=config.multiplier_max, optimizer=config.multiplier_optimizer, device=self.device)
        return Multiplier(self.runs, config.multiplier_init, config.multiplier_lr, **rule)

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1]: the policy's, or those with exploration noise."""
        obs = obs.to(self.device, self.dtype)
        if deterministic:
            return self.actor(obs)
        noise = self.exploration((obs.shape[1], self.spec.act_dim))
        return self.actor(obs, self.config.exploration_noise * noise)

    def draw(self, batch_size: int) -> Tensor:
        """The noise [R, B, A] on the target's actions in the next update, clipped."""
        noise = self.normals((batch_size, self.spec.act_dim), 1, self.clock)
        return (self.config.target_noise * noise).clamp(-self.config.target_noise_clip, self.config.target_noise_clip)

    def update(self, batch: Batch) -> Metrics:
        """One update, in OmniSafe's order."""
        batch, config = batch.to(self.device, self.dtype), self.config
        y, z = self.targets(batch, self.draw(batch.obs.shape[1]))
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim, grad_norm=config.critic_grad_norm)
        metrics |= minimise(self.cost_loss(batch, z), self.cost_optim, grad_norm=config.critic_grad_norm)
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            metrics |= minimise(self.actor_loss(batch), self.actor_optim, grad_norm=config.actor_grad_norm)
            polyak_update(self.target_critics, self.critics, config.polyak)
            polyak_update(self.target_cost_critic, self.cost_critic, config.polyak)
            polyak_update(self.target_actor, self.actor, config.polyak)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The critics' targets [R, B], with the target policy π̄ for the reward and the present one for the cost.

        y = r + gamma (1 - terminated) min_j Q̄_j(s', clip(π̄(s') + noise)),
        z = c + gamma_c (1 - terminated) Q̄_c(s', π(s')), `cost_steps` steps on.
        """
        tail = batch.tail(self.config.cost_gamma)
        x = torch.cat([batch.next_obs, self.target_actor(batch.next_obs, noise)], dim=-1)
        value = self.target_critics(x).squeeze(-1).amin(1)
        cost = self.target_cost_critic(torch.cat([tail.obs, self.actor(tail.obs)], dim=-1)).squeeze(-1)
        y = batch.reward + self.config.gamma * (1 - batch.terminated) * value
        return y, tail.cost + tail.discount * (1 - tail.terminated) * cost

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - y)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {"Loss/Loss_reward_critic": loss.detach(), "Value/reward_critic": q.detach().mean((1, 2))}

    def cost_loss(self, batch: Batch, z: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B (Q_c(s, a) - z)² [R]."""
        q = self.cost_critic(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, B]
        loss = (q - z).square().mean(-1)
        return loss, {"Loss/Loss_cost_critic": loss.detach()}

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """mean_B [-Q_1(s, π(s)) + multiplier Q_c(s, π(s))] / (1 + multiplier) [R]."""
        action = self.actor(batch.obs)
        with frozen(self.critics, self.cost_critic):
            value = self.critics(action, given=batch.obs).squeeze(-1)[:, 0]  # [R, B]
            cost = self.cost_critic(action, given=batch.obs).squeeze(-1)
        multiplier = self.multiplier.value.to(cost).unsqueeze(-1)
        loss = ((multiplier * cost - value) / (1 + multiplier)).mean(-1)
        return loss, {"Loss/Loss_pi": loss.detach(), "Value/cost_critic": cost.detach().mean(-1)}

    def record_episode(self, run: int, cost: float) -> None:
        self.window.append(run, cost)

    def after_env_steps(self, count: int) -> None:
        """The multiplier moves along mean cost of the window - d, for each environment step past the warm-up."""
        super().after_env_steps(count)
        steps = min(count, self.counters["env_steps"] - self.config.multiplier_warmup)
        if steps > 0:
            self.multiplier.ascend(self.window.cvar(1.0) - self.config.cost_limit, steps)

    def stored_cost(self, cost: Tensor) -> Tensor:
        return self.cost_normalizer(cost) if self.config.cost_normalize else cost

    def gauges(self) -> Metrics:
        """The multiplier, and the mean cost that drives it."""
        return {
            "Metrics/LagrangeMultiplier": self.multiplier.value.clone(),
            "Metrics/EpCostCVaR": self.window.cvar(1.0),
        }
