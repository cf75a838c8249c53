"""What agents share: runs, seeds, counters, precision and state; and what the on-policy ones among them share."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from pyslsac import ops
from pyslsac.data import Estimates, Rollout, RunningNormalizer, Spec, map_runs
from pyslsac.nn import Ensemble, Gaussian
from pyslsac.optim import Adam, Metrics
from pyslsac.safety import CostWindow

Device = torch.device | str
Precision = Literal["fp32", "bf16", "fp64"]
STREAMS = 1 << 16  # noise streams below this one belong to optimizers


@dataclass(frozen=True)
class OffPolicyConfig:
    """The fields that the trainer reads; an agent's own config adds to them."""

    batch_size: int = 256  # transitions per update and run (S)
    buffer_size: int = 1_000_000  # transitions kept (O)
    start_steps: int = 5_000  # uniformly random steps before learning starts (S)
    updates_per_step: float = 1  # gradient updates per environment step (S)
    iteration_steps: int = 0  # environment steps between passes over the replay, in place of single updates
    cost_steps: int = 1  # n of the cost critic's n-step targets
    steps_per_epoch: int = 2_000  # environment steps between log rows (S)
    cost_limit: float = 25.0  # d, on an episode's undiscounted cost (S)
    reward_scale: float = 1.0  # rewards are multiplied by this before they are stored
    precision: Precision = "fp32"  # bf16: hidden layers multiply in bfloat16; all else is float32

    def __post_init__(self) -> None:
        check_range(self, 1, math.inf, "batch_size", "buffer_size", "cost_steps", "steps_per_epoch")
        check_range(self, 0, math.inf, "start_steps", "updates_per_step", "iteration_steps", "cost_limit")


@dataclass(frozen=True)
class OnPolicyConfig:
    """The fields of every on-policy agent, of which the trainer reads the first three. O: OmniSafe's defaults."""

    steps_per_epoch: int = 20_000  # environment steps between updates, and between log rows (O)
    cost_limit: float = 25.0  # d, on an episode's undiscounted cost (O)
    precision: Precision = "fp32"  # bf16: hidden layers multiply in bfloat16; all else is float32
    cost_window: int = 50  # last training episodes whose mean cost is held against the limit (O)
    width: int = 64  # units of each network's two hidden layers (O)
    log_std: float = 0.0  # of the policy at the start (O)
    gamma: float = 0.99  # reward discount (O)
    cost_gamma: float = 0.99  # cost discount (O)
    gae_decay: float = 0.95  # λ of both generalised advantages (O)
    iterations: int = 40  # passes over a rollout, at most (O)
    batch_size: int = 64  # steps a minibatch (O)
    critic_lr: float = 3e-4  # Adam (O)
    critic_decay: float = 1e-3  # weight of Σ θ² in the critics' losses (O)
    grad_norm: float = 40.0  # per network (O)

    def __post_init__(self) -> None:
        check_range(self, 1, math.inf, "steps_per_epoch", "cost_window", "width", "iterations", "batch_size")
        check_range(self, 0, 1, "gamma", "cost_gamma", "gae_decay")
        check_range(self, 0, math.inf, "cost_limit", "critic_lr", "critic_decay", "grad_norm")


def check_range(config: object, low: float, high: float, *names: str) -> None:
    """ValueError unless each of the fields `names` of `config` lies in [low, high]."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high:
            wanted = f"at least {low}" if high == math.inf else f"a number in [{low}, {high}]"
            raise ValueError(f"{name}: got {value}, wanted {wanted}")


class Part(Protocol):
    """Anything with a state: a module, an optimizer, a multiplier."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Agent:
    """R independent runs in lockstep: the first axis of every tensor counts them.

    A subclass fills `self.parts` with whatever has a state, and gives `act`, `update` and `gauges`. Random numbers are
    pure functions of (a run's seed, a counter, a stream), so a run's numbers do not depend on the runs beside it.
    `update` may be recorded and replayed (train/graph.py): what changes from one update to the next it reads from
    tensors that keep their place, `periods` names the fields that say every how many updates it does more, and it
    ends with `tick`.
    """

    config: Any
    periods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: Spec, config: Any, seeds: Sequence[int], device: Device = "cpu") -> None:
        self.spec, self.config, self.seeds = spec, config, [int(seed) for seed in seeds]
        self.device = torch.device(device)
        self.dtype = torch.float64 if config.precision == "fp64" else torch.float32
        self.bf16 = config.precision == "bf16"  # what hidden layers multiply in
        self.parts: dict[str, Part] = {}
        self.counters = {"updates": 0, "env_steps": 0}
        self.clock = torch.zeros(1, dtype=torch.int64, device=self.device)  # the updates, where a graph sees them
        self.acts = torch.zeros_like(self.clock)  # that explored
        self.noise_seed = self.derived_seeds("noise")

    @property
    def runs(self) -> int:
        return len(self.seeds)

    def derived_seeds(self, purpose: str) -> Tensor:
        """One 63-bit seed a run [R], different for each purpose."""
        tag = list(purpose.encode())
        words = [int(np.random.SeedSequence([seed, *tag]).generate_state(1, np.uint64)[0]) for seed in self.seeds]
        return torch.tensor([word >> 1 for word in words], dtype=torch.int64, device=self.device)

    def generators(self) -> list[torch.Generator]:
        """One generator a run, for the initial weights."""
        return [torch.Generator().manual_seed(int(seed)) for seed in self.derived_seeds("weights")]

    def normals(self, shape: Sequence[int], stream: int, step: int | Tensor) -> Tensor:
        """Standard normals [R, *shape]."""
        shape = (self.runs, *shape)
        return ops.philox_normal(
            shape, self.noise_seed, step, stream=STREAMS + stream, device=self.device, dtype=self.dtype
        )

    def exploration(self, shape: Sequence[int]) -> Tensor:
        """Standard normals [R, *shape] of one more act, other ones at every call."""
        self.acts += 1
        return self.normals(shape, stream=0, step=self.acts)

    def uniforms(self, shape: Sequence[int], stream: int, step: int | Tensor) -> Tensor:
        """Uniforms on (0, 1) [R, *shape]: normals through their own distribution function."""
        return torch.special.ndtr(self.normals(shape, stream, step))

    def observe(self, obs: Tensor) -> None:
        """Take note of the observations [R, n, S] that training is about to act on, at random or not."""

    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1] for observations [R, n, S]."""
        raise NotImplementedError

    def update(self, batch: Any) -> Metrics:
        """One update of every run from a `Batch`, or on-policy from a `Rollout`; metrics are tensors [R]."""
        raise NotImplementedError

    def tick(self) -> None:
        """One more update is made."""
        self.counters["updates"] += 1
        self.clock += 1

    def kind(self, ahead: int = 0) -> tuple[bool, ...]:
        """Which of the `periods` end with the next update, or one `ahead` of it; one kind runs the same operators."""
        update = self.counters["updates"] + 1 + ahead
        return tuple(update % getattr(self.config, name) == 0 for name in self.periods)

    def gauges(self) -> Metrics:
        """Metrics that are read only when a row is logged, tensors [R]."""
        return {}

    def record_episode(self, run: int, cost: float) -> None:
        """Take note of the undiscounted cost of a training episode that has just ended."""

    def after_env_steps(self, count: int) -> None:
        """`count` environment steps of every run have been taken."""
        self.counters["env_steps"] += count

    def stored_cost(self, cost: Tensor) -> Tensor:
        """What the replay keeps for the costs [R, n] of a vector step."""
        return cost

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that is learned. Tensors with an axis are stacked by run on axis 0; the rest is common."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {"counters": self.counters | {"acts": int(self.acts)}, "parts": map_runs(parts, torch.clone)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        missing, unknown = self.parts.keys() - state["parts"].keys(), state["parts"].keys() - self.parts.keys()
        if missing or unknown:
            raise ValueError(
                f"{type(self).__name__}: the saved state lacks {sorted(missing)} and brings {sorted(unknown)}: "
                "it was written by another algorithm or configuration"
            )
        self.counters = {name: state["counters"][name] for name in self.counters}
        self.acts.fill_(state["counters"]["acts"])
        self.clock.fill_(self.counters["updates"])
        for name, part in self.parts.items():
            saved = copy.deepcopy(state["parts"][name])  # torch's optimizers keep what they are given
            for group, own in zip(saved.get("param_groups", ()), getattr(part, "param_groups", ()), strict=True):
                if "members" in own:
                    group["members"] = own["members"]  # the state may come from a stack of more runs
            part.load_state_dict(saved)

    def select(self, keep: Sequence[int]) -> Agent:
        """An agent of the runs `keep` alone, which go on exactly as they would have."""
        kept = type(self)(self.spec, self.config, [self.seeds[r] for r in keep], self.device)
        kept.load_state_dict(map_runs(self.state_dict(), lambda t: t[list(keep)]))
        return kept


class OnPolicyAgent(Agent):
    """One run of a Gaussian policy beside a critic V of the returns and one of the costs."""

    def __init__(self, spec: Spec, config: Any, seeds: Sequence[int], device: Device = "cpu") -> None:
        if len(seeds) != 1:
            name = type(self).__name__
            raise ValueError(f"{name} trains one seed, got {[*seeds]}: start a run for each, as pyslsac sweep does")
        super().__init__(spec, config, seeds, device)
        layers: Any = dict(generators=self.generators(), bf16=self.bf16)
        sizes, place = (spec.obs_dim, config.width, config.width, 1), (self.device, self.dtype)
        self.actor = Gaussian(1, spec.obs_dim, spec.act_dim, config.width, log_std=config.log_std, **layers).to(*place)
        self.critics = Ensemble((1, 2), sizes, activation="tanh", **layers).to(*place)  # of reward and cost
        self.critic_optim = Adam(self.critics.parameters(), lr=config.critic_lr, weight_decay=2 * config.critic_decay)
        self.window = CostWindow(1, config.cost_window)
        self.obs_normalizer = RunningNormalizer(1, (spec.obs_dim,), device=self.device)
        names = ("actor", "critics", "critic_optim", "window", "obs_normalizer")
        self.parts = {name: getattr(self, name) for name in names}

    def observe(self, obs: Tensor) -> None:
        self.obs_normalizer.take(obs.to(self.device))

    def normalized(self, obs: Tensor) -> Tensor:
        """Observations as the networks see them: running (obs - mean) / std, clipped at 5."""
        return self.obs_normalizer.normalize(obs.to(self.device, self.dtype))

    @torch.no_grad()
    def sample(self, obs: Tensor) -> Tensor:
        """Actions [R, n, A] drawn for normalised observations, and not clipped."""
        mean, std = self.actor(obs)
        return mean + std * self.exploration(mean.shape[1:])

    @torch.no_grad()
    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A]: the policy's samples, or its means, clipped to [-1, 1]."""
        obs = self.normalized(obs)
        return (self.actor(obs)[0] if deterministic else self.sample(obs)).clamp(-1, 1)

    def record_episode(self, run: int, cost: float) -> None:
        self.window.append(run, cost)

    @torch.no_grad()
    def estimates(self, rollout: Rollout) -> Estimates:
        """Advantages and targets by the present critics, and log densities under the present policy."""
        gammas, rollout = (self.config.gamma, self.config.cost_gamma), rollout.to(self.device, self.dtype)
        return rollout.estimates(self.actor.log_prob, self.critics, gammas, self.config.gae_decay)

    def shuffled(self, steps: Estimates, iteration: int) -> Iterator[Estimates]:
        """Minibatches of the rows in an order of chance."""
        number = self.counters["updates"] * self.config.iterations + iteration
        order = self.normals(steps.log_prob.shape[1:], stream=1, step=number).argsort(dim=-1)
        return steps.minibatches(order, self.config.batch_size)

    def critic_loss(self, steps: Estimates) -> tuple[Tensor, Metrics]:
        """mean_B (V_r(s) - target_r)² + mean_B (V_c(s) - target_c)² [R]."""
        values = self.critics(steps.obs).squeeze(-1).mT  # [R, B, 2]
        losses = (values - steps.targets).square().mean(1)  # [R, 2]
        both = torch.cat([losses, values.mean(1)], dim=1).detach().unbind(1)
        names = "Loss/Loss_reward_critic", "Loss/Loss_cost_critic", "Value/reward_critic", "Value/cost_critic"
        return losses.sum(1), dict(zip(names, both, strict=True))
