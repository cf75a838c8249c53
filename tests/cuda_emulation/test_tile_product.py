"""The wrappers of csrc/mma.cuh: a product of tiles, exact as its numbers are small integers, on the host and a GPU."""

import ctypes
from pathlib import Path

import pytest
import torch

from tests.cuda_emulation.emulation import HERE, Library, Output, build, run

CASES = [(64, 32, 32), (1, 8, 8), (65, 40, 72), (130, 64, 96)]


def factors(m: int, n: int, k: int) -> list[torch.Tensor]:
    return [torch.randint(-9, 10, size).bfloat16() for size in ((m, k), (k, n))]


def check(kernel: Library, m: int, n: int, k: int, without: str = "") -> None:
    a, b = factors(m, n, k)
    c = torch.empty(m, n)
    kernel("run", a, b, Output(c), m, n, k, seed=m, without=without)
    assert torch.equal(c, a.float() @ b.float())


@pytest.mark.parametrize(("m", "n", "k"), CASES)
def test_multiplies(m: int, n: int, k: int) -> None:
    check(build("tile_product"), m, n, k)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_device_multiplies(tmp_path: Path) -> None:
    """The layouts that the emulation follows are those of the instructions."""
    library = tmp_path / "tile_product.so"
    options = ["-std=c++17", "-O3", "-arch=native", "-shared", "-Xcompiler=-fPIC"]
    run("nvcc", *options, "-x", "cu", "-o", library, HERE / "tile_product.cpp")
    kernel = ctypes.CDLL(str(library))
    for m, n, k in CASES:
        a, b = (x.cuda() for x in factors(m, n, k))
        c = torch.full((m, n), torch.nan, device="cuda")
        torch.cuda.synchronize()
        kernel.run(*(ctypes.c_void_p(x.data_ptr()) for x in (a, b, c)), *map(ctypes.c_int64, (m, n, k)))
        torch.cuda.synchronize()
        assert torch.equal(c, a.float() @ b.float())
