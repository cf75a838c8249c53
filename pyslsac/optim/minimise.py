"""One step of an optimizer on losses that are stacked over runs."""

from __future__ import annotations

import torch
from torch import Tensor

from pyslsac.ops.adam import clip_runs
from pyslsac.optim.adam import Adam

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
    if isinstance(optimizer, Adam):
        optimizer.step(grad_norm=grad_norm)
        return metrics
    if grad_norm is not None:
        clip_runs([p.grad for p in parameters if p.grad is not None], grad_norm)
    optimizer.step()
    return metrics
