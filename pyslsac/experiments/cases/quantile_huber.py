"""quantile_huber against the loss over all pairs in torch: written out, with torch's Huber loss, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import quantile_huber

SIZES = ((256, 32, 32), (1024, 32, 32), (1024, 64, 64), (4096, 64, 64))
PAIR = 9  # flops of a pair: difference, clamp, weight, two multiply-adds, a sum


def pairwise(pred: Tensor, target: Tensor, tau: Tensor) -> Tensor:
    """All pairs written out, the way implementations of IQN do it; kappa = 1."""
    delta = target.unsqueeze(-2) - pred.unsqueeze(-1)  # [B, N, M]
    huber = torch.where(delta.abs() <= 1, 0.5 * delta**2, delta.abs() - 0.5)
    weight = (tau.unsqueeze(-1) - (delta.detach() < 0).to(tau.dtype)).abs()
    return (weight * huber).mean(-1).sum(-1)


def pairwise_huber_loss(pred: Tensor, target: Tensor, tau: Tensor) -> Tensor:
    """The same with torch's own Huber loss."""
    pred, target = torch.broadcast_tensors(pred.unsqueeze(-1), target.unsqueeze(-2))  # [B, N, M]
    weight = (tau.unsqueeze(-1) - (target < pred.detach()).to(tau.dtype)).abs()
    return (weight * F.huber_loss(pred, target, reduction="none")).mean(-1).sum(-1)


def both(loss: Callable[..., Tensor], pred: Tensor, target: Tensor, tau: Tensor, ones: Tensor) -> tuple[Tensor, Tensor]:
    """Forward and backward: every row's loss, and its gradient by pred."""
    value = loss(pred, target, tau)
    return value, torch.autograd.grad(value, pred, ones.to(value.dtype))[0]


def forward(loss: Callable[..., Tensor], pred: Tensor, target: Tensor, tau: Tensor, ones: Tensor) -> Tensor:
    return loss(pred, target, tau)


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for dtype in (torch.float32, torch.bfloat16):
        for rows, n, m in ((64, 8, 8),) if quick else SIZES:
            pred = torch.randn(rows, n, device=device, dtype=dtype, requires_grad=True)
            target = torch.randn(rows, m, device=device, dtype=dtype)
            tau = torch.rand(rows, n, device=device, dtype=dtype)
            losses: dict[str, Callable[..., Tensor]] = {
                "quantile_huber": quantile_huber,
                "eager pairwise": pairwise,
                "eager pairwise, F.huber_loss": pairwise_huber_loss,
            }
            if not quick:
                losses["torch.compile of eager pairwise"] = torch.compile(pairwise, dynamic=False)
            args = pred, target, tau, torch.ones(rows, device=device)
            name, size = f"{rows} x {n} x {m}, {str(dtype).removeprefix('torch.')}", dtype.itemsize
            once = rows * ((3 * n + m) * size + 4)  # pred, target, tau; the loss, the gradient
            passes = {
                "forward + backward": (both, once + rows * (2 * n * size + 4), rows * n * (PAIR * m + 1)),
                "forward": (forward, once, rows * n * m * PAIR),
            }
            for title, (run, traffic, flops) in passes.items():
                rivals: dict[str, Call] = {rival: partial(run, loss, *args) for rival, loss in losses.items()}
                if title == "forward" and rows != SIZES[0][0] and not quick:
                    continue  # one size shows what backward adds
                yield Case(f"{name}, {title}", rivals, traffic=traffic, flops=flops, graph=True)
