"""The CUDA kernel of `philox_integers` on the host: the numbers of the reference, for odd and even counts."""

import pytest
import torch

from pyslsac.ops.reference.philox_integers import philox_integers_
from tests.cuda_emulation.emulation import Library, Output, build

CASES = [(1, 1, 1), (1, 2, 7), (3, 5, 2**31), (2, 255, 1_000_000), (2, 256, 12), (1, 1025, 3)]


def check(kernel: Library, runs: int, elements: int, high: int, without: str = "") -> None:
    seed, step, most = torch.randint(2**62, (runs,)), torch.tensor(2**40 + 7), torch.tensor([high])
    out, wanted = (torch.full((runs, elements), -1) for _ in range(2))
    kernel("run", Output(out), runs, elements, seed, runs, step, most, 65537, seed=runs, without=without)
    philox_integers_(wanted, seed, step, most, 65537)
    assert torch.equal(out, wanted)


@pytest.mark.parametrize(("runs", "elements", "high"), CASES)
def test_the_numbers_of_the_reference(runs: int, elements: int, high: int) -> None:
    check(build("philox_integers"), runs, elements, high)
