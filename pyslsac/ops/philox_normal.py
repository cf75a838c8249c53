"""Counter-based standard normals: the same bits on every device, instruction set and thread count."""

import math

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import philox_normal as reference

_fill = _library.define(
    "philox_normal_(Tensor(a!) out, Tensor seed, Tensor step, int stream, int first) -> ()",
    reference.philox_normal_,
    lambda out, seed, step, stream, first: None,
)


def philox_normal(
    shape: tuple[int, ...] | int,
    seed: int | Tensor = 0,
    step: int | Tensor = 0,
    *,
    stream: int = 0,
    first: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normals of `shape`, a pure function of (seed, step, stream, element number).

    Philox4x32-10 with key = seed and counter = (element // 4, step low, step high, stream) gives four words w; then
    z₀, z₁ = √(-2 log u(w₀)) · (cos, sin)(2π t(w₁)), and z₂, z₃ from w₂, w₃ likewise, with u(w) = ((w >> 9) + ½) 2⁻²³
    and t(w) = (w >> 8) 2⁻²⁴, in exactly rounded float32 (errors of log, cos and sin below 1e-7; |z| < 5.78).

    seed: an integer of 64 bits, or int64 [R]: then shape[0] is R and elements count from `first` inside each run.
    step: an integer or an int64 tensor of one element, so that a captured graph replays fresh noise.
    dtype: the float32 values are cast to it. Raises RuntimeError where an argument does not fit.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    seed, step = _library.seed_tensor(seed), _library.per_run(step, torch.int64)
    runs = shape[0] if seed.dim() == 1 and seed.numel() > 1 and shape else 1
    out = torch.empty((runs, math.prod(shape) // runs if runs else 0), dtype=torch.float32, device=device)
    _fill(out, seed, step, stream, first)
    return out.reshape(shape).to(dtype)
