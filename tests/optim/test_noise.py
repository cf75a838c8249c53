"""The report on the noise, against counts and norms measured on the weights themselves."""

import pytest
import torch
from torch import nn

from pyslsac.optim import ASGLD
from pyslsac.optim.noise import movable


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_movable_is_the_share_that_rounding_lets_through(dtype: torch.dtype) -> None:
    for magnitude in (0.7, 1.5, 3.0):
        weights = torch.full((100_000,), magnitude, dtype=dtype)
        sigma = magnitude * torch.finfo(dtype).eps * 0.4
        moved = ((weights.double() + sigma * torch.randn(100_000).double()).to(dtype) != weights).double().mean()
        assert movable(weights, sigma).mean().item() == pytest.approx(moved.item(), abs=0.006)
    assert movable(torch.tensor([0.06, 1.0], dtype=dtype), 2.4e-10).max() < 1e-12
    assert movable(torch.zeros(1, dtype=dtype), 1e-30).item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("variant", ["asgld", "asgld-preconditioned", "psgld", "sgld"])
@pytest.mark.parametrize("clip", ["grad_norm", "drift_norm", None])
def test_the_ratio_is_that_of_the_step_taken(variant: str, clip: str | None) -> None:
    start = torch.randn(2, 3, 50, 40, dtype=torch.float64)
    grad = start.sign() * (0.5 + torch.rand_like(start)) * torch.tensor([1.0, 30.0]).double().view(2, 1, 1, 1)
    ends, fields = [], dict(lr=1e-2, temperature=1e-2, variant=variant, clip=clip, members=(2, 3), seed=0)
    for noise in (True, False):
        weights = nn.Parameter(start.clone())
        weights.grad = grad.clone()
        optimizer = ASGLD([weights], **fields)
        optimizer.step(noise=noise)
        ends.append(weights.detach())
    noise_norm, drift_norm = ((x.flatten(1)).norm(dim=1) for x in (ends[0] - ends[1], ends[1] - start))
    ratio, share = optimizer.noise_report()
    torch.testing.assert_close(ratio.double(), noise_norm / drift_norm, rtol=0.05, atol=0)
    assert share.shape == (2,) and (share > 0.999).all()


def test_shares_with_and_without_compensation() -> None:
    for compensated, wanted in ((False, 0.0), (True, 1.0)):
        weights = nn.Parameter(torch.linspace(0.06, 1.0, 100))
        weights.grad = torch.ones(100)
        optimizer = ASGLD([weights], compensated=compensated)
        assert optimizer.noise_report()[1].isnan().all()
        optimizer.step()
        ratio, share = optimizer.noise_report()
        assert share.item() == pytest.approx(wanted, abs=1e-6) and 0 < ratio.item() < 1e-5
