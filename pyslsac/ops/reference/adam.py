"""Adam with gradients clipped by each run's norm, from torch's own parts: what `pyslsac::adam_` means."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, require


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
    decoupled: bool = False,
) -> None:
    """One step on every tensor of the lists; `pyslsac.ops.adam_` has the formulas."""
    check(params, {"grads": grads, "exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}, steps, runs)
    if math.isfinite(grad_norm):
        clip_runs([grad.view(runs, -1) for grad in grads], grad_norm)
    torch._foreach_add_(list(steps), 1)
    step = torch._fused_adamw_ if decoupled else torch._fused_adam_
    step(
        list(params), list(grads), list(exp_avgs), list(exp_avg_sqs), [], list(steps), lr=lr, beta1=beta1,
        beta2=beta2, eps=eps, weight_decay=weight_decay, amsgrad=False, maximize=maximize,
    )  # fmt: skip


def check(params: Sequence[Tensor], lists: Mapping[str, Sequence[Tensor]], steps: Sequence[Tensor], runs: int) -> None:
    """Refuse lists that do not fit together (csrc/bind/adam.cpp refuses the same): torch's kernel looks at no shape."""
    for name, tensors in ({**lists, "steps": steps}).items():
        require(len(tensors) == len(params), "adam_", name, f"{len(tensors)} long", str(len(params)))
    require(runs > 0, "adam_", "runs", runs, "at least 1")
    for param in params:
        fits = param.dtype == params[0].dtype and param.numel() % runs == 0
        require(fits, "adam_", "params", param, f"[runs, ...], all of one dtype, as {params[0].dtype}")
    for name, tensors in lists.items():
        for param, tensor in zip(params, tensors, strict=True):
            fits = tensor.dtype == param.dtype and tensor.shape == param.shape and tensor.device == param.device
            require(fits, "adam_", name, tensor, f"as params: {describe(param)}")
    for step in steps:
        fits = step.dtype == torch.float32 and step.numel() == 1
        require(fits, "adam_", "steps", step, "float32 of one element")
