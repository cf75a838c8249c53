"""`implicit_quantiles`: numbers by hand, dense layers in float64, derivatives, edges of the tiles, zeros, threads."""

import math

import pytest
import torch

from pyslsac.ops import backend, implicit_quantiles
from pyslsac.ops.reference import implicit_quantiles as reference
from tests.ops.threads import on_threads

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
devices = pytest.mark.parametrize("device", DEVICES)
EDGES = [  # states, quantiles, cosines, width, outputs
    *((3, n, 5, 9, 12) for n in (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33)),
    *((3, 6, c, 9, 12) for c in (1, 8, 15, 16, 17, 64, 65)),
    *((3, 6, 5, k, 12) for k in (1, 2, 8, 16, 31, 32, 33, 127, 129, 257)),
    *((3, 6, 5, 9, h) for h in (1, 4, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 257)),
    *((b, 6, 5, 9, 12) for b in (1, 2, 7, 8, 9, 15, 17)),
]
EMPTY = [(0, 4, 3, 5, 6), (3, 0, 3, 5, 6), (3, 4, 0, 5, 6), (3, 4, 3, 0, 6), (3, 4, 3, 5, 0)]


def case(*sizes, runs=1, dtype=torch.float64, device="cpu", seed=0):
    """Arguments whose psi is the output of a ReLU, half zeros."""
    states, n, cosines, width, outputs = sizes or (5, 8, 6, 17, 19)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(runs, *shape, generator=generator, dtype=torch.float64)

    psi = normal(states, width).relu()
    tau = torch.rand(runs, states, n, generator=generator, dtype=torch.float64).float().double()
    phi = normal(cosines, width) / cosines**0.5, normal(width)
    hidden = normal(width, outputs) / width**0.5, normal(outputs), normal(outputs)
    return [x.to(device, dtype) for x in (psi, tau, *phi, *hidden)]


def weighting(quantiles):  # some derivative by them
    numbers = torch.arange(1.0, quantiles.numel() + 1, dtype=torch.float64, device=quantiles.device)
    return numbers.sin().to(quantiles.dtype).view_as(quantiles)


def learning(args):
    """Copies that ask for every gradient there is."""
    return [x.detach().clone().requires_grad_(i != 1) for i, x in enumerate(args)]


def value_and_grads(call, args):
    """The quantiles and the derivatives of a fixed weighting of them, by all arguments but the fractions."""
    args = learning(args)
    quantiles = call(*args)
    grads = torch.autograd.grad(quantiles, [x for x in args if x.requires_grad], weighting(quantiles))
    return [quantiles.detach(), *grads]


def dense(*args):
    """The layers as a network would write them."""
    psi, tau, phi_weight, phi_bias, weight, bias, head = args
    phi = torch.relu(embedded(tau, phi_weight.shape[1]) @ phi_weight.unsqueeze(1) + phi_bias[:, None, None])
    features = torch.relu((psi.relu().unsqueeze(2) * phi) @ weight.unsqueeze(1) + bias[:, None, None])
    return (features * head[:, None, None]).sum(-1)


def embedded(tau, count):
    """cos(pi i tau) [..., count], one by one."""
    cosines = [torch.cos(math.pi * i * tau) for i in range(count)]
    return torch.stack(cosines, -1) if cosines else tau.new_empty(*tau.shape, 0)


def close(got, wanted, tolerance):
    for a, b in zip(got, wanted, strict=True):
        scale = b.abs().max().item() if b.numel() else 0.0
        torch.testing.assert_close(a.double(), b.double(), rtol=0, atol=tolerance * (scale + 1))


def same_on_any_threads(call, args):
    """One, two and three threads make the same bits."""
    found = on_threads(lambda: value_and_grads(call, args))
    assert all(all(map(torch.equal, other, found[0])) for other in found[1:])


@devices
def test_two_states_by_hand(device):
    psi = torch.tensor([[[2.0, 0.0], [3.0, 1.0]]])
    tau = torch.tensor([[[0.0, 1.0], [1 / 3, 0.5]]])  # whose cosines of pi tau are [1, -1], [0.5, 0]
    phi_weight, phi_bias = torch.tensor([[[0.25, -1.0], [1.0, 2.0]]]), torch.tensor([[0.25, 1.0]])
    weight, bias, head = torch.tensor([[[1.0], [-2.0]]]), torch.tensor([[0.25]]), torch.tensor([[2.0]])
    # phi: [1.5, 2], [0, 0] | [1, 1], [0.5, 0]; psi phi: [3, 0], [0, 0] | [3, 1], [1.5, 0]
    args = learning([x.to(device) for x in (psi, tau, phi_weight, phi_bias, weight, bias, head)])
    quantiles = implicit_quantiles(*args)
    quantiles.sum().backward()
    wanted = {
        0: [[[3.0, 0.0], [3.0, -4.0]]],  # Σ_n phi w, where psi > 0
        2: [[[4.0 + 6.0 + 6.0, -4.0], [4.0 + 3.0, -2.0]]],  # Σ psi w cos, where phi > 0
        3: [[4.0 + 6.0 + 6.0, -4.0]],
        4: [[[6.0 + 6.0 + 3.0], [2.0]]],
        5: [[8.0]],
        6: [[3.25 + 0.25 + 1.25 + 1.75]],
    }
    for found, by_hand in ((quantiles, [[[6.5, 0.5], [2.5, 3.5]]]), *((args[i].grad, g) for i, g in wanted.items())):
        torch.testing.assert_close(found.detach().cpu(), torch.tensor(by_hand), rtol=1e-6, atol=2e-6)


@devices
@pytest.mark.parametrize("sizes", EDGES)
def test_agrees_with_the_dense_layers_in_float64(sizes, device):
    args = case(*sizes, runs=2, device=device, seed=sum(sizes))
    wanted = value_and_grads(dense, args)
    close(value_and_grads(implicit_quantiles, args), wanted, 1e-13)
    close(value_and_grads(lambda *args: reference.implicit_quantiles(*args)[0], args), wanted, 1e-13)
    close(value_and_grads(implicit_quantiles, [x.float() for x in args]), wanted, 5e-6)


@devices
def test_the_references_backward_is_its_derivative(device):
    args = case(runs=2, device=device)
    args[0][0, 1] = -1.0
    args[6].fill_(1.0)  # for what it returns is by the features' argument
    quantiles, active = reference.implicit_quantiles(*args, True)
    grads = reference.implicit_quantiles_backward(weighting(quantiles), active, *args[:5], True)
    close(grads, value_and_grads(dense, args)[1:-1], 1e-13)


@devices
@pytest.mark.parametrize("outputs", [1, 31, 32, 33, 64, 100])
def test_what_is_active_is_packed_alike(outputs, device):
    args = case(3, 5, 4, 9, outputs, runs=2, device=device)
    op = torch.ops.pyslsac.implicit_quantiles
    assert torch.equal(op(*args, True)[1], reference.implicit_quantiles(*args, True)[1])
    assert op(*args, False)[1].shape == (2, 3, 5, 0)
    above = torch.rand(2, 3, outputs, device=device) - 0.5
    assert torch.equal(reference.unpacked(reference.packed(above), outputs), above > 0)


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cosines_are_those_of_high_precision(dtype, device):
    """Each alone, by a row of a unit matrix, with a bias that brings it above zero."""
    fuses = device == "cuda" or torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    once = backend("implicit_quantiles", device) == "compiled" and fuses  # i tau is rounded less whole turns
    tolerance = 1e-13 if dtype == torch.float64 else 1e-6 if once else 1e-4
    count, tau = 200, torch.linspace(0, 1, 1001, dtype=torch.float64).to(dtype)
    one = torch.ones(1, 1, device=device, dtype=dtype)
    for i in (0, 1, 2, 63, 64, 199):
        phi = torch.zeros(1, count, 1, device=device, dtype=dtype)
        phi[0, i] = 1.0
        args = one[None], tau.to(device)[None, None], phi, 1.5 * one, one[None], 0 * one, one
        turns = torch.remainder(tau.double() * i, 2.0)
        found = implicit_quantiles(*args)[0, 0].double().cpu() - 1.5
        torch.testing.assert_close(found, torch.cos(math.pi * turns), rtol=0, atol=tolerance)


@devices
def test_gradcheck(device):
    args = case(3, 4, 3, 5, 6, runs=2, device=device)
    assert torch.autograd.gradcheck(lambda *rest: implicit_quantiles(args[0], *rest), learning(args)[1:])
    away = (args[0] + 0.5).requires_grad_()  # from the kink
    assert torch.autograd.gradcheck(lambda psi: implicit_quantiles(psi, *args[1:]), away)


@devices
def test_entries_not_above_zero_count_as_zero(device):
    args = case(runs=2, device=device)
    clipped = value_and_grads(implicit_quantiles, args)
    args[0][args[0] == 0] = -3.0
    assert all(map(torch.equal, value_and_grads(implicit_quantiles, args), clipped))
    assert (clipped[1][args[0] < 0] == 0).all() and (clipped[1][args[0] > 0] != 0).any()
    quantiles, *grads = value_and_grads(implicit_quantiles, [-args[0].abs() - 1, *args[1:]])  # the bias is left
    wanted = (args[5].relu() * args[6]).sum(-1)[:, None, None].expand_as(quantiles)
    torch.testing.assert_close(quantiles, wanted, rtol=0, atol=1e-13)
    assert all((x == 0).all() for x in grads[:-2]) and all((x != 0).any() for x in grads[-2:])


@devices
@pytest.mark.parametrize("place", [0, 1], ids=["psi", "tau"])
def test_not_a_number_stays_one(place, device):
    args = case(device=device)
    args[place][0, 2, 3] = torch.nan
    assert implicit_quantiles(*args).isnan().any(-1).tolist() == [[False, False, True, False, False]]


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_bits(dtype, device):
    same_on_any_threads(implicit_quantiles, case(37, 9, 7, 33, 40, runs=2, dtype=dtype, device=device))


@devices
def test_runs_do_not_change_one_another(device):
    args = case(runs=3, device=device)
    together = passes(args)
    for run in range(3):
        alone = passes([x[run : run + 1] for x in args])
        assert all(torch.equal(a, b[run : run + 1]) for a, b in zip(alone, together, strict=True))


def passes(args, bf16=False):
    """Both ops, each by itself, as they count their arguments."""
    quantiles, active = torch.ops.pyslsac.implicit_quantiles(*args, True, bf16)
    backward = (quantiles.sin(), active, *args[:5])
    grads = [torch.ops.pyslsac.implicit_quantiles_backward(*backward, weights, bf16) for weights in (True, False)]
    assert torch.equal(grads[0][0], grads[1][0]) and [x.numel() for x in grads[1][1:]] == [0] * 4
    return [quantiles, active, *grads[0]]


@devices
@pytest.mark.parametrize("sizes", EMPTY)
def test_empty_axes(sizes, device):
    args = cut(sizes, device=device)
    close(value_and_grads(implicit_quantiles, args), value_and_grads(dense, args), 1e-13)


def cut(sizes, **options):
    """Arguments of these sizes, of which some are 0."""
    args = case(*(s or 1 for s in sizes), **options)
    b, n, c, k, h = sizes
    cuts = [(1, b, k), (1, b, n), (1, c, k), (1, k), (1, k, h), (1, h), (1, h)]
    return [x[tuple(map(slice, ends))] for x, ends in zip(args, cuts, strict=True)]
