"""Adaptive stochastic-gradient Langevin step in plain torch: what `pyslsac::asgld_` means, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyslsac.ops.philox_normal import philox_normal

CHUNK = 4096  # elements of a network's slice that one partial sum of squares covers
LANES = 256  # element i of a chunk belongs to lane i % LANES


@dataclass(frozen=True)
class _Rule:
    """The numbers of one step, already read from their tensors."""

    lr: float
    temperature: float
    bias: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    variant: str
    grad_factor: float  # 1 / grad_scale, negative to maximise


def square_sums(slices: Tensor) -> Tensor:
    """Sums of squares [N, chunks] of `slices` [N, P] in float64, by the fixed tree that every device follows.

    A chunk's lane adds its squares in index order; then lanes fold in halves: lane j += lane j + width/2.
    """
    networks, size = slices.shape
    chunks = -(-size // CHUNK)
    padded = torch.nn.functional.pad(slices.double(), (0, chunks * CHUNK - size))
    rows = padded.square().view(networks, chunks, CHUNK // LANES, LANES).unbind(2)
    lanes = rows[0]
    for row in rows[1:]:
        lanes = lanes + row
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes.squeeze(-1)


def clip_factors(tensors: Iterator[Tensor], networks: int, threshold: float) -> Tensor:
    """Factors [N] in float64 that bring each network's norm over all its tensors to at most `threshold`.

    factor = min(1, threshold / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it; a NaN stays a NaN.
    """
    sums = torch.cat([square_sums(x.reshape(networks, -1)) for x in tensors if x.numel()], dim=1)
    norm = sums.cumsum(1)[:, -1].sqrt()  # in index order
    return (threshold / (norm + 1e-6)).clamp(max=1.0)


def _root(x: Tensor) -> Tensor:
    """Correctly rounded square root: torch's own float32 root is one unit off now and then."""
    return x.double().sqrt().to(x.dtype)


def _scaled(x: Tensor, factors: Tensor | None) -> Tensor:
    """`x` with each network's slice times its factor."""
    if factors is None:
        return x
    return (x.reshape(factors.numel(), -1) * factors.to(x.dtype).unsqueeze(1)).view_as(x)


def _update_moments(grad: Tensor, m: Tensor | None, v: Tensor | None, rule: _Rule) -> None:
    if m is not None:
        m.mul_(rule.beta1).add_(grad * (1.0 - rule.beta1))
    if v is not None:
        v.mul_(rule.beta2).add_(grad * (1.0 - rule.beta2) * grad)


def _drift(grad: Tensor, m: Tensor | None, v: Tensor | None, rule: _Rule) -> Tensor:
    if rule.variant == "sgld" or (rule.variant == "asgld" and rule.bias == 0.0):
        return grad
    denom = _root(v).add_(rule.eps)
    if rule.variant == "psgld":
        return grad / denom
    if rule.variant == "asgld-preconditioned":
        return m / denom
    return grad + (m / denom) * rule.bias


def _move(param: Tensor, drift: Tensor, noise: Tensor | None, residual: Tensor | None, lr: float) -> None:
    """theta <- theta + delta in place; `residual` keeps what the rounding to param.dtype lost."""
    wide = param.to(drift.dtype)
    if noise is None and residual is None:
        param.copy_(torch.add(wide, drift, alpha=-lr))  # one fused multiply-add: torch.optim.SGD's own
        return
    delta = drift * -lr
    if noise is not None:
        delta = delta + noise
    if residual is None:
        param.copy_(wide + delta)
        return
    delta = delta + residual
    total = wide + delta  # Knuth's two-sum: total + error == wide + delta exactly
    virtual = total - wide
    error = (wide - (total - virtual)) + (delta - virtual)
    param.copy_(total)
    residual.copy_((total - param.to(total.dtype)) + error)


def asgld_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    residuals: Sequence[Tensor],
    targets: Sequence[Tensor],
    steps: Sequence[Tensor],
    seed: Tensor,
    lr: Tensor,
    temperature: Tensor,
    grad_scale: Tensor | None,
    found_inf: Tensor | None,
    streams: Sequence[int],
    offsets: Sequence[int],
    networks: int,
    bias: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    variant: str,
    clip: str,
    clip_threshold: float,
    maximize: bool,
    noise: bool,
    polyak: float,
) -> None:
    """One step on every tensor of the lists; see `pyslsac.ops.asgld_` for the formulas."""
    if not params or (found_inf is not None and bool(found_inf)):
        return
    grad_factor = 1.0 if grad_scale is None else float(grad_scale.double().reciprocal().float())
    rule = _Rule(
        lr=float(lr), temperature=float(temperature), bias=bias, beta1=beta1, beta2=beta2, eps=eps,
        weight_decay=weight_decay, variant=variant, grad_factor=-grad_factor if maximize else grad_factor,
    )  # fmt: skip
    none: list[None] = [None] * len(params)
    wides = [torch.float64 if p.dtype == torch.float64 else torch.float32 for p in params]
    gradients = [g.contiguous().to(wide) for g, wide in zip(grads, wides, strict=True)]
    if rule.grad_factor != 1.0:
        gradients = [g * rule.grad_factor for g in gradients]
    if clip == "grad_norm":
        factors = clip_factors(gradients, networks, clip_threshold)
        gradients = [_scaled(g, factors) for g in gradients]
    moments = list(zip(exp_avgs or none, exp_avg_sqs or none, strict=True))
    for g, (m, v) in zip(gradients, moments, strict=True):
        _update_moments(g, m, v, rule)
    drifts = [_drift(g, m, v, rule) for g, (m, v) in zip(gradients, moments, strict=True)]
    if clip == "drift_value":
        drifts = [d.clamp(-clip_threshold, clip_threshold) for d in drifts]
    if clip == "drift_norm":
        factors = clip_factors(drifts, networks, clip_threshold)
        drifts = [_scaled(d, factors) for d in drifts]
    sigma = (2.0 * rule.lr * rule.temperature) ** 0.5
    for i, (param, drift, residual, target) in enumerate(
        zip(params, drifts, residuals or none, targets or none, strict=True)
    ):
        xi = None
        if noise and rule.temperature != 0.0:
            xi = _noise(param, seed, steps[i], streams[i], offsets[i]).to(drift.dtype)
            if variant == "asgld-preconditioned":
                xi = xi * (_root(1.0 / _root(moments[i][1]).add_(eps)) * sigma)
            else:
                xi = xi * sigma
        if weight_decay != 0.0:
            drift = torch.add(drift, param.to(drift.dtype), alpha=weight_decay)
        _move(param, drift, xi, residual, rule.lr)
        if target is not None:
            wide = target.to(drift.dtype)
            target.copy_(wide + (param.to(drift.dtype) - wide) * polyak)


def _noise(param: Tensor, seed: Tensor, step: Tensor, stream: int, offset: int) -> Tensor:
    """Standard normals shaped as `param`; element i of a run takes number offset + i of that run's sequence."""
    shape = (seed.numel(), param.numel() // seed.numel())
    return philox_normal(shape, seed, step, stream=stream, first=offset, device=param.device).view(param.shape)
