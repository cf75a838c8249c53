"""perceptron joins the first two layers of many rows that differ in few columns, as actions of a state do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac.ops import perceptron
from tests.ops.test_perceptron import NAMES, OP, ROUNDING, case, layers, to
from tests.ops.threads import on_threads

MANY = 1024  # csrc/perceptron.h: rows of a batch from which on it does


def alike(args, rows, own, scale=1.0):
    """`rows` rows at a time share all but the last `own` inputs, which are `scale` times as large as the others."""
    x, weights, biases = args
    batch, inputs = x.shape[-2:]
    first = torch.arange(batch) // rows * rows
    shared = x[..., first, : inputs - own]
    return torch.cat([shared, (scale * x[..., inputs - own :]).float().double()], -1), weights, biases


@torch.no_grad()
def agrees(args, names, tolerance=ROUNDING):
    """In float32 with plain layers in float64, to the bit on any number of threads; the value."""
    found = on_threads(lambda: perceptron(*to(args, torch.float32), names), (1, 2, 3, 5))
    wanted = layers(*args, names)
    torch.testing.assert_close(found[0].double(), wanted, rtol=0, atol=tolerance * (wanted.abs().max().item() + 1))
    assert all(torch.equal(other, found[0]) for other in found[1:])
    return found[0]


def row_by_row(args, names):
    """What is kept for a way back is not joined."""
    return OP(*to(args, torch.float32), [NAMES.index(name) - 1 for name in names], True, True)[0]


@pytest.mark.parametrize("scale", [1.0, 0.1])  # many units that are positive in some rows of a state, and few
@pytest.mark.parametrize("rows", [32, 16, 20, 64, 33, 1100])
@pytest.mark.parametrize(("batch", "sizes", "own"), [(1100, (23, 70, 70, 1), 6), (1024, (9, 130, 33, 2), 2)])
def test_rows_that_share_their_first_columns(batch, sizes, own, rows, scale):
    names = ["relu", "relu", None]
    args = alike(case(batch, sizes, names, seed=rows), rows, own, scale)
    found = agrees(args, names)
    assert not torch.equal(found, row_by_row(args, names))  # sums of folded units are rounded elsewhere


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_shape(data):
    names = ["relu", *data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2))]
    sizes = data.draw(st.lists(st.integers(1, 140), min_size=len(names) + 1, max_size=len(names) + 1))
    batch, rows, seed = (data.draw(st.integers(*ends)) for ends in ((MANY, MANY + 70), (2, 70), (0, 9)))
    own = data.draw(st.integers(0, sizes[0]))
    agrees(alike(case(batch, sizes, names, seed=seed), rows, own), names, 10 * ROUNDING)


@pytest.mark.parametrize("own", [0, 1, 7, 15])
def test_any_number_of_columns_that_are_not_shared(own):
    names = ["relu", "silu", None]
    agrees(alike(case(1056, (20, 40, 40, 1), names), 32, own), names)


@pytest.mark.parametrize(("rows", "own"), [(1, 6), (5, 6), (32, 16)])
def test_rows_that_are_not_alike_have_the_bits_of_rows_alone(rows, own):
    names = ["relu", "relu", None]
    args = alike(case(1100, (23, 70, 70, 1), names), rows, own)
    assert torch.equal(agrees(args, names), row_by_row(args, names))


@pytest.mark.parametrize("every", [2, 9])
def test_rows_among_others_that_are_not_alike(every):
    """Where blocks begin, which depends on the threads, makes no difference."""
    names = ["relu", "relu", None]
    x, weights, biases = case(2100, (23, 70, 70, 1), names)
    args = alike((x, weights, biases), 32, 6)
    joined = torch.arange(2100) // 32 % every == 0
    args[0][:, ~joined] = x[:, ~joined]
    found, alone = agrees(args, names), row_by_row(args, names)
    assert torch.equal(found[:, ~joined], alone[:, ~joined])
    same = (found == alone)[:, joined].float().mean().item()
    assert same < 0.9, "no unit is folded"


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("column", [2, 20])
def test_what_is_not_finite_stays_where_it_is(column, value):
    names = ["relu", "relu", None]
    args = to(alike(case(1056, (23, 70, 70, 1), names), 32, 6), torch.float32)
    clean = perceptron(*args, names)
    rows = slice(40, 41) if column == 20 else slice(32, 64)  # an action, or all of a state
    args[0][..., rows, column] = value
    found, alone = perceptron(*args, names), row_by_row(args, names)
    others = torch.ones(1056, dtype=torch.bool)
    others[rows] = False
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(found[:, others], clean[:, others], rtol=1e-4, atol=1e-5)
