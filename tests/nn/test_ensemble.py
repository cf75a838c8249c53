"""A stack of networks is the networks: values, gradients, initial weights, run by run."""

import math

import pytest
import torch
from torch import nn

from pyslsac.nn import Ensemble, StackedLinear, frozen
from pyslsac.ops import action_grad


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def separate(ensemble: Ensemble, *index: int) -> nn.Sequential:
    """The plain network that stands at `index` of a stack."""
    modules: list[nn.Module] = []
    pointwise = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "mish": nn.Mish, "tanh": nn.Tanh}[
        ensemble.activation
    ]
    for layer in ensemble.layers:
        linear = nn.Linear(layer.weight.shape[-2], layer.weight.shape[-1], dtype=layer.weight.dtype)
        linear.weight.data = layer.weight[index].detach().T.clone()
        linear.bias.data = layer.bias[index].detach().clone()
        modules += [linear, pointwise()]
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "mish", "tanh"])
def test_members_are_separate_networks(activation):
    ensemble = Ensemble((2, 3), (4, 8, 8, 1), generators(0, 1), activation=activation).double()
    x = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    out = ensemble(x)
    assert out.shape == (2, 3, 5, 1)
    out.square().mean(2).sum().backward()
    x_grad = torch.zeros_like(x)
    for run in range(2):
        for member in range(3):
            network, mine = separate(ensemble, run, member), x[run].detach().requires_grad_()
            y = network(mine)
            torch.testing.assert_close(out[run, member], y)
            y.square().mean(0).sum().backward()
            x_grad[run] += mine.grad
            for layer, linear in zip(ensemble.layers, network[::2], strict=True):
                torch.testing.assert_close(layer.weight.grad[run, member], linear.weight.grad.T)
                torch.testing.assert_close(layer.bias.grad[run, member], linear.bias.grad)
    torch.testing.assert_close(x.grad, x_grad)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "mish", "tanh"])
def test_a_group_is_the_ensemble(activation):
    """`langevin_chain`'s critics are these: the same values, and the gradient that autograd gives."""
    ensemble = Ensemble((2, 3), (6, 64, 64, 1), generators(0, 1), activation=activation).double()
    obs, action = torch.randn(2, 5, 4).double(), (2 * torch.rand(2, 5, 2) - 1).double().requires_grad_()
    value = ensemble(torch.cat([obs, action], -1)).squeeze(-1).amin(1)
    (expected,) = torch.autograd.grad(value.sum(), action)
    found = action_grad(obs, action.detach(), [ensemble.group(reduce="min")])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("activation", [None, "relu", "mish", "tanh"])
def test_gradients(activation):
    layer = StackedLinear((2,), 3, 4, generators(0, 1), activation=activation).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.weight, layer.bias))


def test_initial_weights_do_not_depend_on_the_runs_beside():
    both = Ensemble((2, 2), (3, 16, 1), generators(5, 6))
    alone = Ensemble((1, 2), (3, 16, 1), generators(6))
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1:], single)
    bound = 1 / math.sqrt(3)
    first = both.layers[0].weight
    assert first.abs().max() <= bound and first.abs().max() > 0.8 * bound
    assert not torch.equal(first[0], first[1])


def test_bfloat16_hidden_layers_keep_float32_weights_and_output():
    ensemble = Ensemble((1, 2), (4, 32, 32, 1), generators(0), bf16=True)
    plain = Ensemble((1, 2), (4, 32, 32, 1), generators(0))
    x = torch.randn(1, 64, 4)
    out, exact = ensemble(x), plain(x)
    hidden = ensemble.layers[0](x.unsqueeze(1).expand(-1, 2, -1, -1))
    assert out.dtype == torch.float32 and hidden.dtype == torch.float32
    assert 0 < (out - exact).abs().max() < 0.02 * exact.abs().max()
    out.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in ensemble.parameters())


def test_frozen_networks_pass_gradients_and_take_none():
    ensemble = Ensemble((1, 2), (4, 8, 1), generators(0))
    x = torch.randn(1, 5, 4, requires_grad=True)
    with frozen(ensemble):
        out = ensemble(x)
    assert all(parameter.requires_grad for parameter in ensemble.parameters())
    out.sum().backward()
    assert x.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in ensemble.parameters())
