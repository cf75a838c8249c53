"""Products with the Fisher matrix are those of the KL's explicit Hessian."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from pyslsac.nn import Gaussian, fisher_product, flat, unflat

OBS, ACT, WIDTH, ROWS = 3, 2, 5, 7


def policies(runs: int) -> tuple[Gaussian, torch.Tensor]:
    generators = [torch.Generator().manual_seed(run) for run in range(runs)]
    policy = Gaussian(runs, OBS, ACT, WIDTH, generators).double()
    with torch.no_grad():
        policy.log_std += torch.tensor([0.3, -0.4])
        policy.network.layers[-1].weight.mul_(10)
    return policy, torch.randn(runs, ROWS, OBS, generator=generators[0], dtype=torch.float64)


def hessian(policy: Gaussian, obs: torch.Tensor, run: int) -> torch.Tensor:
    """[P, P] of mean_B KL(policy now || policy) of one run, by two passes of autograd over a network spelt out."""
    shapes = [parameter[run : run + 1] for parameter in policy.parameters()]

    def law(vector: torch.Tensor) -> Independent:
        log_std, *layers = unflat(vector.unsqueeze(0), shapes)
        x = obs[run]
        for depth, (weight, bias) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
            x = x @ weight[0] + bias[0]
            x = x if depth == 2 else x.tanh()
        return Independent(Normal(x, log_std[0].exp().expand_as(x)), 1)

    now = flat(shapes)[0].detach()
    return torch.autograd.functional.hessian(lambda v: kl_divergence(law(now), law(v)).mean(), now)


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_products_are_the_hessians(damping):
    policy, obs = policies(2)
    product = fisher_product(policy, obs, damping)
    size = flat(list(policy.parameters())).shape[1]
    columns = torch.stack([product(row.expand(2, -1)) for row in torch.eye(size, dtype=torch.float64)], dim=-1)
    for run in range(2):
        expected = hessian(policy, obs, run) + damping * torch.eye(size, dtype=torch.float64)
        torch.testing.assert_close(columns[run], expected, rtol=1e-9, atol=1e-11)
    assert not columns.requires_grad
