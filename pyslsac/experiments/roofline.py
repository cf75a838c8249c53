"""How near a time is to the least that a device can need: bytes over its copy rate, arithmetic over its GEMM rate.

Both rates are measured where and when the times are. What lies in a cache may be moved faster than memory copies, so a
small case can reach more than 1.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call, sample

Ceilings = dict[str, float]  # rates in 1e9 a second: "copy" of bytes, read and written; "fp32" and "bf16" of flops
FLOATS = {"cpu": 1 << 26, "cuda": 1 << 28}  # that are copied
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
ROUNDS = 9


def fastest(call: Call, device: torch.device, rounds: int) -> float:
    """Seconds of the fastest of some calls: a ceiling is what can be reached."""
    sample(call, 2, device)
    return min(sample(call, 2, device) for _ in range(rounds))


def measure(device: torch.device, quick: bool = False) -> Ceilings:
    """The device's rates: of a copy too large for its caches, of matrix products in float32 (no TF32) and bfloat16."""
    count, side, rounds = (1 << 20, 256, 3) if quick else (FLOATS[device.type], SIDE[device.type], ROUNDS)
    source, copy = torch.ones(count, device=device), torch.zeros(count, device=device)
    rates = {"copy": 8 * count / fastest(partial(copy.copy_, source), device, rounds)}
    for name, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        a, b = torch.randn(2, side, side, device=device).to(dtype)
        product = torch.empty_like(a)
        rates[name] = 2 * side**3 / fastest(partial(torch.mm, a, b, out=product), device, rounds)
    return {name: rate / 1e9 for name, rate in rates.items()}


def roofline(case: Case, seconds: float, ceilings: Ceilings) -> dict[str, Any]:
    """The case's counts, which ceiling bounds it, and the share of that bound which `seconds` reach."""
    least = {"copy": case.traffic, case.precision: case.flops}
    bound = max(least, key=lambda name: least[name] / ceilings[name])
    fraction = least[bound] / ceilings[bound] / 1e9 / seconds
    return {"bytes": case.traffic, "flops": case.flops, "bound": bound, "fraction": fraction}
