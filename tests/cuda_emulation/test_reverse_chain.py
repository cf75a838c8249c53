"""The CUDA passes of `reverse_chain` on the host, products between them: the reference's values and gradients."""

import itertools

import pytest
import torch
from torch import Tensor

from pyslsac.ops.perceptron import KINDS
from pyslsac.ops.reference import reverse_chain as reference
from tests.cuda_emulation.emulation import KernelFault, Library, Output, build

CASES = [  # runs, rows, levels, columns of obs and table, widths of the hidden layers and actions, activations
    (1, 1, 1, 1, 1, [1], [None]),
    (2, 17, 3, 3, 2, [5, 4, 2], ["relu", "relu", None]),
    (3, 40, 2, 2, 33, [8, 1], ["silu", None]),
    (1, 33, 5, 4, 3, [33, 3], ["silu", "tanh"]),
    (2, 16, 4, 1, 5, [1, 6, 1], ["tanh", "mish", "tanh"]),
    (2, 7, 2, 5, 1, [3], ["relu"]),
    (1, 300, 2, 3, 4, [6, 2], ["gelu", None]),
    (2, 5, 3, 0, 2, [4, 2], ["relu", None]),
    (2, 5, 3, 2, 0, [4, 2], ["relu", None]),
    (2, 0, 3, 2, 3, [4, 1, 2], ["relu", "silu", None]),
]
PLANTED = {  # a bug, what is said of it, the change
    "the table's row of the level above": ("not close|outside", "move.level - 1)", "move.level)"),
    "gain of the device": ("outside every buffer", "fma_rn(move.gain,", "fma_rn(static_cast<float>(a.gain[k]),"),
    "levels that do not add": ("not close", "- weights]) += level[i]", "- weights]) = level[i]"),
    "too little scratch": ("outside every buffer", "(summed ? weight_numbers(args.score) : 0)", "(summed ? 1 : 0)"),
    "a start that is no start": ("nobody has written", "Move move{nullptr,", "Move move{a.x,"),
}
NAN = float("nan")


def empty(*shape: int) -> Tensor:  # for what products write, of which the emulation hears nothing
    return torch.full(shape, NAN)


def check(
    kernel: Library,
    runs: int,
    rows: int,
    levels: int,
    states: int,
    embedding: int,
    widths: list[int],
    activations: list[str | None],
    without: str = "",
) -> None:
    torch.manual_seed(rows)
    kinds, layers, actions = [KINDS[name] for name in activations], len(activations), widths[-1]
    pairs = list(itertools.pairwise([states + actions + embedding, *widths]))
    obs, noise, table, grad, *params = (
        torch.randn(shape, dtype=torch.float64) * scale
        for shape, scale in (
            ((runs, rows, states), 1),
            ((runs, levels, rows, actions), 1),
            ((runs, levels, embedding), 1),
            ((runs, rows, actions), 1),
            *[((runs, i, o), i**-0.5) for i, o in pairs],
            *[((runs, o), 0.5) for o in widths],
        )
    )
    gain, spread = torch.rand(2, levels, dtype=torch.float64)
    weights, biases = params[:layers], params[layers:]
    made = reference.reverse_chain(obs, noise, table, weights, biases, kinds, gain, spread, True)
    by_table, grads = reference.reverse_chain_backward(grad, *made, table, weights, kinds, gain)

    obs, noise, table, grad, *params = (tensor.float() for tensor in (obs, noise, table, grad, *params))

    def layer_table(keep: bool, places: list | None = None) -> list:
        entries: list = []
        for n, (i, o) in enumerate(pairs):
            entries += [i, o, kinds[n] % 2**64, params[n], params[layers + n]]
            entries += [outs[n] if keep or n == layers - 1 else None, slopes[n] if keep else None]
            entries += places[3 * n : 3 * n + 3] if places else [None] * 3
        return entries

    def run(function: str, score: list, chain: list) -> None:
        room = torch.zeros(1, dtype=torch.int64)
        kernel("scratch", score, layers, chain, room)
        kernel(function, score, layers, chain, empty(int(room)), seed=rows, without=without)

    sizes, path = [runs, rows, levels, states, actions, embedding], torch.empty(levels, runs, rows, actions)
    for keep in (False, True):  # the last pass is what the gradients start from
        slabs, before = levels if keep else 1, path.clone()
        outs = [empty(slabs, runs, rows, o) for o in widths]
        slopes = [empty(slabs, runs, rows, o) if kind > 0 else None for o, kind in zip(widths, kinds, strict=True)]
        inputs, x = empty(slabs, runs, rows, pairs[0][0]), torch.empty(runs, rows, actions)
        fresh = [Output(tensor) for tensor in (inputs, x, path)]
        run("forward", layer_table(keep), [*sizes, keep, obs, noise, table, gain, spread, *fresh, *[None] * 4])
        for got, wanted in zip((path, inputs, outs[-1]), made[:3], strict=True):
            torch.testing.assert_close(got, wanted[: len(got)].float(), rtol=1e-4, atol=1e-5)
    assert torch.equal(path, before)

    mine = [empty(*tensor.shape) for tensor in grads]
    places = [t for n, o in enumerate(widths) for t in (empty(levels, runs, rows, o), *mine[2 * n : 2 * n + 2])]
    score_grad, x_grad = torch.empty(levels, runs, rows, actions), empty(levels, runs, rows, actions + embedding)
    mine_table = torch.empty(runs, levels, embedding)
    pointers = [None, None, None, gain, None, inputs, Output(x), path, grad, Output(score_grad), x_grad]
    run("backward", layer_table(True, places), [*sizes, True, *pointers, Output(mine_table)])
    for got, wanted in zip((mine_table, *mine), (by_table, *grads), strict=True):
        torch.testing.assert_close(got, wanted.float(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("runs", "rows", "levels", "states", "embedding", "widths", "activations"), CASES)
def test_the_numbers_of_the_reference(
    runs: int,
    rows: int,
    levels: int,
    states: int,
    embedding: int,
    widths: list[int],
    activations: list[str | None],
) -> None:
    check(build("reverse_chain"), runs, rows, levels, states, embedding, widths, activations)


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    says, *change = PLANTED[bug]
    kernel = build("reverse_chain", ("csrc/cuda/reverse_chain.cu", *change))
    with pytest.raises((KernelFault, AssertionError), match=says):
        for case in CASES:
            check(kernel, *case)
