"""A whole chain of Langevin moves up ensembles of Q-perceptrons, and the action gradient that it climbs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops._library import Number, schedule
from pyslsac.ops.reference import langevin_chain as reference


def _fake(obs: Tensor, action: Tensor, weights: list[Tensor], *rest) -> tuple[Tensor, Tensor, Tensor]:
    layers, steps, path, values = rest[2], rest[8], rest[-2], rest[-1]
    firsts = [sum(layers[:i]) for i in range(len(layers))]
    members = sum(weights[first].size(1) for first in firsts)
    runs, batch, dim = action.shape
    return (
        torch.empty_like(action),
        action.new_empty((runs, steps, batch, dim) if path else 0),
        action.new_empty((runs, members, batch) if values else 0),
    )


_chain = _library.define(
    "langevin_chain(Tensor obs, Tensor action, Tensor[] weights, Tensor[] biases, Tensor[] step_biases, int[] layers, "
    "int[] activations, int[] reduces, Tensor[] coefs, Tensor[] members, Tensor[] prior, int steps, Tensor step_size, "
    "Tensor temperature, Tensor drift_scale, bool normalize, float grad_cap, bool cap_per_run, float low, float high, "
    "Tensor seed, Tensor step, int stream, bool bf16, bool drift_only, bool path, bool values) "
    "-> (Tensor, Tensor, Tensor)",
    reference.langevin_chain,
    _fake,
)


@dataclass(frozen=True)
class QGroup:
    """An ensemble of E critics of one shape for each of R runs, and how their values become one.

    weights: one tensor a layer, [R, E, in, out]: 2 or 3 hidden layers of one width, then a layer with out = 1. Layer
    1's rows are observation, then action. biases: [R, E, out]. activation: "relu", "silu", "gelu" (with erf), "mish"
    or "tanh". reduce: "mean", "sum", "min", "max", "pair_min_mean" (the mean over twins 2i, 2i + 1 of the least of
    each) or "member" (the one numbered `member`, an integer or int64 [R]); where members tie, the first counts.
    coef: what the reduced value is multiplied by; a number or a tensor, as the schedules of `langevin_chain`.
    step_bias: [R, K, E, width], added to layer 1 before its activation at move k (the embedding of a noise level).
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activation: str = "relu"
    reduce: str = "min"
    coef: Number = 1.0
    step_bias: Tensor | None = None
    member: int | Tensor = 0


class Chain(NamedTuple):
    """A chain's last actions, and what was asked for besides."""

    action: Tensor  # [R, B, A]
    path: Tensor | None  # [R, K, B, A], after each move
    values: list[Tensor] | None  # of each group, [R, E, B] at the last actions


def _index(name: str, value: str, names: Sequence[str]) -> int:
    if value not in names:
        raise ValueError(f"langevin_chain: {name} is {value!r}; wanted one of {', '.join(names)}")
    return list(names).index(value)


def _run(
    obs: Tensor,
    action: Tensor,
    groups: Sequence[QGroup],
    steps: int = 1,
    numbers: tuple[Number, Number, Number] = (0.0, 0.0, 0.0),
    limits: tuple[bool, float, bool, float, float] = (False, math.inf, False, -1.0, 1.0),
    prior: tuple[Number, Number] | None = None,
    noise: tuple[int | Tensor, int | Tensor, int] = (0, 0, 0),
    precision: str = "fp32",
    drift_only: bool = False,
    path: bool = False,
    values: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The op on flat lists, with the run axis that may have been left out."""
    if obs.dim() == 2 and action.dim() == 2:
        obs, action = obs.unsqueeze(0), action.unsqueeze(0)
    runs, dtype = action.size(0), action.dtype
    seed, step, stream = noise
    names = ("step_size", "temperature", "drift_scale")
    step_size, temperature, drift_scale = (
        schedule("langevin_chain", name, value, steps, runs, dtype) for name, value in zip(names, numbers, strict=True)
    )
    with torch.no_grad():
        around = [
            x.to(dtype).expand_as(action) if isinstance(x, Tensor) else torch.full_like(action, x) for x in prior or ()
        ]
        return (_chain if dtype == torch.float32 else reference.langevin_chain)(
            obs.contiguous(),
            action.contiguous(),
            [x.contiguous() for group in groups for x in group.weights],
            [x.contiguous() for group in groups for x in group.biases],
            [obs.new_empty(0) if group.step_bias is None else group.step_bias.contiguous() for group in groups],
            [len(group.weights) for group in groups],
            [_index("activation", group.activation, list(reference.ACTIVATIONS)) for group in groups],
            [_index("reduce", group.reduce, reference.REDUCES) for group in groups],
            [schedule("langevin_chain", "coef", group.coef, steps, runs, dtype) for group in groups],
            [_library.per_run(group.member, torch.int64) for group in groups],
            [x.contiguous() for x in around],
            steps,
            step_size,
            temperature,
            drift_scale,
            *limits,
            _library.seed_tensor(seed),
            _library.per_run(step, torch.int64),
            stream,
            _index("precision", precision, ("fp32", "bf16")) == 1,
            drift_only,
            path,
            values,
        )


def langevin_chain(
    obs: Tensor,
    action: Tensor,
    groups: Sequence[QGroup],
    *,
    steps: int = 30,
    step_size: Number = 1e-4,
    temperature: Number = 1.0,
    drift_scale: Number = 1.0,
    normalize: bool = False,
    grad_cap: float | None = None,
    grad_cap_scope: Literal["sample", "run"] = "sample",
    prior: tuple[Number, Number] | None = None,
    low: float = -1.0,
    high: float = 1.0,
    seed: int | Tensor = 0,
    step: int | Tensor = 0,
    stream: int = 0,
    precision: Literal["fp32", "bf16"] = "fp32",
    trajectory: bool = False,
    values: bool = False,
) -> Tensor | Chain:
    """`action` after `steps` = K moves of `langevin_step` up the gradient of Q-perceptrons and a Gaussian prior.

        drift_k(a) = Σ_g coef_g ∇_a reduce_g( Q_e(obs, a), e in group g )  [ + (mean - a) / std²,  prior = (mean, std) ]
        a ← langevin_step(a, drift_k(a), step_size, ..., step=step + k),   k = 0 .. K - 1

    Scale, normalisation, cap, box, noise and stream are those of `langevin_step_`, which K calls of with the gradient
    from autograd equal. Returns a_K, or with `trajectory` or `values` a `Chain`.

    obs [R, B, S], action [R, B, A]; with weights of one run [B, S] and [B, A] do, and results then lack the run axis
    too. prior: two tensors that broadcast to action, or numbers. step_size, temperature, drift_scale and coef: numbers
    or tensors: 0-dim, [R] for the runs, [K] for the moves, [K, R] with an axis of length 1 where nothing changes. seed:
    an integer or int64 [R]; step: an integer or int64 of one element. Tensors on the device are read there, so that a
    captured graph sees what they hold when it is replayed.

    precision: "fp32", or "bf16": the products of hidden layers with hidden layers in bfloat16, summed in float32; the
    first and the last layer, actions and noise stay float32. float32 runs compiled; float64 on the reference. Not
    differentiable, `action` is left alone. With `normalize`, Q's scale no longer matters: the chain then seeks
    the maximum, with jitter of √step_size, and samples no law.
    Raises RuntimeError naming what does not fit, and ValueError for an unknown name or a schedule whose one axis may
    mean both moves and runs.
    Sources: Lei et al. 2024 (LAC), Ki et al. 2026 (NC-LQL).
    """
    scopes = ("sample", "run")
    limits = (normalize, math.inf if grad_cap is None else float(grad_cap))
    scope = _index("grad_cap_scope", grad_cap_scope, scopes) == 1
    last, path, q = _run(
        obs,
        action,
        groups,
        steps,
        (step_size, temperature, drift_scale),
        (*limits, scope, low, high),
        prior,
        (seed, step, stream),
        precision,
        path=trajectory,
        values=values,
    )
    stacked = action.dim() == 3
    if not (trajectory or values):
        return last if stacked else last.squeeze(0)
    each = list(q.split([group.weights[0].size(1) for group in groups], 1)) if values else []
    if not stacked:
        last, path, each = last.squeeze(0), path.squeeze(0) if trajectory else path, [x.squeeze(0) for x in each]
    return Chain(last, path if trajectory else None, each if values else None)


def action_grad(
    obs: Tensor, action: Tensor, groups: Sequence[QGroup], precision: Literal["fp32", "bf16"] = "fp32"
) -> Tensor:
    """Σ_g coef_g ∇_a reduce_g(Q) at (obs, action), shaped as action (arguments and errors: `langevin_chain`)."""
    return _run(obs, action, groups, precision=precision, drift_only=True)[0].reshape(action.shape)
