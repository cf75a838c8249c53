"""Adaptive stochastic-gradient Langevin step in plain torch: what `pyslsac::asgld_` means, bit for bit in float32."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pyslsac.ops.philox_normal import philox_normal
from pyslsac.ops.reference import require, require_per_run
from pyslsac.ops.reference.philox_normal import ELEMENTS, MASK

CHUNK = 4096  # elements of a network's slice that one partial sum of squares covers
LANES = 256  # element i of a chunk belongs to lane i % LANES
VARIANTS = {"asgld": 2, "asgld-preconditioned": 2, "psgld": 1, "sgld": 0}  # how many moments: exp_avg_sq, then exp_avg
CLIPS = ("grad_norm", "drift_value", "drift_norm", "none")


def wide(tensor: Tensor) -> torch.dtype:
    """The type a parameter's moments, residual and step are computed in."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


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


def clip_norms(tensors: Sequence[Tensor], networks: int, threshold: float) -> list[Tensor]:
    """`tensors` with every network's slices scaled to a norm over all of them of at most `threshold`.

    factor = min(1, threshold / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it; a NaN stays a NaN.
    """
    sums = [square_sums(x.reshape(networks, -1)) for x in tensors if x.numel()]
    if not sums:
        return list(tensors)
    norms = torch.cat(sums, dim=1).cumsum(1)[:, -1].sqrt()  # in index order
    factors = (threshold / (norms + 1e-6)).clamp(max=1.0)[:, None]  # [N, 1]
    return [(x.reshape(networks, -1) * factors.to(x.dtype)).view_as(x) for x in tensors]


def root(x: Tensor) -> Tensor:
    """Correctly rounded square root: torch's own float32 root is one unit off now and then."""
    return x.double().sqrt().to(x.dtype)


def gradients(
    grads: Iterable[Tensor], networks: int, clip: str, clip_threshold: float, maximize: bool, grad_scale: Tensor | None
) -> list[Tensor]:
    """The gradients as the moments see them: wide, unscaled, negated to maximise, clipped by norm."""
    factor = 1.0 if grad_scale is None else float(grad_scale.double().reciprocal().float())
    wides = [g.contiguous().to(wide(g)) for g in grads]
    if maximize or factor != 1.0:
        wides = [g * (-factor if maximize else factor) for g in wides]
    return clip_norms(wides, networks, clip_threshold) if clip == "grad_norm" else wides


def drifts(
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    networks: int,
    bias: float,
    eps: float,
    variant: str,
    clip: str,
    clip_threshold: float,
) -> list[Tensor]:
    """D of each parameter from what `gradients` gave and the moments that have taken it."""
    values = list(grads)
    if variant == "psgld":
        values = [g / (root(v) + eps) for g, v in zip(grads, exp_avg_sqs, strict=True)]
    if variant.startswith("asgld") and (bias != 0.0 or variant != "asgld"):
        values = [m / (root(v) + eps) for m, v in zip(exp_avgs, exp_avg_sqs, strict=True)]
        if variant == "asgld":
            values = [g + zeta * bias for g, zeta in zip(grads, values, strict=True)]
    if clip == "drift_norm":
        return clip_norms(values, networks, clip_threshold)
    return [d.clamp(-clip_threshold, clip_threshold) for d in values] if clip == "drift_value" else values


def noise_gain(variant: str, exp_avg_sq: Tensor | None, eps: float) -> Tensor | float:
    """S: √G where the variant preconditions its noise, else 1."""
    return root(1.0 / (root(exp_avg_sq) + eps)) if variant == "asgld-preconditioned" and exp_avg_sq is not None else 1.0


def move(param: Tensor, drift: Tensor, noise: Tensor | None, residual: Tensor | None, lr: float) -> None:
    """theta <- theta + delta in place; `residual` keeps what the rounding to param.dtype lost."""
    theta = param.to(drift.dtype)
    if noise is None and residual is None:
        param.copy_(torch.add(theta, drift, alpha=-lr))  # one fused multiply-add: torch.optim.SGD's own
        return
    delta = drift * -lr
    if noise is not None:
        delta = delta + noise
    if residual is None:
        param.copy_(theta + delta)
        return
    delta = delta + residual
    total = theta + delta  # Knuth's two-sum: total + error == theta + delta exactly
    moved = total - theta
    error = (theta - (total - moved)) + (delta - moved)
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
    """One step on every tensor of the lists; `pyslsac.ops.asgld_` has the formulas."""
    check(params, grads, exp_avgs, exp_avg_sqs, residuals, targets, steps, seed, lr, temperature, streams, offsets,
          networks, variant, clip)  # fmt: skip
    if not params or (found_inf is not None and bool(found_inf)):
        return
    rate, heat = float(lr), float(temperature)
    none: list[None] = [None] * len(params)
    steered = gradients(grads, networks, clip, clip_threshold, maximize, grad_scale)
    for g, m, v in zip(steered, exp_avgs or none, exp_avg_sqs or none, strict=True):
        if m is not None:
            m.mul_(beta1).add_(g * (1.0 - beta1))
        if v is not None:
            v.mul_(beta2).add_(g * (1.0 - beta2) * g)
    pulls = drifts(steered, exp_avgs, exp_avg_sqs, networks, bias, eps, variant, clip, clip_threshold)
    sigma = (2.0 * rate * heat) ** 0.5
    for i, (param, drift, v, residual, target) in enumerate(
        zip(params, pulls, exp_avg_sqs or none, residuals or none, targets or none, strict=True)
    ):
        xi = None
        if noise and heat != 0.0:
            shape = (seed.numel(), param.numel() // seed.numel())
            xi = philox_normal(shape, seed, steps[i], stream=streams[i], first=offsets[i], device=param.device)
            xi = xi.view(param.shape).to(drift.dtype) * (noise_gain(variant, v, eps) * sigma)
        if weight_decay != 0.0:
            drift = torch.add(drift, param.to(drift.dtype), alpha=weight_decay)
        move(param, drift, xi, residual, rate)
        if target is not None:
            old = target.to(drift.dtype)
            target.copy_(old + (param.to(drift.dtype) - old) * polyak)


def check(params, grads, exp_avgs, exp_avg_sqs, residuals, targets, steps, seed, lr, temperature, streams, offsets,
          networks, variant, clip) -> None:  # fmt: skip
    """Refuse lists and tensors that do not fit together (csrc/bind/asgld.cpp refuses the same)."""
    op, count, runs = "asgld_", len(params), seed.numel()
    require(variant in VARIANTS, op, "variant", variant, f"one of {', '.join(VARIANTS)}")
    require(clip in CLIPS, op, "clip", clip, f"one of {', '.join(CLIPS)}")
    fits = runs > 0 and networks > 0 and networks % runs == 0
    require(fits, op, "networks", networks, f"a multiple of the number of seeds, {runs}")
    moments = VARIANTS[variant]
    lengths = {
        "grads": (grads, count),
        "exp_avgs": (exp_avgs, count if moments == 2 else 0),
        "exp_avg_sqs": (exp_avg_sqs, count if moments else 0),
        "residuals": (residuals, count if residuals else 0),
        "targets": (targets, count if targets else 0),
    }
    for name, (entries, length) in (lengths | {"steps": (steps, count), "streams": (streams, count)}).items():
        require(len(entries) == length, op, name, f"{len(entries)} long", str(length))
    require(len(offsets) == count, op, "offsets", f"{len(offsets)} long", str(count))
    for i, param in enumerate(params):
        fits = param.device == params[0].device and param.numel() % networks == 0
        require(fits, op, "params", param, f"contiguous tensors on one device, each of {networks} equal networks")
        for name, (entries, length) in lengths.items():
            dtype = param.dtype if name in ("grads", "targets") else wide(param)
            wanted = f"{str(dtype).removeprefix('torch.')} {list(param.shape)} on {param.device.type}"
            if length:
                entry = entries[i]
                fits = entry.dtype == dtype and entry.shape == param.shape and entry.device == param.device
                require(fits, op, name, entry, wanted)
        require(steps[i].dtype == torch.int64 and steps[i].numel() == 1, op, "steps", steps[i], "int64 of one element")
        require(0 <= streams[i] <= MASK, op, "streams", streams[i], "integers of 32 bits")
        last = ELEMENTS - param.numel() // runs
        require(0 <= offsets[i] <= last, op, "offsets", offsets[i], f"elements below {ELEMENTS}")
    if params:
        require_per_run(op, "seed", seed, runs, params[0], torch.int64)
        require_per_run(op, "lr", lr, 1, params[0], torch.float64)
        require_per_run(op, "temperature", temperature, 1, params[0], torch.float64)
