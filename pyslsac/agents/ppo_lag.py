"""PPO-Lag, proximal policy optimisation with a Lagrange multiplier (Ray et al. 2019; Schulman et al. 2017).

A rollout is collected with one policy. Then the multiplier moves, and policy and critics take passes over the rollout
in minibatches, until the policy has gone far enough from the one that collected. Constants and choices are those of
OmniSafe 0.5.0, whose published runs take 1e7 steps.

Deviations from it:
 1. Learning rates do not decay; OmniSafe's for the policy falls linearly to 0 over the run.
 2. The environments go on from one rollout to the next; OmniSafe resets them, and the steps of unfinished episodes
    never enter its means. Both bootstrap where a rollout cuts an episode.
 3. The last layer of the policy's mean starts at a tenth of its usual size, as LAC's generator does.
 4. The critics' Σ θ² is left out of their logged losses and of the gradient whose norm is clipped; Adam adds its
    gradient.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Value/reward_critic, Value/cost_critic,
Metrics/LagrangeMultiplier, Train/KL, Train/StopIter, Train/PolicyStd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyslsac.agents.base import Device, OnPolicyAgent, OnPolicyConfig, check_range
from pyslsac.data import Estimates, Rollout, Spec
from pyslsac.optim import Adam, Metrics, mean_metrics, minimise, minimise_members
from pyslsac.safety import Multiplier


@dataclass(frozen=True)
class PPOLagConfig(OnPolicyConfig):
    """O: OmniSafe's defaults."""

    actor_lr: float = 3e-4  # Adam (O)
    clip: float = 0.2  # of the ratio of new and old density, around 1 (O)
    target_kl: float = 0.02  # KL from the old policy above which no further pass is taken (O)
    alpha: float = 0.0  # entropy coefficient (O)
    multiplier_init: float = 0.001  # (O)
    multiplier_lr: float = 0.035  # Adam, one move an update (O)
    multiplier_max: float | None = None  # cap (O)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 0, math.inf, "actor_lr", "clip", "target_kl", "alpha", "multiplier_init", "multiplier_lr")
        if self.multiplier_max is not None:
            check_range(self, 0, math.inf, "multiplier_max")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, for any task."""
    return {"omnisafe": {}, "step": dict(steps_per_epoch=5_000, cost_window=10, log_std=-0.5)}


class PPOLag(OnPolicyAgent):
    """Clipped policy gradient on rollouts, with a Lagrange multiplier that follows the cost of the last episodes."""

    config: PPOLagConfig

    def __init__(self, spec: Spec, config: PPOLagConfig, seeds: Sequence[int], device: Device = "cpu") -> None:
        super().__init__(spec, config, seeds, device)
        self.actor_optim = Adam(self.actor.parameters(), lr=config.actor_lr)
        rule: Any = dict(maximum=config.multiplier_max, optimizer="adam", device=self.device)
        self.multiplier = Multiplier(self.runs, config.multiplier_init, config.multiplier_lr, **rule)
        self.parts |= {"actor_optim": self.actor_optim, "multiplier": self.multiplier}

    def update(self, batch: Rollout) -> Metrics:
        """The multiplier's move, then passes over the rollout while the policy is within target_kl of the old one."""
        config, done = self.config, 0
        self.multiplier.ascend(self.window.cvar(1.0).to(self.device) - config.cost_limit)
        steps = self.estimates(batch)
        mean, std = self.actor(steps.obs)
        old, kl = (mean.detach(), std.detach()), torch.zeros_like(mean[:, 0, 0])
        seen: list[Metrics] = []
        while done < config.iterations and bool((kl <= config.target_kl).all()):  # a NaN ends it too
            for part in self.shuffled(steps, done):
                found = minimise_members(self.critic_loss(part), self.critic_optim, grad_norm=config.grad_norm)
                seen.append(found | minimise(self.actor_loss(part), self.actor_optim, grad_norm=config.grad_norm))
            with torch.no_grad():
                kl, done = self.actor.divergence(steps.obs, old).mean(-1), done + 1
        self.tick()
        metrics = mean_metrics(seen) | {"Train/KL": kl, "Train/StopIter": torch.full_like(kl, done)}
        return metrics | {"Train/PolicyStd": self.actor.log_std.detach().exp().mean(-1)}

    def actor_loss(self, steps: Estimates) -> tuple[Tensor, Metrics]:
        """-mean_B min(ratio A, clip(ratio, 1 - clip, 1 + clip) A) - alpha H(π) [R].

        A = (A_r - multiplier A_c) / (1 + multiplier), ratio = π(a|s) / π_old(a|s).
        """
        config, price = self.config, self.multiplier.value.to(self.dtype).unsqueeze(1)
        advantage = (steps.reward_advantage - price * steps.cost_advantage) / (1 + price)
        ratio = (self.actor.log_prob(steps.obs, steps.action) - steps.log_prob).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        loss = -torch.minimum(ratio * advantage, clipped * advantage).mean(-1)
        if config.alpha:
            loss = loss - config.alpha * (self.actor.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        return loss, {"Loss/Loss_pi": loss.detach()}

    def gauges(self) -> Metrics:
        """The multiplier."""
        return {"Metrics/LagrangeMultiplier": self.multiplier.value.clone()}
