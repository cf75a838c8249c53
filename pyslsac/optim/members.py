"""One step of an optimizer on stacks of networks, each of which is clipped on its own."""

from __future__ import annotations

import torch
from torch import Tensor

from pyslsac.ops.adam import clip_runs
from pyslsac.optim.minimise import Metrics


def minimise_members(
    objective: tuple[Tensor, Metrics], optimizer: torch.optim.Optimizer, *, grad_norm: float
) -> Metrics:
    """`minimise` for parameters [R, E, ...]: each of a run's E networks has its gradient clipped to `grad_norm`."""
    loss, metrics = objective
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad()
    torch.autograd.backward(loss.sum(), inputs=parameters)
    clip_runs([p.grad.view(-1, *p.shape[2:]) for p in parameters if p.grad is not None], grad_norm)
    optimizer.step()
    return metrics
