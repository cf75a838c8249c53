"""One step of an optimizer on losses that are stacked over runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Metrics = dict[str, Tensor]


def minimise(
    objective: tuple[Tensor, Metrics], optimizer: torch.optim.Optimizer, *, grad_norm: float | None = None
) -> Metrics:
    """Move the optimizer's parameters, and nothing else, down `objective` = (loss [R], metrics); returns the metrics.

    Losses are summed over runs, so a run's gradient does not shrink with R. Only the optimizer's own parameters
    receive gradients: a loss may pass through other networks without freezing them. Gradients stay in place after
    the step. With `grad_norm` each run's gradient is clipped to that norm.
    """
    loss, metrics = objective
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    torch.autograd.backward(loss.sum(), inputs=parameters)
    if grad_norm is not None:
        clip_runs([p.grad for p in parameters if p.grad is not None], grad_norm)
    optimizer.step()
    return metrics


def clip_runs(grads: Sequence[Tensor], grad_norm: float) -> Tensor:
    """Scale each run's slice of `grads` (leading axis R) in place to norm <= grad_norm; returns the old norms [R].

    scale = min(1, grad_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it, one norm a run.
    """
    norms = torch.cat([grad.flatten(1) for grad in grads], dim=1).norm(dim=1)  # [R]
    scale = (grad_norm / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(list(grads), [scale.view(-1, *[1] * (grad.dim() - 1)) for grad in grads])
    return norms
