"""The quantile network against the formula written out, and its dtype rules."""

import math

import torch

from pyslsac.nn import QuantileNetwork


def network(runs: int = 2, **options) -> QuantileNetwork:
    return QuantileNetwork(runs, 5, 16, [torch.Generator().manual_seed(s) for s in range(runs)], **options)


def test_the_formula_one_number_at_a_time():
    net = network().double()
    obs, action = torch.randn(2, 4, 3, dtype=torch.float64), torch.randn(2, 4, 2, dtype=torch.float64)
    tau = torch.rand(2, 4, 6, dtype=torch.float64)
    out = net(obs, action, tau)
    assert out.shape == (2, 4, 6)
    for run, row, column in ((0, 0, 0), (0, 3, 5), (1, 2, 1)):

        def layer(name, x, run=run):
            module = getattr(net, name)
            return x @ module.weight[run] + module.bias[run]

        psi = torch.relu(layer("psi", torch.cat([obs[run, row], action[run, row]])))
        cosines = torch.stack([torch.cos(math.pi * i * tau[run, row, column]) for i in range(64)])
        phi = torch.relu(layer("phi", cosines))
        expected = layer("head", torch.relu(layer("hidden", psi * phi)))
        torch.testing.assert_close(out[run, row, column], expected[0], rtol=1e-6, atol=1e-6)


def test_a_run_is_the_same_alone():
    both, alone = network(2), QuantileNetwork(1, 5, 16, [torch.Generator().manual_seed(1)])
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1:], single)


def test_bfloat16_stays_inside():
    exact, rough = network(1), network(1, bf16=True)
    inputs = torch.randn(1, 8, 3), torch.randn(1, 8, 2), torch.rand(1, 8, 32)
    a, b = exact(*inputs), rough(*inputs)
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.05 * a.abs().max() + 0.01
