"""Langevin chains over actions: schedules, the best of several particles, and a loop for energies that are no critics.

A chain settles to the density ∝ exp(f / temperature), where f is what its gradient is of, up to a bias of the order of
the step size: on f = -κ/2 (a - m)² moves of one eps end with variance temperature / (κ (1 - eps κ / 4)).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyslsac.ops import Chain, QGroup, langevin_chain, langevin_step_
from pyslsac.ops._library import Number, schedule
from pyslsac.ops.reference.langevin_chain import reduce_weights


class Schedule(NamedTuple):
    """What changes from move to move."""

    step_size: Tensor  # [K, 1], or [K, R] where runs differ
    level: Tensor  # int64 [K]: the noise level of each move, so that `table[:, level]` is a group's step_bias

    @property
    def steps(self) -> int:
        return self.level.numel()


def constant(steps: int = 30, step_size: Number = 1e-4, device: torch.device | str | None = None) -> Schedule:
    """`steps` moves of one size, all at level 0. Defaults: LAC's. step_size: a number or a tensor, 0-dim or [R]."""
    size = torch.as_tensor(step_size, device=device)
    return Schedule(size.reshape(1, -1).expand(steps, -1), torch.zeros(steps, dtype=torch.int64, device=size.device))


def annealed(
    levels: int = 10,
    first: float = 0.1,
    last: float = 0.001,
    repeats: int = 2,
    step_size: Number = 1e-4,
    device: torch.device | str | None = None,
) -> Schedule:
    """`repeats` moves at each of `levels` noise levels, σ_l geometric from `first` to `last`. Defaults: NC-LQL's.

    eps_l = step_size · (σ_l / σ_last)²: the last level moves by step_size, the first by (first / last)² as much.
    """
    size = torch.as_tensor(step_size, device=device).reshape(1, -1)
    level = torch.arange(levels, device=size.device).repeat_interleave(repeats)
    ratio = (first / last) ** ((levels - 1 - level) / max(levels - 1, 1))  # σ_l / σ_last
    return Schedule(size * ratio.square().unsqueeze(1), level)


def sample(
    obs: Tensor,
    start: Tensor,
    groups: Sequence[QGroup],
    plan: Schedule,
    *,
    score: Callable[[list[Tensor]], Tensor] | None = None,
    **options: Any,
) -> Tensor:
    """Actions [R, B, A] at the ends of chains from `start`; of P chains an observation, the one with the best end.

    start: [R, B, A], or [R, B, P, A] for P particles. The best end has the greatest Σ_g coef_g reduce_g(Q), or the
    greatest score(values), values being the groups' Q [R, E, B P] there (NC-LQL: `lambda q: q[0].amin(1)`). obs
    [R, B, S]; the run axis may be left out of obs and start. options and errors: `langevin_chain`.
    """
    options = dict(options, steps=plan.steps, step_size=plan.step_size.to(start.device))
    if start.dim() == obs.dim():
        last = langevin_chain(obs, start, groups, **options)
        return last.action if isinstance(last, Chain) else last
    particles = start.size(-2)
    around = obs.unsqueeze(-2).expand(*obs.shape[:-1], particles, -1)  # [R, B, P, S]
    ends = langevin_chain(around.flatten(-3, -2), start.flatten(-3, -2), groups, values=True, **options)
    assert isinstance(ends, Chain) and ends.values is not None
    value = score(ends.values) if score else _climbed(groups, ends.values, plan.steps)  # [R, B P]
    best = value.unflatten(-1, (-1, particles)).argmax(-1)[..., None, None]  # [R, B, 1, 1]
    every = ends.action.unflatten(-2, (-1, particles))
    return every.gather(-2, best.expand(*best.shape[:-1], every.size(-1))).squeeze(-2)


def _climbed(groups: Sequence[QGroup], values: Sequence[Tensor], steps: int) -> Tensor:
    """Σ_g coef_g reduce_g(Q) after the last move."""
    total = torch.zeros((), device=values[0].device)
    for group, q in zip(groups, values, strict=True):
        stacked = q if q.dim() == 3 else q.unsqueeze(0)
        coef = schedule("sample", "coef", group.coef, steps, stacked.size(0), q.dtype).to(q.device)[-1]
        member = torch.as_tensor(group.member, device=q.device).expand(stacked.size(0))
        value = coef.unsqueeze(1) * (reduce_weights(stacked, group.reduce, member) * stacked).sum(1)
        total = total + (value if q.dim() == 3 else value.squeeze(0))
    return total


def climb(
    gradient: Callable[[Tensor, int], Tensor],
    start: Tensor,
    plan: Schedule,
    *,
    temperature: Number = 1.0,
    drift_scale: Number = 1.0,
    step: int | Tensor = 0,
    **options: Any,
) -> Tensor:
    """`start` after the plan's moves up gradient(action, k), which is of any log density, Q or minus an energy.

    start: [R, B, A] or [B, A], left alone. temperature and drift_scale: schedules as in `langevin_chain`; move k draws
    the noise of step + k. Other options (normalize, grad_cap, low, high, seed, stream) and errors: `langevin_step_`.
    """
    action, runs = start.detach().clone(memory_format=torch.contiguous_format), start.size(0) if start.dim() == 3 else 1
    wide = torch.float64 if start.dtype == torch.float64 else torch.float32
    numbers = {"step_size": plan.step_size.to(start.device), "temperature": temperature, "drift_scale": drift_scale}
    rows = {name: schedule("climb", name, x, plan.steps, runs, wide) for name, x in numbers.items()}  # [1 or K, 1 or R]
    for k in range(plan.steps):
        now: dict[str, Any] = {name: x[k if x.size(0) > 1 else 0] for name, x in rows.items()}
        langevin_step_(action, gradient(action, k), step=step + k, **now, **options)
    return action
