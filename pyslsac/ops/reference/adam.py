"""Adam with gradients clipped by each run's norm, from torch's own parts: what `pyslsac::adam_` means."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyslsac.ops.reference import require


def clip_runs(grads: Sequence[Tensor], grad_norm: float) -> Tensor:
    """Scale each run's slice of `grads` (leading axis R) in place to norm <= grad_norm; returns the old norms [R].

    scale = min(1, grad_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it, one norm a run.
    """
    norms = torch.cat([grad.flatten(1) for grad in grads], dim=1).norm(dim=1)  # [R]
    scale = (grad_norm / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(list(grads), [scale.view(-1, *[1] * (grad.dim() - 1)) for grad in grads])
    return norms


def adam_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    runs: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    grad_norm: float,
    maximize: bool,
) -> None:
    """One step on every tensor of the lists; `pyslsac.ops.adam_` has the formulas."""
    for param in params:
        require(param.dtype == params[0].dtype, "adam_", "params", param, f"all of one dtype, as {params[0].dtype}")
    if math.isfinite(grad_norm):
        clip_runs([grad.view(runs, -1) for grad in grads], grad_norm)
    torch._foreach_add_(list(steps), 1)
    torch._fused_adam_(
        list(params), list(grads), list(exp_avgs), list(exp_avg_sqs), [], list(steps), lr=lr, beta1=beta1,
        beta2=beta2, eps=eps, weight_decay=weight_decay, amsgrad=False, maximize=maximize,
    )  # fmt: skip
