"""Values and action gradients of ensembles against autograd."""

import pytest
import torch

from pyslsac.nn import Ensemble
from pyslsac.sampling import values_and_pullback


def critics(activation: str, dtype: torch.dtype = torch.float64, **options) -> Ensemble:
    generators = [torch.Generator().manual_seed(s) for s in range(2)]
    return Ensemble((2, 3), (6, 16, 16, 16, 1), generators, activation=activation, **options).to(dtype)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "mish", "tanh"])
def test_equals_autograd(activation):
    net = critics(activation)
    obs, action = torch.randn(2, 9, 4).double(), torch.randn(2, 9, 2).double().requires_grad_()
    weights = torch.randn(2, 3, 9).double()
    q = net(torch.cat([obs, action], -1)).squeeze(-1)
    expected = torch.autograd.grad((weights * q).sum(), action)[0]
    values, pullback = values_and_pullback(obs, action.detach(), net.group())
    torch.testing.assert_close(values, q, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(pullback(weights), expected, rtol=1e-12, atol=1e-13)
    assert not values.requires_grad and not pullback(weights).requires_grad
    first = torch.zeros_like(weights).index_fill_(1, torch.tensor(0), 1.0)  # may be called again
    torch.testing.assert_close(
        pullback(first), torch.autograd.grad(net(torch.cat([obs, action], -1))[:, 0].sum(), action)[0]
    )


def test_bfloat16_stays_inside():
    net, rough = critics("silu", torch.float32), critics("silu", torch.float32, bf16=True)
    obs, action, weights = torch.randn(2, 9, 4), torch.randn(2, 9, 2), torch.ones(2, 3, 9)
    exact, pull = values_and_pullback(obs, action, net.group())
    values, rough_pull = values_and_pullback(obs, action, rough.group(), bf16=True)
    assert values.dtype == rough_pull(weights).dtype == torch.float32
    torch.testing.assert_close(values, rough(torch.cat([obs, action], -1)).squeeze(-1), rtol=0, atol=1e-6)
    assert 0 < (values - exact).abs().max() < 0.05
    assert 0 < (rough_pull(weights) - pull(weights)).norm() < 0.05 * pull(weights).norm()
