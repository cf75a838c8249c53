"""TD3, twin delayed deterministic policy gradients without a cost, as OmniSafe has it (Fujimoto et al. 2018).

What an agent earns that no limit holds: the ceiling for the others. Facts are those of OmniSafe 0.5.0's code (O).

Deviations: gradients are clipped to norm 40, the actor's and that of both twins together, each per run (O); Fujimoto et
al. clip none.

Logged: Loss/Loss_reward_critic, Loss/Loss_pi, Value/reward_critic.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyslsac.agents.base import Agent, Device, OffPolicyConfig, check_range
from pyslsac.data import Batch, Spec
from pyslsac.nn import Deterministic, Ensemble, frozen
from pyslsac.optim import Adam, Metrics, minimise, polyak_update


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """O: OmniSafe's default."""

    start_steps: int = 25_000  # uniformly random steps before learning starts (O)

    width: int = 256  # units of each of the two hidden layers (O)
    gamma: float = 0.99  # reward discount (O)
    polyak: float = 0.005  # target smoothing rate (O)
    critic_lr: float = 3e-4  # Adam (O)
    critic_grad_norm: float = 40.0  # per run, of both twins together (O)
    actor_lr: float = 3e-4  # Adam (O)
    actor_grad_norm: float = 40.0  # per run (O)
    policy_delay: int = 2  # updates per move of the actor and the targets (O)
    exploration_noise: float = 0.1  # standard deviation of the noise on actions in training (O)
    target_noise: float = 0.2  # standard deviation of the noise on the target's actions (O)
    target_noise_clip: float = 0.5  # bound of that noise (O)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "width", "policy_delay")
        check_range(self, 0, math.inf, "critic_grad_norm", "actor_grad_norm")
        check_range(self, 0, math.inf, "exploration_noise", "target_noise", "target_noise_clip")
        check_range(self, 0, 1, "gamma", "polyak")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults. The task makes no difference."""
    return {
        "omnisafe": {},
        "omnisafe-navigation": dict(actor_lr=5e-6, critic_lr=1e-3),
        "step": dict(policy_delay=1, start_steps=2_000),
    }


class TD3(Agent):
    """Twin critics with smoothed targets and a deterministic policy that follows the first of them."""

    config: TD3Config
    periods = ("policy_delay",)

    def __init__(self, spec: Spec, config: TD3Config, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        runs, sizes = self.runs, (spec.obs_dim + spec.act_dim, config.width, config.width, 1)
        place: Any = dict(device=self.device, dtype=self.dtype)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        self.actor = Deterministic(runs, spec.obs_dim, spec.act_dim, config.width, **layers).to(**place)
        self.critics = Ensemble((runs, 2), sizes, **layers).to(**place)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        self.reward_optim = Adam(self.critics.parameters(), lr=config.critic_lr)
        names = "actor critics target_actor target_critics actor_optim reward_optim"
        self.parts = {name: getattr(self, name) for name in names.split()}

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
        y = self.targets(batch, self.draw(batch.obs.shape[1]))
        metrics = minimise(self.reward_loss(batch, y), self.reward_optim, grad_norm=config.critic_grad_norm)
        self.tick()
        if self.counters["updates"] % config.policy_delay == 0:
            metrics |= minimise(self.actor_loss(batch), self.actor_optim, grad_norm=config.actor_grad_norm)
            polyak_update(self.target_critics, self.critics, config.polyak)
            polyak_update(self.target_actor, self.actor, config.polyak)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, noise: Tensor) -> Tensor:
        """y = r + gamma (1 - terminated) min_j Q̄_j(s', clip(π̄(s') + noise)) [R, B]."""
        x = torch.cat([batch.next_obs, self.target_actor(batch.next_obs, noise)], dim=-1)
        value = self.target_critics(x).squeeze(-1).amin(1)
        return batch.reward + self.config.gamma * (1 - batch.terminated) * value

    def reward_loss(self, batch: Batch, y: Tensor) -> tuple[Tensor, Metrics]:
        """Σ_j mean_B (Q_j(s, a) - y)² [R]."""
        q = self.critics(torch.cat([batch.obs, batch.action], dim=-1)).squeeze(-1)  # [R, 2, B]
        loss = (q - y.unsqueeze(1)).square().mean(-1).sum(-1)
        return loss, {"Loss/Loss_reward_critic": loss.detach(), "Value/reward_critic": q.detach().mean((1, 2))}

    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """-mean_B Q_1(s, π(s)) [R]."""
        with frozen(self.critics):
            q = self.critics(self.actor(batch.obs), given=batch.obs).squeeze(-1)  # [R, 2, B]
        loss = -q[:, 0].mean(-1)
        return loss, {"Loss/Loss_pi": loss.detach()}
