"""The CUDA passes of `perceptron` on the host, products between them: the reference's values and gradients."""

import itertools

import pytest
import torch
from torch import Tensor

from pyslsac.ops.perceptron import KINDS
from pyslsac.ops.reference import perceptron as reference
from tests.cuda_emulation.emulation import Library, build

RELU, MISH, TANH = (["relu", "relu", None], ["mish", "silu", None], ["tanh", "gelu", "tanh"])
CASES = [  # networks, that share x, rows, widths, activations, last columns of x and weights: whose gradients
    (1, 1, 1, [3, 5, 4, 1], RELU, 3, True),
    (3, 1, 17, [4, 33, 32, 1], MISH, 2, True),
    (3, 3, 16, [4, 31, 5, 2], RELU, 4, True),
    (4, 2, 15, [2, 40, 3, 1], TANH, 1, True),
    (4, 2, 5, [2, 8, 3, 6], TANH, 0, True),
    (2, 2, 33, [3, 8, 65, 1], RELU, 1, False),
    (2, 1, 9, [3, 1, 7, 2], MISH, 2, True),
    (2, 2, 40, [7, 1], [None], 5, True),
    (2, 2, 40, [7, 1], ["relu"], 0, True),
    (3, 1, 4, [2, 3], ["silu"], 2, False),
]
NAN = float("nan")


def empty(*shape: int) -> Tensor:
    return torch.full(shape, NAN)


def check(
    kernel: Library,
    networks: int,
    shared: int,
    rows: int,
    widths: list[int],
    activations: list[str | None],
    by_x: int,
    by_weights: bool,
    without: str = "",
) -> None:
    kinds, layers = [KINDS[name] for name in activations], len(activations)
    pairs = list(itertools.pairwise(widths))
    x, weights = torch.randn(networks // shared, rows, widths[0]), [torch.randn(networks, i, o) for i, o in pairs]
    biases, y_grad = [torch.randn(networks, o) for o in widths[1:]], torch.randn(networks, rows, widths[-1])
    y, kept = reference.perceptron(x, weights, biases, kinds, True)
    x_grad, grads = reference.perceptron_backward(y_grad, x, y, kept, weights, kinds, by_x, by_weights)

    outs = [empty(networks, rows, o) for o in widths[1:]]
    slopes = [empty(networks, rows, o) if kind > 0 else None for o, kind in zip(widths[1:], kinds, strict=True)]
    mine = [empty(*grad.shape) for grad in grads] if by_weights else [None] * 2 * layers
    between = [empty(networks, rows, o) if by_weights else None for o in widths[1:]]
    mine_x = empty(networks, rows, by_x) if by_x else None
    scratch = empty(kernel.library.scratch(max(widths[1:]), widths[0], networks, shared, rows))

    def table(keep: bool) -> list:
        entries: list = []
        for n, (i, o) in enumerate(pairs):
            hidden = n == layers - 1 or (keep and (by_weights or kinds[n] == 0))
            entries += [i, o, kinds[n] % 2**64, weights[n], biases[n], outs[n] if hidden else None]
            entries += [slopes[n] if keep else None, between[n], mine[2 * n], mine[2 * n + 1]]
        return entries

    sizes = layers, x, networks, shared, rows
    for keep in (False, True):  # the last pass is what the gradients start from
        outs[-1].fill_(NAN)
        kernel("forward", table(keep), *sizes, scratch, seed=rows, without=without)
        torch.testing.assert_close(outs[-1], y, rtol=1e-5, atol=1e-5)
        scratch.fill_(NAN)
    kernel("backward", table(True), *sizes, y_grad, mine_x, by_x, scratch, seed=rows, without=without)
    if mine_x is not None:
        torch.testing.assert_close(mine_x, x_grad, rtol=1e-4, atol=1e-5)
    if by_weights:
        torch.testing.assert_close(mine, grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("networks", "shared", "rows", "widths", "activations", "by_x", "by_weights"), CASES)
def test_the_numbers_of_the_reference(
    networks: int,
    shared: int,
    rows: int,
    widths: list[int],
    activations: list[str | None],
    by_x: int,
    by_weights: bool,
) -> None:
    check(build("perceptron"), networks, shared, rows, widths, activations, by_x, by_weights)
