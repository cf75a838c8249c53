"""perceptron leaves out units that a ReLU made zero in rows that are alike: the sums are those of all."""

import pytest
import torch

from pyslsac.ops import perceptron
from tests.ops.test_perceptron import (
    OP,
    OP_BACKWARD,
    ROUNDING,
    agrees,
    case,
    layers,
    same_on_any_threads,
    to,
    value_and_grads,
)


def dead(args, share, alike, seed=0):
    """That share of the hidden units is 0 in `alike` rows at a time: an input of each group of rows says which."""
    x, weights, biases = args
    generator = torch.Generator().manual_seed(seed)
    units, groups = weights[0].shape[-1], -(-x.shape[-2] // alike)
    x[..., :groups] = torch.eye(groups, dtype=x.dtype).repeat_interleave(alike, 0)[: x.shape[-2]]
    off = torch.rand(groups, units, generator=generator) < share
    weights[0][..., :groups, :] = torch.where(off, -50.0, 5.0).double()
    weights[-1] = weights[-1].abs() * off[0].logical_not().double().unsqueeze(-1)  # behind some units no gradient
    return x, weights, biases


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize(("batch", "alike"), [(300, 300), (96, 32), (40, 12), (25, 5), (9, 9)])
def test_units_that_a_relu_made_zero_in_rows_that_are_alike(batch, alike, share):
    """They are left out of the next product; sums and their order are those of all."""
    names = ["relu", "relu", None]
    args = dead(case(batch, (30, 70, 70, 3), names), share, alike)
    agrees(args, names, 2 * ROUNDING)
    args = to(args, torch.float32)
    same_on_any_threads(args, names)
    whole = OP(args[0], *args[1:], [0, 0, -1], False)[0]
    for row in (0, batch // 2, batch - 9):  # few rows are multiplied with all units
        few = OP(args[0][:, row : row + 9].contiguous(), *args[1:], [0, 0, -1], False)[0]
        torch.testing.assert_close(few, whole[:, row : row + 9], rtol=1e-6, atol=1e-5)


def test_a_nan_among_units_that_are_zero_stays():
    names = ["relu", "relu", None]
    args = to(dead(case(64, (30, 70, 70, 3), names), 0.9, 32), torch.float32)
    args[0][:, 40, 20] = torch.nan
    y, *_ = value_and_grads(perceptron, args, names)
    assert y.isnan().any(-1).nonzero()[:, 1].tolist() == [40, 40] and y[:, 40].isnan().all()


@pytest.mark.parametrize("bf16", [0, 3])
@pytest.mark.parametrize("batch", [300, 20, 7])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("last", [None, "tanh"])
def test_rows_without_a_gradient(batch, share, last, bf16):
    """As where one of two critics is the lesser: its rows' gradients are those of rows alone, the others' are 0."""
    names, generator = ["relu", "silu", "relu", last], torch.Generator().manual_seed(batch)
    x, weights, biases = to(case(batch, (9, 40, 33, 70, 2), names), torch.float32)
    rows = torch.rand(2, batch, 1, generator=generator) >= share
    weighting = torch.where(rows, torch.randn(2, batch, 2, generator=generator), 0.0)
    kinds = [0, 1, 0, -1 if last is None else 4]
    y, kept = OP(x, weights, biases, kinds, True, False, bf16)
    found, _ = OP_BACKWARD(weighting, x, y, kept, weights, kinds, 4, False, bf16)
    y, kept = OP(x, weights, biases, kinds, True, True, bf16)
    learned, grads = OP_BACKWARD(weighting, x, y, kept, weights, kinds, 4, True, bf16)
    torch.testing.assert_close(found, learned, rtol=1e-5, atol=1e-6)
    assert not found[~rows.squeeze(-1)].any() and all(grad.isfinite().all() for grad in grads)
    if bf16:
        return
    wide = x.double().requires_grad_()
    layers(wide, *([t.double() for t in some] for some in (weights, biases)), names).backward(weighting.double())
    torch.testing.assert_close(found.double(), wide.grad[..., 5:], rtol=1e-5, atol=1e-5)


def test_a_row_whose_gradient_is_nan_is_not_left_out():
    x, weights, biases = to(case(40, (9, 40, 1), ["silu", None]), torch.float32)
    y, kept = OP(x, weights, biases, [1, -1], True, False)
    grad = torch.zeros(2, 40, 1)
    grad[1, 3] = torch.nan
    found, _ = OP_BACKWARD(grad, x, y, kept, weights, [1, -1], 9, False)
    assert found.isnan().any(-1).nonzero().tolist() == [[1, 3]]
