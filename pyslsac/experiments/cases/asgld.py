"""ASGLD against torch's AdamW, with noise and without, and against the same step in torch: eager, foreach, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyslsac.experiments.cases import NORMAL, Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import philox_normal
from pyslsac.optim import ASGLD

SIGMA = (2 * 3e-4 * 1e-16) ** 0.5
TRAFFIC = 28  # bytes a parameter: parameter, gradient and two moments read, all but the gradient written
FLOPS = 19 + NORMAL  # a parameter: norm 2, clip 1, moments 7, drift 5, noise and sum 4
NETWORKS, SHAPES = 6, ((35, 256), (256,), (256, 256), (256,), (256, 1), (1,))  # the reward critics of SL-SAC on Ant
Shapes = Sequence[tuple[int, ...]]


def parameters(shapes: Shapes, device: torch.device) -> list[nn.Parameter]:
    """Parameters with gradients."""
    params = [nn.Parameter(torch.randn(shape, device=device) / 16) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param) / 1000
    return params


def eager(params: list[Tensor], grads: list[Tensor], ms: list[Tensor], vs: list[Tensor]) -> None:
    """The step as one writes it in torch: clip, moments, drift, noise."""
    factor = (0.7 / (torch.stack([g.norm() for g in grads]).norm() + 1e-6)).clamp(max=1.0)
    for param, grad, m, v in zip(params, grads, ms, vs, strict=True):
        grad = grad * factor
        m.mul_(0.9).add_(grad, alpha=0.1)
        v.mul_(0.999).addcmul_(grad, grad, value=0.001)
        drift = grad + m / (v.sqrt() + 1e-8)
        param.add_(drift, alpha=-3e-4).add_(torch.randn_like(param), alpha=SIGMA)


def foreach(params: list[Tensor], grads: list[Tensor], ms: list[Tensor], vs: list[Tensor]) -> None:
    """The same with torch's operations on lists."""
    factor = (0.7 / (torch.stack(torch._foreach_norm(grads)).norm() + 1e-6)).clamp(max=1.0)
    grads = list(torch._foreach_mul(grads, factor))
    torch._foreach_lerp_(ms, grads, 0.1)
    torch._foreach_mul_(vs, 0.999)
    torch._foreach_addcmul_(vs, grads, grads, 0.001)
    roots = torch._foreach_sqrt(vs)
    torch._foreach_add_(roots, 1e-8)
    torch._foreach_addcdiv_(grads, ms, roots)
    torch._foreach_add_(params, grads, alpha=-3e-4)
    torch._foreach_add_(params, [torch.randn_like(param) for param in params], alpha=SIGMA)


def written(step: Callable[..., None], shapes: Shapes, device: torch.device) -> Call:
    """A step of functions, with parameters of its own."""
    params = parameters(shapes, device)
    moments = ([torch.zeros(shape, device=device) for shape in shapes] for _ in range(2))
    state = [p.detach() for p in params], [p.grad for p in params], *moments
    return lambda: step(*state)


def adamw(shapes: Shapes, device: torch.device, **kind: bool) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"capturable": device.type == "cuda", **kind}
    return torch.optim.AdamW(parameters(shapes, device), lr=3e-4, **options)


def then(step: Call, noise: Call) -> Call:
    """One after the other."""

    def both() -> None:
        step()
        noise()

    return both


def with_noise(optimizer: torch.optim.Optimizer) -> Call:
    """The optimizer's step, then Gaussian noise on its weights."""
    params = [param.detach() for param in optimizer.param_groups[0]["params"]]

    def noise() -> None:
        torch._foreach_add_(params, [torch.randn_like(param) for param in params], alpha=SIGMA)

    return then(optimizer.step, noise)


def rivals_of(shapes: Shapes, device: torch.device, quick: bool) -> dict[str, Call]:
    ours = ASGLD(parameters(shapes, device), seed=0)
    fused, size = adamw(shapes, device, fused=True), sum(torch.Size(shape).numel() for shape in shapes)
    rivals: dict[str, Call] = {
        "ASGLD": ours.step,
        "ASGLD, compensated": ASGLD(parameters(shapes, device), seed=0, compensated=True).step,
        "ASGLD without noise": lambda: ours.step(noise=False),
        "AdamW fused": fused.step,
        "AdamW foreach": adamw(shapes, device, foreach=True).step,
        "AdamW fused + randn_like + add_": with_noise(adamw(shapes, device, fused=True)),
        "philox_normal + AdamW fused": then(fused.step, lambda: philox_normal(size, 0, 1, device=device)),
        "eager expression with randn_like": written(eager, shapes, device),
        "the same, foreach": written(foreach, shapes, device),
    }
    if not quick:
        rivals["the same, torch.compile"] = written(torch.compile(eager, dynamic=False), shapes, device)
    return rivals


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    sizes = (100_000,) if quick else (1_000_000, 10_000_000, *((100_000_000,) if device.type == "cuda" else ()))
    lists: list[Shapes] = [SHAPES * NETWORKS, *([(size,)] for size in sizes)]
    for shapes in lists:
        size = sum(torch.Size(shape).numel() for shape in shapes)
        rivals, title = rivals_of(shapes, device, quick), f"{size:,} parameters"
        if len(shapes) > 1:
            title += f" in {len(shapes)} tensors"
            stacked = parameters([(NETWORKS, *shape) for shape in SHAPES], device)
            rivals["ASGLD on six stacked tensors, a norm a network"] = ASGLD(stacked, seed=0, members=NETWORKS).step
        yield Case(title, rivals, traffic=TRAFFIC * size, flops=FLOPS * size, graph=True)
