"""langevin_chain against the loop over autograd that implementations of LAC and NC-LQL write, eager and compiled.

The floor is what the matrix products between hidden layers alone take in torch, all members forward and backward;
where one member of a minimum or maximum is chosen, the chain itself takes the others forward only, and so counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mish

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import QGroup, langevin_chain

REDUCED: dict[str, Callable[[Tensor], Tensor]] = {
    "min": lambda q: q.amin(0),
    "max": lambda q: q.amax(0),
    "sum": lambda q: q.sum(0),
}


def critics(members: int, inputs: int, width: int, device: torch.device, **rest: Any) -> QGroup:
    """One run's ensemble of three hidden Mish layers, the uniform weights of torch's own layers."""
    sizes = list(itertools.pairwise((inputs, width, width, width, 1)))
    weights = [(2 * torch.rand(1, members, *size, device=device) - 1) / size[0] ** 0.5 for size in sizes]
    biases = [torch.zeros(1, members, out, device=device) for _, out in sizes]
    return QGroup(weights, biases, "mish", **rest)


def energy(groups: Sequence[QGroup], firsts: Sequence[Tensor], obs: Tensor, action: Tensor) -> Tensor:
    """The sum of coef reduce(Q) over groups and batch, every group's ensemble batched; firsts: layer 1's biases."""
    total = torch.zeros((), device=obs.device)
    for group, first in zip(groups, firsts, strict=True):
        x = torch.cat((obs, action), -1).expand(group.weights[0].size(1), -1, -1)  # [E, B, in]
        for layer, (weight, bias) in enumerate(zip(group.weights, group.biases, strict=True)):
            add = bias[0] if layer else first[0]  # [E, out]
            x = torch.baddbmm(add.unsqueeze(1), mish(x) if layer else x, weight[0])
        total = total + (group.coef * REDUCED[group.reduce](x)).sum()
    return total


def climb(
    gradient: Callable[..., Tensor],
    groups: Sequence[QGroup],
    obs: Tensor,
    action: Tensor,
    steps: int,
    prior: tuple[Tensor, Tensor] | None,
    scale: float | None,
) -> Tensor:
    """The chain as one writes it: with a scale the gradient is normalised, without one it is capped at 1,000."""
    for k in range(steps):
        drift = gradient(groups, obs, action.detach().requires_grad_(), k)
        if prior is not None:
            drift = drift + (prior[0] - action) / prior[1] ** 2
        norm = drift.norm(dim=-1, keepdim=True)
        drift = scale * drift / (norm + 1e-8) if scale else drift * (1000 / (norm + 1e-6)).clamp(max=1.0)
        action = (action + 5e-5 * drift + 0.01 * torch.randn_like(action)).clamp(-1.0, 1.0)
    return action


def gradient(groups: Sequence[QGroup], obs: Tensor, action: Tensor, k: int, energy: Callable = energy) -> Tensor:
    firsts = [g.biases[0] if g.step_bias is None else g.biases[0] + g.step_bias[:, k] for g in groups]
    return torch.autograd.grad(energy(groups, firsts, obs, action), action)[0]


def floor(members: int, batch: int, width: int, moves: int, dtype: torch.dtype, device: torch.device) -> Call:
    """The products between hidden layers: two forward and two backward of each member and move."""
    x, y = (torch.randn(members, batch, width, device=device, dtype=dtype) for _ in range(2))
    weight = torch.randn(members, width, width, device=device, dtype=dtype)

    def products() -> None:
        for _ in range(moves):
            for matrix in (weight, weight, weight.mT, weight.mT):
                torch.bmm(x, matrix, out=y)

    return products


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    batch, width, obs_dim = (16, 32, 5) if quick else (256, 256, 60)
    make = partial(critics, 2, width=width, device=device)
    prior = (torch.zeros(1, batch, 2, device=device), torch.full((1, batch, 2), 0.6, device=device))
    twins = [make(obs_dim + 2, reduce="min", coef=1e3), make(obs_dim + 2, reduce="max", coef=-1e3)]
    for name, groups, steps, dim, around, scale in (
        ("LAC", twins, 30, 2, prior, None),
        ("NC-LQL", [make(obs_dim + 8, reduce="sum")], 20, 8, None, 500.0),
    ):
        if scale:
            bias = torch.randn(1, steps, 2, width, device=device) / 10
            groups = [QGroup(groups[0].weights, groups[0].biases, "mish", "sum", step_bias=bias)]
        obs, start = torch.randn(1, batch, obs_dim, device=device), 2 * torch.rand(1, batch, dim, device=device) - 1
        loop = partial(climb, groups=groups, obs=obs, action=start, steps=steps, prior=around, scale=scale)
        options: dict[str, Any] = dict(grad_cap=1000.0, prior=around, steps=steps)
        if scale:
            options = dict(normalize=True, drift_scale=scale, steps=steps)
        members = sum(group.weights[0].size(1) for group in groups)
        products = members + sum(1 if group.reduce != "sum" else 2 for group in groups)  # forward, then backward
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            ours = partial(langevin_chain, obs, start, groups, **options | {"precision": precision})
            rivals: dict[str, Call] = {"langevin_chain": ours, "autograd loop": partial(loop, gradient)}
            if not quick:
                compiled = torch.compile(energy, dynamic=False)
                rivals["autograd loop, torch.compile of the energy"] = partial(loop, partial(gradient, energy=compiled))
            rivals[f"hidden products alone, {precision}"] = floor(members, batch, width, steps, dtype, device)
            weights = sum(w.numel() for group in groups for w in group.weights)
            flops = steps * products * 2 * 2 * batch * width**2
            title = f"{name}, B {batch}, K {steps}, {members} critics 3 x {width}, {precision}"
            yield Case(title, rivals, 4 * weights, flops, precision, graph=True)
