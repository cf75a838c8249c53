"""What the Langevin noise amounts to: against the drift, and against the rounding of the weights it moves."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyslsac.ops.reference.asgld import drifts, gradients, noise_gain
from pyslsac.optim.fields import axes_of, real
from pyslsac.optim.shards import local


def movable(param: Tensor, sigma: Tensor | float) -> Tensor:
    """The chance, for each weight, that it changes when N(0, sigma²) is added and the sum rounds to param.dtype.

    P(|ξ| > ulp / 2) = erfc(ulp / (2 √2 sigma)), ulp the distance to the weight's neighbour of greater magnitude.
    """
    limits = torch.finfo(param.dtype)
    magnitude = param.double().abs().clamp(min=limits.tiny)
    ulp = torch.exp2(torch.frexp(magnitude)[1].double() - 1) * limits.eps
    return torch.erfc(ulp / (math.sqrt(8.0) * torch.as_tensor(sigma, dtype=torch.float64, device=param.device)))


@torch.no_grad()
def noise_report(optimizer: Optimizer) -> tuple[Tensor, Tensor]:
    """(|noise| / |drift|, share of the weights that the noise alone moves) of an ASGLD's last step, each [R].

    |noise| = √(2 lr temperature Σ S²), as it is to be expected; |drift| = lr |D|, from the gradients as they stand and
    the moments that have taken them: so call it after `step`, before the gradients are cleared. With `compensated` any
    noise counts, since none is lost. Only parameters with a gradient count (of a sharded one this rank's part); NaN
    where there are none. It takes a few passes over the parameters: meant for log times.
    """
    total: Any = 0.0
    for group in optimizer.param_groups:
        moved = [(p, optimizer.state[p]) for p in group["params"] if p.grad is not None and p in optimizer.state]
        total = total + _sums(group, [p for p, _ in moved], [s for _, s in moved])
    noise, drift, share, count = total  # each [R]
    return (noise.sqrt() / drift.sqrt()).float(), (share / count).float()


def _sums(group: dict[str, Any], params: list[Tensor], states: list[dict[str, Any]]) -> Tensor:
    """[4, R] of one group: |noise|², |drift|², how many weights the noise moves, how many there are."""
    runs, networks = group["seed"].numel(), math.prod(axes_of(group["members"]))
    lr, temperature, variant, eps = group["lr"], group["temperature"], group["variant"], group["eps"]
    total = torch.zeros(4, runs, dtype=torch.float64, device=group["seed"].device)
    parts = [local(real(p)) for p in params]
    exp_avgs, exp_avg_sqs = ([local(s[key]) for s in states if key in s] for key in ("exp_avg", "exp_avg_sq"))
    clip = (networks, group["clip"] or "none", group["clip_threshold"])
    grads = gradients([local(real(p.grad)) for p in params if p.grad is not None], *clip, group["maximize"], None)
    pulls = drifts(grads, exp_avgs, exp_avg_sqs, networks, group["bias"], eps, variant, *clip[1:])
    none: list[None] = [None] * len(parts)
    for param, pull, v in zip(parts, pulls, exp_avg_sqs or none, strict=True):
        sigma = torch.as_tensor((2.0 * lr * temperature) ** 0.5 * noise_gain(variant, v, eps), dtype=torch.float64)
        sigma = sigma.to(param.device).expand(param.shape)
        moves = (sigma > 0).double() if group["compensated"] else movable(param, sigma)
        parts_of_sum = (sigma.square(), (pull.double() * lr).square(), moves, torch.ones_like(moves))
        total += torch.stack([x.reshape(runs, -1).sum(1) for x in parts_of_sum])
    return total
