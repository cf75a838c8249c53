"""Adam: one in-place step over a list of parameters, the clip of their gradients included."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import adam as reference

clip_runs = reference.clip_runs
COMPILED = (torch.float32, torch.float64)  # parameters of another dtype go to the reference

_op = _library.define(
    "adam_(Tensor(a!)[] params, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, "
    "Tensor(e!)[] steps, int runs, float lr, float beta1, float beta2, float eps, float weight_decay, "
    "float grad_norm, bool maximize, bool decoupled=False) -> ()",
    reference.adam_,
    lambda *args: None,
)


def adam_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_norm: float | None = None,
    runs: int = 1,
    maximize: bool = False,
    decoupled: bool = False,
) -> None:
    """Move `params` one step of Adam in place, with their moments, step counts and, where they are clipped, gradients.

    grad ← grad · min(1, grad_norm / (norm + 10⁻⁶));   t ← t + 1;   g = ±grad + weight_decay θ
    m ← m + (1-β₁)(g - m);   v ← β₂ v + (1-β₂) g²;   θ ← θ - lr / (1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + eps)

    Decoupled, weight_decay takes lr weight_decay θ from θ beside the step instead (AdamW). The numbers are those of
    torch.nn.utils.clip_grad_norm_ and torch.optim.Adam or AdamW(fused=True), but for rounding.

    params, grads, exp_avgs, exp_avg_sqs: lists of tensors [runs, ...] of one dtype, alike in fours; steps: float32
    scalars, one a parameter, t before the step. grad_norm: of each run over all its tensors; None clips nothing. Norms
    add chunks of 4,096 in float64 in index order: neither threads, nor the runs beside one, nor a GPU (but for its pow)
    change a run's numbers. Compiled for float32 and float64; all else runs on torch's kernels. Raises RuntimeError
    where an argument does not fit. Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """
    if not params:
        return
    written = [list(tensors) for tensors in (params, grads, exp_avgs, exp_avg_sqs, steps)]
    dense = [[t.contiguous() for t in tensors] for tensors in written]
    op: Callable[..., None] = _op if params[0].dtype in COMPILED else reference.adam_
    op(*dense, runs, lr, *betas, eps, weight_decay, math.inf if grad_norm is None else grad_norm, maximize, decoupled)
    for before, after in zip(written, dense, strict=True):
        for tensor, copy in zip(before, after, strict=True):
            if copy is not tensor:
                tensor.copy_(copy)
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(written[0])
