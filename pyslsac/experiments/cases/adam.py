"""adam_ with a clipped norm against torch's clip_grad_norm_ and Adam, on the parameters of one agent's networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyslsac.experiments.cases import Case
from pyslsac.experiments.cases.asgld import parameters
from pyslsac.experiments.timing import Call
from pyslsac.ops import adam_

TRAFFIC = 36  # bytes a parameter: gradient read twice and written; parameter and two moments read and written
FLOPS = 16  # a parameter: norm 2, clip 1, moments 7, step 6
GRAD_NORM = 1e-3  # all are clipped


def ours(shapes: Sequence[tuple[int, ...]], device: torch.device, grad_norm: float | None) -> Call:
    params = parameters(shapes, device)
    means, squares = ([torch.zeros_like(p) for p in params] for _ in range(2))
    steps = [torch.zeros((), device=device) for _ in params]
    grads = [p.grad for p in params if p.grad is not None]
    moved = [p.detach() for p in params]
    return lambda: adam_(moved, grads, means, squares, steps, lr=3e-4, grad_norm=grad_norm)


def torchs(shapes: Sequence[tuple[int, ...]], device: torch.device, clip: bool, **kind: Any) -> Call:
    params: list[Tensor] = [*parameters(shapes, device)]
    optimizer = torch.optim.Adam(params, lr=3e-4, capturable=device.type == "cuda", **kind)

    def step() -> None:
        if clip:
            nn.utils.clip_grad_norm_(params, GRAD_NORM, foreach=True)
        optimizer.step()

    return step


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for networks, width in ((2, 16),) if quick else ((1, 256), (2, 256), (10, 256)):
        shapes = [(networks, *shape) for shape in ((23, width), (width,), (width, width), (width,), (width, 1), (1,))]
        size = sum(torch.Size(shape).numel() for shape in shapes)
        rivals: dict[str, Call] = {
            "adam_": ours(shapes, device, GRAD_NORM),
            "adam_ without clip": ours(shapes, device, None),
            "clip_grad_norm_ + Adam fused": torchs(shapes, device, True, fused=True),
            "clip_grad_norm_ + Adam foreach": torchs(shapes, device, True, foreach=True),
            "Adam fused without clip": torchs(shapes, device, False, fused=True),
        }
        title = f"{size:,} parameters in {len(shapes)} tensors"
        yield Case(title, rivals, traffic=TRAFFIC * size, flops=FLOPS * size, graph=True)
