"""`perceptron` in bfloat16: rounded factors, float32 sums, there and back; what is not rounded; threads, networks."""

import itertools
from functools import partial

import pytest
import torch

from pyslsac.ops import perceptron
from pyslsac.ops.reference import perceptron as reference
from tests.ops.bfloat16 import RoundedProduct, error
from tests.ops.test_perceptron import (
    ACTIVATIONS,
    OP,
    OP_BACKWARD,
    ROUNDING,
    case,
    close,
    devices,
    same_on_any_threads,
    to,
    value_and_grads,
)

SHAPES = [  # batch, widths from input to output; tiles have 32 rows and columns, and depths in thirty-twos
    *((batch, (40, 36)) for batch in (1, 2, 8, 9, 31, 32, 33, 64, 65, 131, 256, 300, 513)),
    *((13, (width, 20)) for width in (1, 2, 7, 16, 31, 32, 33, 63, 64, 65, 256)),
    *((13, (20, width)) for width in (2, 7, 16, 17, 31, 32, 33, 64, 127, 128, 129, 256, 257)),
]


def rounding_layers(x, weights, biases, names):
    """The layers as one would write them."""
    for _ in range(weights[0].dim() - x.dim()):
        x = x.unsqueeze(-3)
    for weight, bias, name in zip(weights, biases, names, strict=True):
        x = ACTIVATIONS[name](RoundedProduct.apply(x, weight) + bias.unsqueeze(-2))
    return x


@devices
@pytest.mark.parametrize(("batch", "sizes"), SHAPES)
def test_one_layer_is_a_product_of_rounded_factors(batch, sizes, device):
    args = case(batch, sizes, [None], seed=batch + sum(sizes), device=device)
    wanted = value_and_grads(rounding_layers, args, [None])
    for call_args in (args, to(args, torch.float32)):
        found = value_and_grads(partial(perceptron, bf16=1), call_args, [None])
        close(found[1:], wanted[1:], 2 * ROUNDING)
        close(found[:1], wanted[:1], 2 * ROUNDING)
    assert error(value_and_grads(perceptron, args, [None])[:1], wanted[:1]) > 1e-4


@devices
@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize(("members", "seen_by"), [((2, 3), 1), ((2,), 0)])
def test_layers_after_one_another(name, members, seen_by, device):
    """Hidden values near the middle of two bfloat16 may be rounded to the other one: far from all of them."""
    names = [name] * 3
    args = case(50, (23, 70, 64, 40), names, members, seen_by, device=device)
    wanted = value_and_grads(rounding_layers, args, names)
    assert error(value_and_grads(partial(perceptron, bf16=3), args, names), wanted) < 1e-12  # float64: the reference
    found = value_and_grads(partial(perceptron, bf16=3), to(args, torch.float32), names)
    plain = value_and_grads(perceptron, to(args, torch.float32), names)
    assert error(found, wanted) < 5e-4 < error(plain, wanted)


@devices
def test_layers_past_the_first_so_many_are_not_rounded(device):
    x, weights, biases = to(case(40, (23, 64, 33), device=device), torch.float32)
    hidden = perceptron(x, weights[:1], biases[:1], ["gelu"], bf16=1)
    y = perceptron(x, weights, biases, ["gelu", None], bf16=1)
    wanted = hidden.double() @ weights[1].double() + biases[1].double().unsqueeze(-2)
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=1e-5)
    assert (perceptron(x, weights, biases, ["gelu", None], bf16=2) - y).abs().max() > 1e-3


@devices
def test_one_output_is_not_rounded(device):
    args = to(case(40, (23, 1), [None], device=device), torch.float32)
    both = (value_and_grads(partial(perceptron, bf16=bf16), args, [None]) for bf16 in (0, 1))
    assert all(itertools.starmap(torch.equal, zip(*both, strict=True)))


@devices
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_not_finite_spoils_its_row_alone(value, device):
    x, weights, biases = to(case(40, (23, 5), [None], (1,), device=device), torch.float32)
    x[0, 3, 7] = value
    y = perceptron(x, weights, biases, [None], bf16=1)
    assert y.isfinite().all(-1).logical_not().nonzero().tolist() == [[0, 3]]


@pytest.mark.parametrize("batch", [1, 8, 40, 131, 300])
@pytest.mark.parametrize("names", [["relu", "relu", None], ["mish", "gelu", "tanh"]])
def test_threads_do_not_change_bits(names, batch):
    args = to(case(batch, (17, 100, 256, 3), names, (1,)), torch.float32)
    same_on_any_threads(args, names, partial(perceptron, bf16=2))


@pytest.mark.parametrize("batch", [9, 70])
def test_networks_do_not_change_one_another(batch):
    x, weights, biases = to(case(batch, (17, 40, 33, 3), ["relu"] * 3, (3,)), torch.float32)
    names, call = ["relu", "relu", None], partial(perceptron, bf16=2)
    together = value_and_grads(call, (x, weights, biases), names)[0]
    for n in range(3):
        own = x[n : n + 1], [w[n : n + 1] for w in weights], [b[n : n + 1] for b in biases]
        assert torch.equal(call(*own, names), together[n : n + 1])


def test_given_columns_change_nothing():
    x, weights, biases = to(case(40, (20, 33, 1)), torch.float32)
    names, some = ["silu", None], x[..., 13:].clone().requires_grad_()
    whole = x.clone().requires_grad_()
    y = perceptron(whole, weights, biases, names, bf16=1)
    assert torch.equal(perceptron(some, weights, biases, names, x[..., :13], 1), y)
    (found,) = torch.autograd.grad(perceptron(some, weights, biases, names, x[..., :13], 1).sum(), some)
    assert torch.equal(found, torch.autograd.grad(y.sum(), whole)[0][..., 13:])


@pytest.mark.parametrize("bf16", [-1, 3])
def test_as_many_layers_as_there_are(bf16):
    x, weights, biases = to(case(5, (7, 4, 3)), torch.float32)
    for call in (OP, reference.perceptron):
        with pytest.raises(
            RuntimeError, match=f"^perceptron: bf16 is {bf16}; wanted at most as many as there are layers"
        ):
            call(x, weights, biases, [0, -1], False, False, bf16)


def test_opcheck():
    """Of the CPU's ops; on CUDA the wrapper takes the reference."""
    x, weights, biases = to(case(6, (4, 9, 3)), torch.float32)
    torch.library.opcheck(OP.default, (x, weights, biases, [0, -1], True, True, 1))
    y, kept = OP(x, weights, biases, [0, -1], True, True, 1)
    torch.library.opcheck(OP_BACKWARD.default, (y.cos(), x, y, kept, weights, [0, -1], 4, True, 1))


@devices
def test_no_rows(device):
    args = to(case(0, (7, 4, 3), device=device), torch.float32)
    y, by_x, *grads = value_and_grads(partial(perceptron, bf16=2), args, ["relu", None])
    assert y.shape == (2, 0, 3) and by_x.shape == (2, 0, 7) and all((grad == 0).all() for grad in grads)
