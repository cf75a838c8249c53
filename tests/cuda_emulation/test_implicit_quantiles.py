"""The CUDA kernels of `implicit_quantiles` on the host: edges of every axis against the reference, both directions."""

import pytest
import torch

from pyslsac.ops.reference.implicit_quantiles import implicit_quantiles, implicit_quantiles_backward
from tests.cuda_emulation.emulation import Library, Output, build

EDGES = [  # states, quantiles, cosines, width, outputs
    (2, 9, 5, 70, 12),  # more than kColumns active columns
    (1, 1, 1, 1, 1),
    (2, 8, 31, 257, 5),
    (1, 7, 33, 255, 257),
    (3, 3, 2, 33, 256),
    (2, 17, 0, 40, 31),
    (2, 17, 4, 0, 3),  # no column, so no barrier among them
]
CASES = [(*sizes, dtype) for dtype in (torch.float32, torch.float64) for sizes in EDGES]


def check(kernel: Library, b: int, n: int, c: int, k: int, h: int, dtype: torch.dtype, without: str = "") -> None:
    runs, name, sizes = 2, str(dtype)[6:], [2, b, n, c, k, h]
    shapes = [(b, k), (b, n), (c, k), (k,), (k, h), (h,), (h,)]
    given = [torch.randn(runs, *shape, dtype=dtype) / max(1, shape[0]) ** 0.5 for shape in shapes]
    given[1] = torch.rand(runs, b, n).to(dtype)
    quantiles, active = torch.empty(runs, b, n, dtype=dtype), torch.empty(runs, b, n, -(-h // 32), dtype=torch.int32)
    cosines = Output(torch.empty(runs, b, n, c, dtype=dtype))
    kernel(f"{name}_forward", given, cosines, Output(quantiles), Output(active), sizes, seed=k, without=without)
    wanted = [implicit_quantiles(*given)[0]]
    alone = torch.empty_like(quantiles)
    kernel(f"{name}_forward", given, cosines, Output(alone), None, sizes, seed=h, without=without)
    assert torch.equal(alone, quantiles)
    got, grad = [quantiles], torch.randn_like(quantiles)
    for weights in (False, True):
        grads = [torch.empty_like(x) for x in given[:1] + given[2:6]][: 5 if weights else 1]
        scratch = torch.empty(runs * b * (n * 2 * k + h), dtype=dtype)
        out = [*map(Output, grads), *[None] * (5 - len(grads)), Output(scratch)]
        kernel(f"{name}_backward", given, cosines, active, sizes, grad, out, seed=h, without=without)
        got += grads
        wanted += implicit_quantiles_backward(grad, active, *given[:5], weights)[: len(grads)]
    tolerance = 5e-6 if dtype == torch.float32 else 1e-13
    for x, y in zip(got, wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance * max([1.0, *y.abs().flatten().tolist()]))


@pytest.mark.parametrize(("b", "n", "c", "k", "h", "dtype"), CASES)
def test_agrees_with_the_reference(b: int, n: int, c: int, k: int, h: int, dtype: torch.dtype) -> None:
    check(build("implicit_quantiles"), b, n, c, k, h, dtype)
