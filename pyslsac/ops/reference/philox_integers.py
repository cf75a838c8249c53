"""Uniform integers of Philox4x32-10 words in plain torch, number for number those of csrc/philox_integers.h."""

import torch
from torch import Tensor

from pyslsac.ops.reference import require, require_per_run
from pyslsac.ops.reference.philox_normal import ELEMENTS, MASK, philox_words

HIGH = 2**31


def philox_integers_(out: Tensor, seed: Tensor, step: Tensor, high: Tensor, stream: int) -> None:
    """Fill out [R, P] with integers uniform on 0 .. high - 1."""
    op, most = "philox_integers", ELEMENTS // 2
    require(out.dim() == 2 and out.dtype == torch.int64, op, "out", out, "int64 [R, P]")
    require(out.size(1) <= most, op, "out", out, f"at most {most} a run")
    require(0 <= stream <= MASK, op, "stream", stream, "an integer of 32 bits")
    require_per_run(op, "seed", seed, out.size(0), out, torch.int64)
    require_per_run(op, "step", step, 1, out, torch.int64)
    require_per_run(op, "high", high, 1, out, torch.int64)
    if high.device.type == "cpu":
        require(1 <= int(high) <= HIGH, op, "high", int(high), f"1 .. {HIGH}")
    seed, high = seed.to(out.device).reshape(-1, 1), high.to(out.device).reshape(())
    block = torch.arange((out.size(1) + 1) // 2, device=out.device).expand(out.size(0), -1)
    words = torch.stack(philox_words(seed, step.to(out.device).reshape(()), stream, block), -1).unflatten(-1, (2, 2))
    scaled = (words[..., 0] * high + ((words[..., 1] * high) >> 32)) >> 32  # [R, P / 2, 2]
    out.copy_(scaled.flatten(1)[:, : out.size(1)])
