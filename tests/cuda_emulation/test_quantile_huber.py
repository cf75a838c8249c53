"""The CUDA kernel of `quantile_huber` on the host: edges of rows, predictions and targets against the reference."""

import pytest
import torch

from pyslsac.ops.reference.quantile_huber import quantile_huber, wide
from tests.cuda_emulation.emulation import Library, Output, build

EDGES = [(1, 1, 1), (7, 31, 33), (8, 32, 32), (9, 33, 31), (17, 65, 1), (2, 1, 65), (3, 64, 64), (1, 0, 5)]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3}
CASES = [(*sizes, dtype) for dtype in TOLERANCE for sizes in EDGES]


def check(kernel: Library, rows: int, n: int, m: int, dtype: torch.dtype, without: str = "") -> None:
    pred, target, tau = torch.randn(rows, n), 2 * torch.randn(rows, m), torch.rand(rows, n)
    pred, target, tau = (x.to(dtype) for x in (pred, target, tau))
    got = torch.empty(rows, dtype=wide(dtype)), torch.empty_like(pred)
    outputs = map(Output, got)
    kernel(str(dtype)[6:], pred, target, tau, *outputs, rows, n, m, 0.5, seed=rows + n + m, without=without)
    wanted = quantile_huber(pred, target, tau, 0.5)
    for a, b, tolerance in zip(got, wanted, (min(TOLERANCE[dtype], 2e-6), TOLERANCE[dtype]), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("rows", "n", "m", "dtype"), CASES)
def test_agrees_with_the_reference(rows: int, n: int, m: int, dtype: torch.dtype) -> None:
    check(build("quantile_huber"), rows, n, m, dtype)
