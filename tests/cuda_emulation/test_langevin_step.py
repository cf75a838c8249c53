"""The CUDA kernels of `langevin_step` on the host: the bits of the CPU, every limit of the gradient, chunk edges."""

import pytest
import torch

from pyslsac.ops import backend, langevin_step
from tests.cuda_emulation.emulation import Library, Output, build

LIMITS = {  # in the order of GradLimit
    "none": dict(),
    "normalize": dict(normalize=True),
    "cap_sample": dict(grad_cap=1.5),
    "cap_run": dict(grad_cap=1.5, grad_cap_scope="run"),
}
SIZES = [(2, 31, 33), (1, 1, 1), (3, 5, 2), (1, 64, 64), (1, 4097, 1), (2, 1, 4095), (1, 33, 125)]
CASES = [(*sizes, limit, torch.float32) for limit in reversed(LIMITS) for sizes in SIZES]
CASES += [(2, 33, 125, limit, torch.float64) for limit in LIMITS]


def check(kernel: Library, runs: int, batch: int, dim: int, limit: str, dtype: torch.dtype, without: str = "") -> None:
    action, grad = torch.rand(2, runs, batch, dim, dtype=dtype)
    numbers = torch.rand(3, runs, dtype=dtype)
    seed, step, cap = torch.arange(runs), torch.tensor(5), LIMITS[limit].get("grad_cap", 0.0)
    options = dict(LIMITS[limit], step_size=numbers[0], temperature=numbers[1], drift_scale=numbers[2])
    wanted = langevin_step(action, grad, seed=seed, step=5, stream=9, **options)
    sums = Output(torch.empty(runs * -(-batch * dim // 4096), dtype=torch.float64))
    number = list(LIMITS).index(limit)
    given = action, grad, sums, runs, batch, dim, numbers, number, cap, seed, step, 9
    kernel(str(dtype)[6:], *given, seed=batch, without=without)
    tolerance = 0.0 if backend("langevin_step", "cpu") == "compiled" else 1e-6
    torch.testing.assert_close(action, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("runs", "batch", "dim", "limit", "dtype"), CASES)
def test_the_bits_of_the_cpu(runs: int, batch: int, dim: int, limit: str, dtype: torch.dtype) -> None:
    check(build("langevin_step"), runs, batch, dim, limit, dtype)
