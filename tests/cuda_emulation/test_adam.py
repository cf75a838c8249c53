"""The CUDA kernels of `adam_` on the host: the CPU's numbers, over chunk edges, long lists, odd alignments."""

import pytest
import torch

from pyslsac.ops import adam_
from tests.cuda_emulation.emulation import Library, build
from tests.cuda_emulation.test_asgld import EDGES, LONG, MANY, misaligned

DTYPES = [torch.float32, torch.float64]
CASES = [  # runs, sizes, norm of the clip, dtype, maximize and weight decay, decoupled where all are clipped
    *((2, [size], 0.7, torch.float32, False) for size in EDGES),
    *((3, [5, 4097, 2], norm, dtype, odd) for norm in (None, 0.7, 1e3) for dtype in DTYPES for odd in (False, True)),
    *((2, sizes, norm, torch.float32, True) for sizes in (MANY, LONG) for norm in (None, 0.7)),
]


def check(
    kernel: Library, runs: int, sizes: list[int], norm: float | None, dtype: torch.dtype, odd: bool, without: str = ""
) -> None:
    written = [[misaligned(torch.randn(runs, size, dtype=dtype)) for size in sizes] for _ in range(3)]
    written.append([misaligned(torch.rand(runs, size, dtype=dtype)) for size in sizes])
    written.append([torch.tensor(float(i % 5)) for i in range(len(sizes))])
    wanted = [[tensor.clone() for tensor in tensors] for tensors in written]
    decay, decoupled = 0.1 if odd else 0.0, odd and norm == 0.7
    rule = dict(grad_norm=norm, runs=runs, weight_decay=decay, maximize=odd, decoupled=decoupled)
    adam_(*wanted, lr=1e-2, betas=(0.9, 0.99), **rule)
    numbers = torch.tensor([1e-2, 0.9, 0.99, 1e-8, decay, norm or torch.inf], dtype=torch.float64)
    sums = torch.zeros(runs * (sum(-(-size // 4096) for size in sizes) + 1), dtype=torch.float64)
    rows = [entry for i, size in enumerate(sizes) for entry in (*(tensors[i] for tensors in written), size)]
    wide = int(dtype == torch.float64)
    flags = int(odd), int(decoupled), wide
    kernel("run", rows, len(sizes), runs, numbers, *flags, sums if norm else None, seed=runs, without=without)
    tolerance = 1e-13 if wide else 0.0
    torch.testing.assert_close(written, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("runs", "sizes", "norm", "dtype", "odd"), CASES)
def test_the_bits_of_the_cpu(runs: int, sizes: list[int], norm: float | None, dtype: torch.dtype, odd: bool) -> None:
    check(build("adam"), runs, sizes, norm, dtype, odd)
