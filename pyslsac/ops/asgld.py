"""Adaptive stochastic-gradient Langevin dynamics: one in-place step over a list of parameters, noise included."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import asgld as reference

VARIANTS, CLIPS, wide = reference.VARIANTS, reference.CLIPS, reference.wide
COMPILED = (torch.float32, torch.float64, torch.bfloat16)  # parameters of another dtype go to the reference

_op = _library.define(
    "asgld_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, "
    "Tensor(d!)[] residuals, Tensor(e!)[] targets, Tensor[] steps, Tensor seed, Tensor lr, Tensor temperature, "
    "Tensor? grad_scale, Tensor? found_inf, int[] streams, int[] offsets, int networks, float bias, float beta1, "
    "float beta2, float eps, float weight_decay, str variant, str clip, float clip_threshold, bool maximize, "
    "bool noise, float polyak) -> ()",
    reference.asgld_,
    lambda *args, **kwargs: None,
)


def asgld_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor] = (),
    exp_avg_sqs: Sequence[Tensor] = (),
    residuals: Sequence[Tensor] = (),
    targets: Sequence[Tensor] = (),
    *,
    steps: Sequence[Tensor],
    seed: int | Tensor,
    lr: float | Tensor,
    temperature: float | Tensor = 1e-16,
    bias: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    variant: str = "asgld",
    clip: str | None = "grad_norm",
    clip_threshold: float = 0.7,
    networks: int = 1,
    streams: Sequence[int] | None = None,
    offsets: Sequence[int] | None = None,
    maximize: bool = False,
    noise: bool = True,
    polyak: float = 0.005,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    fused: bool = True,
) -> None:
    """Move `params` one aSGLD step in place, with their moments, residuals and targets; `steps` are only read.

    g ← grad / grad_scale (negated to maximise), clipped;   m ← β₁ m + (1-β₁) g;   v ← β₂ v + (1-β₂) g²
    θ ← θ + δ,   δ = -lr (D + weight_decay θ) + √(2 lr temperature) S ξ,   ξ ~ N(0, I),   G = 1 / (√v + eps)
    target ← target + polyak (θ - target)

        variant                 D              S
        "asgld"                 g + bias G m   1
        "asgld-preconditioned"  G m            √G
        "psgld"                 G g            1
        "sgld"                  g              1

    clip: "grad_norm" bounds the L2 norm of g, "drift_norm" that of D, one norm a network over all its tensors;
    "drift_value" bounds each |D|; None clips nothing. Norms add chunks of 4,096 in float64 in index order.
    Without noise and residual θ moves by one fused multiply-add: with bias = 0 and clip = None it is torch.optim.SGD,
    bit for bit.

    params, grads: lists of tensors, alike in pairs; each splits evenly into `networks` networks and R = len(seed) runs.
    exp_avgs ("asgld*") and exp_avg_sqs (all but "sgld"): float64 for float64 parameters, else float32. residuals,
    targets: one a parameter, or none. A residual keeps what rounding θ lost.
    steps: int64 scalars, one a parameter. ξ of element i of a run is number offsets[p] + i of the Philox sequence
    (seed[r], steps[p], streams[p]); streams default to list positions. Where found_inf is not 0 nothing changes at all.
    fused=False runs the reference. Raises RuntimeError where an argument does not fit.

    Source: Kim, Song & Liang 2020, "Stochastic gradient Langevin dynamics with adaptive drifts"; Keswani et al. 2026,
    eqs. 3 and 37-41.
    """
    if not params:
        return
    compiled = fused and all(param.dtype in COMPILED for param in params)
    written = [list(tensors) for tensors in (params, exp_avgs, exp_avg_sqs, residuals, targets)]
    dense = [[t.contiguous() for t in tensors] for tensors in written]
    op: Callable[..., None] = _op if compiled else reference.asgld_
    op(
        dense[0], [g.contiguous() for g in grads], *dense[1:], list(steps), _library.seed_tensor(seed),
        _library.per_run(lr, torch.float64), _library.per_run(temperature, torch.float64), grad_scale, found_inf,
        list(range(len(params))) if streams is None else list(streams),
        [0] * len(params) if offsets is None else list(offsets), networks, bias, *betas, eps, weight_decay,
        variant, clip or "none", clip_threshold, maximize, noise, polyak,
    )  # fmt: skip
    for before, after in zip(written, dense, strict=True):
        for tensor, copy in zip(before, after, strict=True):
            if copy is not tensor:
                tensor.copy_(copy)
        if before and not torch.compiler.is_compiling():
            torch.autograd.graph.increment_version(before)
