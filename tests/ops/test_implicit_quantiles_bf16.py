"""`implicit_quantiles` in bfloat16: rounded factors, float32 sums, there and back; threads, runs."""

from functools import partial

import pytest
import torch

from pyslsac.ops import implicit_quantiles
from pyslsac.ops.reference import implicit_quantiles as reference
from tests.ops.bfloat16 import RoundedProduct, error, rounded
from tests.ops.test_implicit_quantiles import (
    EDGES,
    EMPTY,
    case,
    cut,
    devices,
    embedded,
    learning,
    passes,
    same_on_any_threads,
    value_and_grads,
    weighting,
)

CALL = partial(implicit_quantiles, bf16=True)


class RoundedHead(torch.autograd.Function):
    """ReLU(x weight + bias) head, whose derivatives' factors are weight head, x grad, and what is active, 0 or 1."""

    @staticmethod
    def forward(ctx, x, weight, bias, head):
        features = torch.relu(rounded(x) @ rounded(weight) + bias)
        ctx.save_for_backward(x, weight, bias, head, features)
        return (features * head).sum(-1, keepdim=True)

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, head, features = ctx.saved_tensors
        above = (features > 0).to(x)
        unit, unit_bias = rounded(x * grad).mT @ above, (above * grad).sum(1, keepdim=True)
        head_grad = (weight * unit).sum(1, keepdim=True) + bias * unit_bias
        return grad * (above @ rounded(weight * head).mT), unit * head, unit_bias * head, head_grad


def rounding_dense(*args):
    """The layers as a network would write them."""
    psi, tau, phi_weight, phi_bias, weight, bias, head = args
    cosines = embedded(tau, phi_weight.shape[1]).flatten(1, 2)
    phi = torch.relu(RoundedProduct.apply(cosines, phi_weight) + phi_bias.unsqueeze(1))
    joint = psi.relu().unsqueeze(2) * phi.view(*tau.shape, phi.shape[-1])
    return RoundedHead.apply(joint.flatten(1, 2), weight, *(v.unsqueeze(1) for v in (bias, head))).view(joint.shape[:3])


@devices
@pytest.mark.parametrize("sizes", [*EDGES, (40, 32, 64, 256, 256), (1, 300, 5, 40, 36), (33, 9, 64, 33, 65)])
def test_agrees_with_rounding_layers_in_float64(sizes, device):
    """Factors near the middle of two bfloat16 may be rounded to the other one, and features near zero change sign."""
    args = case(*sizes, runs=2, device=device, seed=sum(sizes))
    wanted = value_and_grads(rounding_dense, args)
    found = value_and_grads(CALL, [x.float() for x in args])
    for got, exact in zip(found, wanted, strict=True):
        assert (got.double() - exact).norm() <= 1e-2 * exact.norm() + 1e-6


def test_the_rounding_is_there():
    args = case(40, 32, 64, 256, 256)
    wanted = value_and_grads(rounding_dense, args)
    found, plain = (value_and_grads(call, [x.float() for x in args]) for call in (CALL, implicit_quantiles))
    assert error(found, wanted) < 5e-4 < 1e-3 < error(plain, wanted)


def test_the_references_backward_is_its_derivative():
    args = case(runs=2)
    args[0][0, 1] = -1.0
    args[6].fill_(1.0)
    quantiles, active = reference.implicit_quantiles(*args, True, True)
    grads = reference.implicit_quantiles_backward(weighting(quantiles), active, *args[:5], True, True)
    assert error(grads, value_and_grads(rounding_dense, args)[1:-1]) < 1e-12


@devices
def test_entries_not_above_zero_count_as_zero(device):
    args = case(runs=2, dtype=torch.float32, device=device)
    clipped = value_and_grads(CALL, args)
    args[0][args[0] == 0] = -3.0
    assert all(map(torch.equal, value_and_grads(CALL, args), clipped))


@pytest.mark.parametrize("fractions", [33, 40, 300])  # whose columns, and their tiles, end in different places
def test_what_lay_in_memory_before_does_not_matter(fractions):
    args = case(7, fractions, 7, 33, 40, dtype=torch.float32)
    wanted = value_and_grads(CALL, args)
    more = case(7, fractions + -fractions % 16, 7, 33, 40, dtype=torch.float32)  # in the same place, and full
    quantiles = CALL(*learning([x.fill_(torch.nan) for x in more]))
    quantiles.backward(torch.full_like(quantiles, torch.nan))
    assert all(map(torch.equal, value_and_grads(CALL, args), wanted))


def test_threads_do_not_change_bits():
    same_on_any_threads(CALL, case(75, 9, 7, 33, 40, runs=2, dtype=torch.float32))


@devices
@pytest.mark.parametrize("sizes", EMPTY)
def test_empty_axes(sizes, device):
    args = cut(sizes, dtype=torch.float32, device=device)
    for found, wanted in zip(value_and_grads(CALL, args), value_and_grads(rounding_dense, args), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-2)


@devices
@pytest.mark.parametrize("place", [0, 1], ids=["psi", "tau"])
def test_not_a_number_stays_one_and_in_its_state(place, device):
    args = case(40, 8, 6, 17, 19, dtype=torch.float32, device=device)
    args[place][0, 2, 3] = torch.nan
    assert CALL(*args).isnan().any(-1)[0].nonzero().flatten().tolist() == [2]


def test_runs_do_not_change_one_another():
    args = case(runs=3, dtype=torch.float32)
    together = passes(args, bf16=True)
    for run in range(3):
        alone = passes([x[run : run + 1] for x in args], bf16=True)
        assert all(torch.equal(a, b[run : run + 1]) for a, b in zip(alone, together, strict=True))


def test_opcheck_and_what_is_refused():
    args = case(3, 4, 3, 5, 6, runs=2, dtype=torch.float32)
    torch.library.opcheck(torch.ops.pyslsac.implicit_quantiles.default, (*args, True, True))
    quantiles, active = torch.ops.pyslsac.implicit_quantiles(*args, True, True)
    backward = (torch.ones_like(quantiles), active, *args[:5], True, True)
    torch.library.opcheck(torch.ops.pyslsac.implicit_quantiles_backward.default, backward)
    with pytest.raises(RuntimeError, match=r"implicit_quantiles: bf16 is .*; wanted false for float64"):
        CALL(*case())
