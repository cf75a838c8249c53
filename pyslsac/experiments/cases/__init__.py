"""What `pyslsac bench` times: one file an op, whose `cases(device, quick)` yields the op's cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch


class Case(NamedTuple):
    """One size of an op. Without bytes and operations it has no place under the roofline."""

    name: str
    rivals: Mapping[str, Callable[[], object]]  # ours first
    traffic: int = 0  # bytes that must be read and written, each once
    flops: int = 0  # floating-point operations of the formula, of those only that no identity spares
    precision: str = "fp32"  # of these: "fp32" or "bf16"
    graph: bool = False  # on CUDA, time it as a captured graph too


Cases = Callable[[torch.device, bool], Iterable[Case | tuple[str, Mapping[str, Callable[[], object]]]]]
NORMAL = 21  # flops of one normal: the polynomials of log, cos and sin, and a root, for two; integers are not counted
