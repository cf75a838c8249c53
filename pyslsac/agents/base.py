"""What every off-policy agent shares: its runs, seeds, counters, precision and state."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from pyslsac import ops
from pyslsac.data import Batch, Spec
from pyslsac.optim import Metrics

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
    precision: Precision = "fp32"  # bf16: hidden layers in bfloat16, weights, heads and losses in float32

    def __post_init__(self) -> None:
        check_range(self, 1, math.inf, "batch_size", "buffer_size", "cost_steps", "steps_per_epoch")
        check_range(self, 0, math.inf, "start_steps", "updates_per_step", "iteration_steps", "cost_limit")


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
    """

    config: Any

    def __init__(self, spec: Spec, config: Any, seeds: Sequence[int], device: Device = "cpu") -> None:
        self.spec, self.config, self.seeds = spec, config, [int(seed) for seed in seeds]
        self.device = torch.device(device)
        self.dtype = torch.float64 if config.precision == "fp64" else torch.float32
        self.compute = torch.bfloat16 if config.precision == "bf16" else self.dtype  # of hidden layers
        self.parts: dict[str, Part] = {}
        self.counters = {"updates": 0, "acts": 0, "env_steps": 0}
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

    def normals(self, shape: Sequence[int], stream: int, step: int) -> Tensor:
        """Standard normals [R, *shape]."""
        shape = (self.runs, *shape)
        return ops.philox_normal(
            shape, self.noise_seed, step, stream=STREAMS + stream, device=self.device, dtype=self.dtype
        )

    def uniforms(self, shape: Sequence[int], stream: int, step: int) -> Tensor:
        """Uniforms on (0, 1) [R, *shape]: normals through their own distribution function."""
        return torch.special.ndtr(self.normals(shape, stream, step))

    def observe(self, obs: Tensor) -> None:
        """Take note of the observations [R, n, S] that training is about to act on, at random or not."""

    def act(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [R, n, A] in [-1, 1] for observations [R, n, S]."""
        raise NotImplementedError

    def update(self, batch: Batch) -> Metrics:
        """One gradient update of every run; metrics are tensors [R]."""
        raise NotImplementedError

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
        return {"counters": dict(self.counters), "parts": map_runs(parts, torch.clone)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        missing, unknown = self.parts.keys() - state["parts"].keys(), state["parts"].keys() - self.parts.keys()
        if missing or unknown:
            raise ValueError(
                f"{type(self).__name__}: the saved state lacks {sorted(missing)} and brings {sorted(unknown)}: "
                "it was written by another algorithm or configuration"
            )
        self.counters = dict(state["counters"])
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


def map_runs(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a state in which `change` was applied to every tensor that is stacked by run."""
    if isinstance(state, Tensor):
        return change(state) if state.dim() else state.clone()
    if isinstance(state, dict):
        return {key: map_runs(value, change) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map_runs(value, change) for value in state)
    return state


def stack_runs(states: Sequence[Any]) -> Any:
    """One state of several runs from the states of single runs; what is common to the runs is taken from the first."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states)) if first.dim() else first
    if isinstance(first, dict):
        return {key: stack_runs([state[key] for state in states]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(stack_runs(values) for values in zip(*states, strict=True))
    return first
