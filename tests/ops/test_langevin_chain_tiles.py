"""The bfloat16 products in matrix tiles, over registers in memory: every processor can check their loads and stores.

Where the processor has such tiles they are run as well; and what multiplies where there are none.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

SOURCE = Path(__file__).parent / "bf16_tiles.cpp"
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module", params=["", "-DPYSLSAC_ONE_CLONE"], ids=["as built", "one clone"])
def library(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("tiles") / "tiles.so"
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-Wno-psabi", *request.param.split()]
    subprocess.run(["g++", *flags, str(SOURCE), "-o", str(out)], check=True)
    return ctypes.CDLL(str(out))


def bits(x: torch.Tensor) -> np.ndarray:
    return x.view(torch.int16).numpy().view(np.uint16).copy()


def packed(matrix: torch.Tensor) -> torch.Tensor:
    """[depth, 32] with rows 2j and 2j + 1 interleaved, as the chain packs a panel."""
    return matrix.unflatten(0, (-1, 2)).transpose(1, 2).contiguous()


def in_blocks(library: ctypes.CDLL, left: torch.Tensor) -> torch.Tensor:
    """[rows, depth] in blocks of 32 by 32, entry by entry."""
    library.place.restype, (rows, depth) = ctypes.c_int64, left.shape
    places = [[library.place(*map(ctypes.c_int64, (i, j, depth))) for j in range(depth)] for i in range(rows)]
    out = torch.full((-(-rows // 32) * 32 * depth,), torch.nan).bfloat16()
    out[torch.tensor(places, dtype=torch.long).view(rows, depth)] = left
    return out


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("rows", [0, 31, 32, 33, 64, 95])
@pytest.mark.parametrize("depth", [32, 96, 256])
def test_products_of_whole_tiles(library: ctypes.CDLL, rows: int, depth: int, blocks: bool) -> None:
    stride, out_stride, whole = depth + 32, 48, rows // 32 * 32
    left, right = torch.randn(rows, stride).bfloat16(), torch.randn(depth, 32).bfloat16()
    expected = left[:, :depth].double() @ right.double()
    functions = [library.product, library.product_without]
    if getattr(library, "available", lambda: 0)():
        functions.append(library.processor_product)
    for function in functions:
        function.restype = ctypes.c_int64
        out = np.full((rows + 1, out_stride), np.nan, np.float32)
        from_left = bits(in_blocks(library, left) if blocks else left)
        from_right = bits(packed(right))
        sizes = [ctypes.c_int64(n) for n in (stride, depth, out_stride, rows)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (from_left, from_right, out)]
        done = function(pointers[0], sizes[0], blocks, pointers[1], sizes[1], pointers[2], sizes[2], sizes[3])
        assert done == (rows if function is library.product_without else whole)
        assert np.isnan(out[done:]).all() and np.isnan(out[:, 32:]).all()  # nothing else was written
        np.testing.assert_allclose(out[:done, :32], expected[:done].numpy(), rtol=1e-4, atol=1e-4)
