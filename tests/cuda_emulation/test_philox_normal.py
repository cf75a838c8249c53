"""The CUDA kernel of `philox_normal` on the host: the bits of the reference, wherever a draw begins."""

import pytest
import torch

from pyslsac.ops.reference.philox_normal import normals
from tests.cuda_emulation.emulation import Library, Output, build

CASES = [(1, 1, 0), (1, 3, 2), (3, 4, 4), (2, 1023, 1), (2, 1024, 0), (1, 1025, 3), (5, 255, 2**34 - 256)]


def check(kernel: Library, runs: int, elements: int, first: int, without: str = "") -> None:
    seed, step = torch.randint(2**62, (runs,)), torch.tensor(2**40 + 7)
    out = torch.empty(runs, elements)
    kernel("run", Output(out), runs, elements, first, seed, runs, step, 65537, seed=runs, without=without)
    assert torch.equal(out, normals(runs, elements, seed, step, 65537, first))


@pytest.mark.parametrize(("runs", "elements", "first"), CASES)
def test_the_bits_of_the_reference(runs: int, elements: int, first: int) -> None:
    check(build("philox_normal"), runs, elements, first)
