"""The normal law of the cost: its CVaR, its Bellman step and its distance by hand, and its networks."""

import pytest
import torch
import torch.nn.functional as F

from pyslsac.nn import NormalCost, normal_cvar, normal_target, wasserstein
from pyslsac.safety import empirical_cvar


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@pytest.mark.parametrize(("level", "slope"), [(1.0, 0.0), (0.9, 0.19500), (0.5, 0.79788), (0.1, 1.75498)])
def test_cvar_is_mean_and_a_multiple_of_the_deviation(level, slope):
    cvar = normal_cvar(tensor(1.0, -2.0), tensor(1.0, 10.0), level)
    assert cvar.tolist()[0] == pytest.approx([1 + slope, -2 + 10 * slope], abs=1e-3)
    sample = 1 + torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert cvar[0, 0].item() == pytest.approx(empirical_cvar(sample, level).item(), abs=0.02)


def test_a_target_by_hand():
    cost, discount = tensor(1.0, 1.0, 3.0), tensor(0.5, 0.5, 0.0)
    mean, std = normal_target(cost, discount, (tensor(2.0, 2.0, 9.0), tensor(4.0, 4.0, 9.0)), tensor(1.5, 9.0, 1.0))
    assert mean.tolist() == [[2.0, 2.0, 3.0]]  # the task ends in the last: nothing of what follows
    assert std.square().tolist()[0] == pytest.approx([4 + 4 - 2.25, 1e-8, 9 - 1])  # 4 + 4 - 81 is below the bound


def test_the_target_keeps_the_variance_on_the_mean():
    """Costs 0 and 2 at even odds, then half of N(1, 16): Var = 1 + 16 / 4."""
    then = tensor(1.0, 1.0), tensor(4.0, 4.0)
    mean, std = normal_target(tensor(0.0, 2.0), tensor(0.5, 0.5), then, tensor(1.5, 1.5))
    assert mean.mean().item() == 1.5 and std.square().mean().item() == pytest.approx(5.0)


def test_the_distance_by_hand():
    assert wasserstein((tensor(1.0), tensor(3.0)), (tensor(3.0), tensor(2.0))).tolist() == [[5.0]]
    assert 4 + 9 + 4 - 2 * (9 * 4) ** 0.5 == 5.0  # as Yang et al. write it, with variances


def network(runs: int, first: int = 0, **options) -> NormalCost:
    return NormalCost(runs, 5, 16, [torch.Generator().manual_seed(s) for s in range(first, runs)], **options)


def test_the_networks_are_mean_and_softplus_variance():
    net = network(2)
    obs, action = torch.randn(2, 4, 3), torch.randn(2, 4, 2)
    mean, std = net(obs, action)
    assert mean.shape == std.shape == (2, 4)
    x = torch.cat([obs[1, 2], action[1, 2]])
    for member, value in ((0, mean), (1, std)):
        hidden, layers = x, [m for m in net.networks.layers]
        for layer in layers[:-1]:
            hidden = torch.relu(hidden @ layer.weight[1, member] + layer.bias[1, member])
        out = hidden @ layers[-1].weight[1, member] + layers[-1].bias[1, member]
        expected = out if member == 0 else (F.softplus(out) + 1e-8).sqrt()
        torch.testing.assert_close(value[1, 2], expected[0])


def test_the_deviation_has_a_gradient_where_it_is_least():
    net = network(1)
    net.networks.layers[-1].bias.data.fill_(-60.0)
    std = net(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2))[1]
    std.sum().backward()
    assert std.tolist() == [[pytest.approx(1e-4)] * 2]
    assert net.networks.layers[-1].bias.grad.isfinite().all()


def test_a_run_is_the_same_alone_and_bfloat16_stays_inside():
    both, alone = network(2), NormalCost(1, 5, 16, [torch.Generator().manual_seed(1)])
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1:], single)
    assert network(1, bf16=True)(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2))[1].dtype == torch.float32
