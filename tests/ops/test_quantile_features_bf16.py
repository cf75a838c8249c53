"""`quantile_features` in bfloat16: rounded factors, float32 sums, there and back; threads, runs."""

from functools import partial

import pytest
import torch

from pyslsac.ops import quantile_features
from pyslsac.ops.reference import quantile_features as reference
from tests.ops.bfloat16 import RoundedProduct, error
from tests.ops.test_quantile_features import (
    EDGES,
    EMPTY,
    case,
    cut,
    devices,
    same_on_any_threads,
    value_and_grads,
    weighting,
)

CALL = partial(quantile_features, bf16=True)


def rounding_dense(*args):
    """The two layers as a network would write them."""
    psi, cosines, phi_weight, phi_bias, weight, bias = args
    phi = torch.relu(RoundedProduct.apply(cosines, phi_weight.unsqueeze(1)) + phi_bias[:, None, None])
    return torch.relu(RoundedProduct.apply(psi.relu().unsqueeze(2) * phi, weight.unsqueeze(1)) + bias[:, None, None])


@devices
@pytest.mark.parametrize("sizes", [*EDGES, (40, 32, 64, 256, 256), (1, 300, 5, 40, 36), (33, 9, 64, 33, 65)])
def test_agrees_with_rounding_layers_in_float64(sizes, device):
    """Products near the middle of two bfloat16 may be rounded to the other one, so that few sums are."""
    args = case(*sizes, runs=2, device=device, seed=sum(sizes))
    wanted = value_and_grads(rounding_dense, args)
    found = value_and_grads(CALL, [x.float() for x in args])
    for got, exact in zip(found, wanted, strict=True):
        assert (got.double() - exact).norm() <= 3e-3 * exact.norm() + 1e-6


def test_the_rounding_is_there():
    args = case(40, 32, 64, 256, 256)
    wanted = value_and_grads(rounding_dense, args)
    found, plain = (value_and_grads(call, [x.float() for x in args]) for call in (CALL, quantile_features))
    assert error(found, wanted) < 5e-4 < 1e-3 < error(plain, wanted)


def test_the_references_backward_is_its_derivative():
    args = case(runs=2)
    args[0][0, 1] = -1.0
    features = reference.quantile_features(*args, True)
    grads = reference.quantile_features_backward(weighting(features), features, *args, True, True)
    assert error(grads, value_and_grads(rounding_dense, args)[1:]) < 1e-12


@devices
def test_entries_not_above_zero_count_as_zero(device):
    args = case(runs=2, dtype=torch.float32, device=device)
    clipped = value_and_grads(CALL, args)
    args[0][args[0] == 0] = -3.0
    assert all(map(torch.equal, value_and_grads(CALL, args), clipped))


def test_threads_do_not_change_bits():
    same_on_any_threads(CALL, case(75, 9, 7, 33, 40, runs=2, dtype=torch.float32))


@devices
@pytest.mark.parametrize("sizes", EMPTY)
def test_empty_axes(sizes, device):
    args = cut(sizes, dtype=torch.float32, device=device)
    for found, wanted in zip(value_and_grads(CALL, args), value_and_grads(rounding_dense, args), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-2)


@devices
def test_not_a_number_stays_one_and_in_its_state(device):
    args = case(40, 8, 6, 17, 19, dtype=torch.float32, device=device)
    args[0][0, 2, 3] = torch.nan
    assert CALL(*args).isnan().any(-1).any(-1)[0].nonzero().flatten().tolist() == [2]


def test_runs_do_not_change_one_another():
    args = case(runs=3, dtype=torch.float32)
    backward = torch.ops.pyslsac.quantile_features_backward
    together = CALL(*args)
    grads = backward(together.sin(), together, *args, True, True)
    for run in range(3):
        own = [x[run : run + 1] for x in args]
        alone = CALL(*own)
        assert torch.equal(alone, together[run : run + 1])
        own_grads = backward(alone.sin(), alone, *own, True, True)
        assert all(torch.equal(a, b[run : run + 1]) for a, b in zip(own_grads, grads, strict=True))
        psi_alone = backward(alone.sin(), alone, *own, False, True)[0]
        assert torch.equal(psi_alone, own_grads[0])


def test_opcheck_and_what_is_refused():
    args = case(3, 4, 3, 5, 6, runs=2, dtype=torch.float32)
    torch.library.opcheck(torch.ops.pyslsac.quantile_features.default, (*args, True))
    features = CALL(*args)
    backward = (torch.ones_like(features), features, *args, True, True)
    torch.library.opcheck(torch.ops.pyslsac.quantile_features_backward.default, backward)
    with pytest.raises(RuntimeError, match=r"quantile_features: bf16 is .*; wanted false for float64"):
        CALL(*case())
