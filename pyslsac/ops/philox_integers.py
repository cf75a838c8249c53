"""Counter-based uniform integers: a draw of indices that a recorded graph makes anew at every replay."""

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import philox_integers as reference

_fill = _library.define(
    "philox_integers_(Tensor(a!) out, Tensor seed, Tensor step, Tensor high, int stream) -> ()",
    reference.philox_integers_,
    lambda out, seed, step, high, stream: None,
)


def philox_integers(
    runs: int,
    count: int,
    high: int | Tensor,
    seed: int | Tensor = 0,
    step: int | Tensor = 0,
    *,
    stream: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Integers [runs, count], int64, uniform on 0 .. high - 1: a pure function of (high, seed, step, stream, element).

    Element e is ⌊w high / 2⁶⁴⌋, with w = 2³² w₀ + w₁ of the Philox4x32-10 words of key = seed and counter =
    (e // 2, step low, step high, stream), and w₂, w₃ where e is odd. No probability is off by more than 2⁻³³ of itself.

    high: 1 .. 2³¹, an integer or an int64 tensor of one element, as step is. On CUDA a tensor there is not looked at.
    seed: an integer of 64 bits, or int64 [runs]. Raises RuntimeError where an argument does not fit.
    """
    seed, step, high = _library.seed_tensor(seed), *(_library.per_run(x, torch.int64) for x in (step, high))
    out = torch.empty((runs, count), dtype=torch.int64, device=device)
    _fill(out, seed, step, high, stream)
    return out
