"""langevin_step_ against the same move in torch, eager and compiled, with torch's own noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from pyslsac.experiments.cases import NORMAL, Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import langevin_step_


def eager(action: Tensor, grad: Tensor, normalize: bool) -> None:
    """The move as one writes it in torch."""
    drift = grad / (grad.norm(dim=-1, keepdim=True) + 1e-8) if normalize else grad
    action.add_(drift, alpha=0.05).add_(torch.randn_like(action), alpha=0.1**0.5).clamp_(-1.0, 1.0)


def ours(action: Tensor, grad: Tensor, normalize: bool) -> None:
    langevin_step_(action, grad, step_size=0.1, normalize=normalize)


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    moves = {"langevin_step_": ours, "eager torch": eager}
    for shape in ((1, 256, 6),) if quick else ((1, 256, 6), (4, 256, 6), (1, 16384, 8), (1, 1 << 20, 8)):
        action, grad = torch.zeros(shape, device=device), torch.randn(shape, device=device)
        for normalize in (False, True):
            if not quick:
                moves["torch.compile of it"] = torch.compile(eager, dynamic=False)
            rivals: dict[str, Call] = {name: partial(f, action, grad, normalize) for name, f in moves.items()}
            flops = (NORMAL + 6 + 3 * normalize) * action.numel()  # drift, noise, two sums, clip; the norm
            name = f"[R, B, A] = {list(shape)}{', normalised gradient' * normalize}"
            yield Case(name, rivals, traffic=12 * action.numel(), flops=flops, graph=True)
