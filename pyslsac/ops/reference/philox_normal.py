"""Philox4x32-10 normals in plain torch, bit for bit those of csrc/philox.h: int64 words, multiply-adds rounded once."""

import torch
from torch import Tensor

from pyslsac.ops.reference import require, require_per_run

MASK = 0xFFFFFFFF
ELEMENTS = 2**34  # of one (seed, step, stream)
LOG, SIN, COS = (
    tuple(map(float.fromhex, coefficients.split()))  # as in csrc/philox.h, highest power first
    for coefficients in (
        "-0x1.38c9dep-4 0x1.055ec6p-3 -0x1.0d8242p-3 0x1.22d92ep-3 -0x1.54728ap-3 0x1.99a01cp-3 -0x1.000226p-2 "
        "0x1.555554p-2 -0x1p-1",
        "-0x1.2a7638p-8 0x1.46496cp-4 -0x1.4abb68p-1 0x1.921fb4p+0",
        "0x1.d47d5ep-11 -0x1.55b146p-6 0x1.03c1aep-2 -0x1.3bd3ccp+0 0x1p+0",
    )
)
LOG_2, SQRT_HALF = float.fromhex("0x1.62e430p-1"), float.fromhex("0x1.6a09e6p-1")


def fma(a: Tensor, b: Tensor, c: Tensor | float) -> Tensor:
    """a b + c in float32, rounded once: exact product, sum rounded to odd in float64, then to float32."""
    product = a.double() * b.double()
    c = torch.as_tensor(c, dtype=torch.float64, device=product.device)
    total = product + c
    rest = total - product
    error = (product - (total - rest)) + (c - rest)  # exactly what `total` lost
    bits = total.view(torch.int64)
    outward = torch.where((error > 0) == (total > 0), 1, -1)
    odd = torch.where((error != 0) & (bits & 1 == 0), bits + outward, bits)
    return odd.view(torch.float64).float()


def horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """The polynomial with these coefficients, highest power first, by float32 fma."""
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma(value, x, coefficient)
    return value


def philox_words(seed: Tensor, step: Tensor, stream: int, block: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random 32-bit words as int64: key = seed, counter = (block, step low, step high, stream)."""
    x, y, z, w = block, step & MASK, (step >> 32) & MASK, torch.full_like(block, stream)
    key0, key1 = seed & MASK, (seed >> 32) & MASK
    for _ in range(10):
        p, q = 0xD2511F53 * x, 0xCD9E8D57 * z  # wrap modulo 2^64: the upper word survives
        x, y, z, w = ((q >> 32) & MASK) ^ y ^ key0, q & MASK, ((p >> 32) & MASK) ^ w ^ key1, p & MASK
        key0, key1 = (key0 + 0x9E3779B9) & MASK, (key1 + 0xBB67AE85) & MASK
    return x, y, z, w


def log_uniform(k: Tensor) -> Tensor:
    """log((2 k + 1) 2^-24) for k < 2^23, to 1e-7."""
    m, e = torch.frexp((2 * k + 1).float() * 2.0**-24)
    small = m < SQRT_HALF
    f = torch.where(small, 2 * m, m) - 1
    e = torch.where(small, e - 1, e).float()
    return fma(e, torch.full_like(f, LOG_2), fma(f * f, horner(LOG, f), f))


def cos_sin_turn(k: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 π k 2^-24 for k < 2^24, to 1e-7."""
    quarter = (k + (1 << 21)) >> 22
    v = (k - (quarter << 22)).float() * 2.0**-22
    v2 = v * v
    s, c = horner(SIN, v2) * v, horner(COS, v2)
    a, b = torch.where(quarter & 1 == 1, s, c), torch.where(quarter & 1 == 1, c, s)
    return torch.where((quarter + 1) & 2 == 2, -a, a), torch.where(quarter & 2 == 2, -b, b)


def box_muller(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normals: radius √(-2 log((x >> 9) + ½) 2^-23), angle (y >> 8) 2^-24 of a turn."""
    radius = torch.sqrt(-2 * log_uniform(x >> 9).double()).float()  # torch's float32 root is not always the nearest
    cosine, sine = cos_sin_turn(y >> 8)
    return radius * cosine, radius * sine


def normals(runs: int, count: int, seed: Tensor, step: Tensor, stream: int, first: int = 0) -> Tensor:
    """Standard normals [runs, count] of elements first .. first + count - 1 on seed's device, float32."""
    start = first // 4
    block = torch.arange(start, (first + count + 3) // 4, device=seed.device)[None].expand(runs, -1)
    x, y, z, w = philox_words(seed.reshape(-1, 1), step.to(seed.device), stream, block)
    out = torch.stack((*box_muller(x, y), *box_muller(z, w)), dim=-1)
    return out.flatten(1)[:, first - 4 * start :][:, :count]


def philox_normal_(out: Tensor, seed: Tensor, step: Tensor, stream: int, first: int) -> None:
    """Fill out [R, P] with standard normals."""
    op = "philox_normal"
    require(out.dim() == 2 and out.dtype == torch.float32, op, "out", out, "float32 [R, P]")
    require(0 <= stream <= MASK, op, "stream", stream, "an integer of 32 bits")
    require(0 <= first <= ELEMENTS - out.size(1), op, "first", first, f"elements below {ELEMENTS}")
    require_per_run(op, "seed", seed, out.size(0), out, torch.int64)
    require_per_run(op, "step", step, 1, out, torch.int64)
    seed = seed.to(out.device).reshape(-1)
    out.copy_(normals(out.size(0), out.size(1), seed, step.reshape(()), stream, first))
