"""CPO, constrained policy optimisation (Achiam et al. 2017, arXiv 1705.10528, Algorithm 1).

Each rollout gives one step of the policy: the one that promises the most return within a KL trust region and under a
cost limit, both to first order, found by conjugate gradients and shortened until it keeps what it promises. Where no
step in the trust region keeps the limit, the step lowers the cost and nothing else. Constants are those of OmniSafe
0.5.0, whose published runs take 1e7 steps.

Choices, and deviations from OmniSafe:
 1. How far the limit is exceeded, c = (J_C - d) / L with L the length of an episode, is a cost per step, as the cost
    surrogate mean_B ratio A_c is (so in Achiam's Safety Starter Agents). OmniSafe compares c = J_C - d with it, a
    thousand times as much in an episode of a thousand steps: its limit either does not bind or asks for recovery.
 2. The dual's ν is (r + ρ c) / s; OmniSafe's has -r in it, although its g is the gradient of what is maximised.
 3. The KL is that of the whole action; OmniSafe's line search and Fisher matrix take the mean over its components.
 4. The line search takes 15 tries; OmniSafe's default, but its CPO passes 20.
 5. The environments go on from one rollout to the next, the mean's last layer starts small, and the critics' Σ θ² is in
    neither the clipped gradient nor the logged losses, as in PPO-Lag.

Logged: Loss/Loss_reward_critic, Loss/Loss_cost_critic, Loss/Loss_pi, Loss/Loss_pi_cost, Value/reward_critic,
Value/cost_critic, Train/KL, Train/PolicyStd, Misc/OptimCase, Misc/AcceptanceStep, Misc/FinalStepNorm, Misc/Lambda_star,
Misc/Nu_star, Misc/Violation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyslsac.agents.base import OnPolicyAgent, OnPolicyConfig, check_range
from pyslsac.data import Estimates, Rollout
from pyslsac.nn import fisher_product, flat, unflat
from pyslsac.optim import Metrics, conjugate_gradient, mean_metrics, minimise_members
from pyslsac.safety import solve_step


@dataclass(frozen=True)
class CPOConfig(OnPolicyConfig):
    """O: OmniSafe's defaults."""

    iterations: int = 10  # passes of the critics over a rollout (O)
    batch_size: int = 128  # steps a minibatch of the critics (O)
    critic_lr: float = 1e-3  # Adam (O)
    target_kl: float = 0.01  # radius of the trust region (O)
    cg_steps: int = 15  # of conjugate gradients (O)
    cg_damping: float = 0.1  # added to the Fisher matrix's diagonal (O)
    search_steps: int = 15  # tries of the line search (O)
    search_decay: float = 0.8  # of the step from try to try (O)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "cg_steps", "search_steps")
        check_range(self, 1e-12, math.inf, "target_kl")
        check_range(self, 0, math.inf, "cg_damping")
        check_range(self, 0, 1, "search_decay")


def presets(task: str | None) -> dict[str, dict[str, Any]]:
    """Named settings: what each changes of the defaults, for any task."""
    return {"omnisafe": {}, "step": dict(steps_per_epoch=5_000, cost_window=10, log_std=-0.5)}


class CPO(OnPolicyAgent):
    """Trust region steps of the policy under a linearised cost limit, with recovery where the limit is out of reach."""

    config: CPOConfig

    def update(self, batch: Rollout) -> Metrics:
        """One step of the policy (Algorithm 1), then passes of the critics over the rollout."""
        config, steps = self.config, self.estimates(batch)
        metrics = self.move_policy(steps, self.violation(batch))
        seen: list[Metrics] = []
        for iteration in range(config.iterations):
            for part in self.shuffled(steps, iteration):
                loss = self.critic_loss(part)
                seen.append(minimise_members(loss, self.critic_optim, grad_norm=config.grad_norm))
        self.tick()
        return metrics | mean_metrics(seen) | {"Train/PolicyStd": self.actor.log_std.detach().exp().mean(-1)}

    def violation(self, rollout: Rollout) -> Tensor:
        """c = (J_C - d) / L [R], float64, by how much the cost of a step is over the limit.

        J_C is the mean cost of the last training episodes, and before any has ended the rollout's cost per step times
        L, the rollout's steps per ended episode or the horizon if that is less.
        """
        ended = rollout.ended.double().sum((1, 2)).clamp(min=1)
        length = (rollout.ended[0].numel() / ended).clamp(max=self.spec.horizon).to(self.device)
        cost = self.window.cvar(1.0).to(self.device)
        cost = torch.where(cost.isnan(), rollout.cost.double().mean((1, 2)).to(self.device) * length, cost)
        return (cost - self.config.cost_limit) / length

    def surrogates(self, steps: Estimates) -> tuple[Tensor, Tensor]:
        """mean_B ratio A_r and mean_B ratio A_c [R], ratio = π(a|s) / π_old(a|s)."""
        ratio = (self.actor.log_prob(steps.obs, steps.action) - steps.log_prob).exp()
        return (ratio * steps.reward_advantage).mean(-1), (ratio * steps.cost_advantage).mean(-1)

    def move_policy(self, steps: Estimates, violation: Tensor) -> Metrics:
        """Add the solution of eq. 11, shortened by the line search, to the policy's parameters."""
        config, parameters = self.config, list(self.actor.parameters())
        both = [surrogate.sum() for surrogate in self.surrogates(steps)]
        g, b = (flat(torch.autograd.grad(one, parameters, retain_graph=True)) for one in both)
        product = fisher_product(self.actor, steps.obs, config.cg_damping)
        x, p = (conjugate_gradient(product, gradient, config.cg_steps) for gradient in (g, b))  # H⁻¹g, H⁻¹b
        q, r, s = ((left * right).sum(-1) for left, right in ((g, x), (g, p), (b, p)))
        step = solve_step(q, r, s, violation, config.target_kl)
        direction = step.reward.to(g).unsqueeze(1) * x + step.cost.to(g).unsqueeze(1) * p
        metrics = self.search(steps, unflat(direction, parameters), violation, improve=step.case > 1)
        return metrics | {
            "Misc/OptimCase": step.case,
            "Misc/Lambda_star": step.radius_multiplier,
            "Misc/Nu_star": step.multiplier,
            "Misc/Violation": violation,
        }

    @torch.no_grad()
    def search(self, steps: Estimates, direction: list[Tensor], violation: Tensor, improve: Tensor) -> Metrics:
        """Go along `direction` as far as the KL, the cost and, where `improve` says so, the return allow.

        Tried are 1, search_decay, search_decay², ... of it. The surrogate cost may grow by what the limit leaves and
        must not grow where that is nothing. If no try is good the policy stays.
        """
        config, parameters = self.config, [*self.actor.parameters()]
        start, old = [parameter.clone() for parameter in parameters], self.actor(steps.obs)
        reward, cost = self.surrogates(steps)
        room = (-violation).clamp(min=0)
        sizes = [config.search_decay**attempt for attempt in range(config.search_steps)] + [0.0]
        for size in sizes:
            for parameter, first, change in zip(parameters, start, direction, strict=True):
                parameter.copy_(first + size * change)
            kl = self.actor.divergence(steps.obs, old).mean(-1)
            new_reward, new_cost = self.surrogates(steps)
            good = (kl <= config.target_kl) & (new_cost - cost <= room) & (~improve | (new_reward >= reward))
            if good.all():
                break
        return {
            "Loss/Loss_pi": -new_reward,
            "Loss/Loss_pi_cost": new_cost,
            "Train/KL": kl,
            "Misc/AcceptanceStep": torch.full_like(kl, sizes.index(size) + 1 if size else 0),
            "Misc/FinalStepNorm": size * flat(direction).norm(dim=-1),
        }
