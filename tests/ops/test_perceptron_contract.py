"""perceptron as an op: what it makes and refuses, opcheck, compiled graphs, other dtypes."""

import importlib

import pytest
import torch

from pyslsac.ops import _library, backend, perceptron
from pyslsac.ops.reference import perceptron as reference
from tests.ops.test_perceptron import OP, OP_BACKWARD, case, close, devices, layers, to, value_and_grads


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_what_is_asked_for_is_made(dtype, monkeypatch):
    """By `keep` and `learned` of the forward pass, `input` and `learned` of the backward one; the tensors that came."""
    module, calls = importlib.import_module("pyslsac.ops.perceptron"), []

    def spy(op, forth):
        def call(*args):
            first, rest = op(*args)
            calls.append((*args[-3:-1], sum(tensor.numel() > 0 for tensor in rest)))  # the last one is bf16
            assert forth or first.shape[-1] == args[-3]
            return first, rest

        return call

    for place, forward, backward in (
        (module, "_forward", "_backward"),
        (reference, "perceptron", "perceptron_backward"),
    ):
        monkeypatch.setattr(place, forward, spy(getattr(place, forward), True))
        monkeypatch.setattr(place, backward, spy(getattr(place, backward), False))
    names = ["relu", "gelu", None]
    x, weights, biases = to(case(12, (7, 6, 5, 3), names), dtype)
    leaf = x.clone().requires_grad_()
    perceptron(x, weights, biases, names)
    with torch.no_grad():
        perceptron(leaf, weights, biases, names)
    assert calls == [(False, False, 0)] * 2
    whole = value_and_grads(perceptron, (x, weights, biases), names)
    assert calls[2:] == [(True, True, 3), (7, True, 6)]  # two hidden layers, and the slope or argument of the GELU
    weighting = torch.arange(1.0, whole[0].numel() + 1, dtype=torch.float64).sin().view_as(whole[0]).to(dtype)
    perceptron(leaf, weights, biases, names).backward(weighting)
    assert torch.equal(leaf.grad, whole[1]) and calls[4:] == [(True, False, 2), (7, False, 0)]
    learn = [t.clone().requires_grad_() for t in (*weights, *biases)]
    perceptron(x, learn[:3], learn[3:], names).backward(weighting)
    assert all(map(torch.equal, [t.grad for t in learn], whole[2:])) and calls[7] == (0, True, 6)


def float_case():
    """Arguments of the op: six networks, three to an input, 7 -> 4 -> 3, SiLU between."""
    x, weights, biases = to(case(5, (7, 4, 3), members=(2, 3), seen_by=1), torch.float32)
    return [x, [w.flatten(0, 1) for w in weights], [b.flatten(0, 1) for b in biases], [1, -1]]


def instead(position, change, *inside):
    """A change of one argument of the op, or of what stands at `inside` in that list."""

    def changed(args):
        args = [*map(copied, args)]
        if inside:
            args[position][inside[0]] = change(args[position][inside[0]])
        else:
            args[position] = change(args[position])
        return args

    return changed


def copied(argument):
    return [*argument] if isinstance(argument, list) else argument


def twice(x):
    return x.double()


SHARED = {  # of both passes; what came: the change
    "weights is 0; wanted 1 to 8 layers": lambda args: [args[0], [], [], []],
    "weights is 9; wanted 1 to 8 layers": lambda args: [
        args[0],
        args[1] * 4 + args[1][:1],
        args[2] * 4 + args[2][:1],
        [1] * 9,
    ],
    "activations is 1; wanted one a layer": instead(3, lambda a: a[:1]),
    "activations is 5; wanted -1 or an index below 5": instead(3, lambda a: [5, -1]),
    "activations is -2; wanted -1 or an index below 5": instead(3, lambda a: [1, -2]),
    "x is float32 [5, 7] on cpu; wanted [G / shared, B, in]": instead(0, lambda x: x[0]),
    "x is float32 [2, 5, 0] on cpu; wanted [G / shared, B, in]": instead(0, lambda x: x[..., :0]),
    "x is float32 [2, 5, 7] on cpu": instead(0, lambda x: x.mT.contiguous().mT),
    "x is int64 [2, 5, 7] on cpu": instead(0, lambda x: x.long()),
    "weights is float32 [7, 4] on cpu; wanted [G, in, out], G a multiple of x's first axis, float32 [2": instead(
        1, lambda w: w[0], 0
    ),
    "weights is float32 [5, 7, 4] on cpu; wanted [G, in, out], G a multiple of": instead(1, lambda w: w[:5], 0),
    "weights is float32 [6, 6, 4] on cpu; wanted float32 [6, 7, 4] on cpu, contiguous": instead(
        1, lambda w: w[:, :6].contiguous(), 0
    ),
    "weights is float32 [6, 7, 0] on cpu; wanted [G, in, out]": instead(1, lambda w: w[..., :0], 0),
    "weights is float32 [6, 7, 4] on cpu": instead(1, lambda w: w.mT.contiguous().mT, 0),
    "weights is float64 [6, 4, 3] on cpu; wanted float32 [6, 4, 3] on cpu, contiguous": instead(1, twice, 1),
    "weights is float32 [6, 5, 3] on cpu; wanted float32 [6, 4, 3]": instead(1, lambda w: torch.zeros(6, 5, 3), 1),
    "weights is float32 [3] on cpu; wanted [G, in, out]": instead(1, lambda w: w[0, 0], 1),
}
FORWARD = {
    "biases is 1; wanted one a layer": instead(2, lambda b: b[:1]),
    "biases is float32 [6, 3] on cpu; wanted float32 [6, 4] on cpu, contiguous": instead(
        2, lambda b: b[:, :3].contiguous(), 0
    ),
    "biases is float64 [6, 3] on cpu; wanted float32 [6, 3]": instead(2, twice, 1),
    "biases is float32 [] on cpu; wanted float32 [6, 3]": instead(2, lambda b: b[0, 0], 1),
}


@pytest.mark.parametrize("came", {**SHARED, **FORWARD})
def test_arguments_that_do_not_fit_are_named(came):
    x, weights, biases, activations = {**SHARED, **FORWARD}[came](float_case())
    for call in (OP, reference.perceptron):
        with pytest.raises(RuntimeError) as error:
            call(x, weights, biases, activations, True)
        assert str(error.value).startswith(f"perceptron: {came}")
    if came in SHARED:
        for call in (OP_BACKWARD, reference.perceptron_backward):
            with pytest.raises(RuntimeError) as error:
                call(
                    torch.zeros(6, 5, 3),
                    x,
                    torch.zeros(6, 5, 3),
                    [torch.zeros(6, 5, 4)] * 2,
                    weights,
                    activations,
                    1,
                    True,
                )
            assert str(error.value).startswith(f"perceptron_backward: {came}")


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.zeros(6, 5, 4), "grad is float32 [6, 5, 4] on cpu; wanted float32 [6, 5, 3] on cpu, contiguous"),
        (0, torch.zeros(6, 5, 3).double(), "grad is float64 [6, 5, 3] on cpu; wanted float32"),
        (2, torch.zeros(2, 5, 3), "y is float32 [2, 5, 3] on cpu; wanted float32 [6, 5, 3]"),
        (3, [], "kept is 0; wanted all that perceptron kept"),
        (3, [torch.zeros(6, 5, 4)], "kept is 1; wanted all that perceptron kept"),
        (6, 8, "input is 8; wanted at most x's columns, 7"),
        (6, -1, "input is -1; wanted at most x's columns, 7"),
        (3, [torch.zeros(6, 5, 4), torch.zeros(6, 4)], "kept is float32 [6, 4] on cpu; wanted float32 [6, 5, 4]"),
        (3, [torch.zeros(0), torch.zeros(6, 5, 4)], "kept is float32 [0] on cpu; wanted float32 [6, 5, 4]"),
    ],
)
def test_what_the_backward_pass_alone_takes_is_checked(position, value, message):
    x, weights, biases, activations = float_case()
    y, kept = OP(x, weights, biases, activations, True)
    args = [y, x, y, kept, weights, activations, 7, True]
    args[position] = value
    for call in (OP_BACKWARD, reference.perceptron_backward):
        with pytest.raises(RuntimeError) as error:
            call(*args)
        assert str(error.value).startswith(f"perceptron_backward: {message}")


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:, :-1], lambda t: t[0], lambda t: t.double(), lambda t: t.clone().requires_grad_()],
    ids=["rows", "axes", "dtype", "gradient"],
)
def test_columns_given_that_do_not_fit_are_refused(change):
    x, weights, biases = to(case(9, (20, 6, 3)), torch.float32)
    given = change(x[..., :13])
    with pytest.raises(RuntimeError, match=r"perceptron: given is float.* wanted float32 .* but for the last axis"):
        perceptron(x[..., 13:], weights, biases, ["silu", None], given)
    if given.requires_grad:
        with torch.no_grad():
            perceptron(x[..., 13:], weights, biases, ["silu", None], given)


@pytest.mark.parametrize("learning", [False, True])
def test_the_wrapper_names_what_does_not_fit(learning):
    x, weights, biases = to(case(5, (7, 4, 3), members=(2, 3), seen_by=1), torch.float32)
    names = ["silu", None]
    x.requires_grad_(learning)
    for args, message in (
        ((x, weights, biases, ["swish", None]), "activations is 'swish'; wanted None or one of"),
        ((x, weights, biases, ["silu"]), "activations is 1; wanted one a layer"),
        ((x, weights, biases[:1], names), "biases is 1; wanted one a layer"),
        ((x, [], [], []), "weights is 0; wanted 1 to 8 layers"),
        ((x[0, 0], weights, biases, names), "x is float32 \\[1, 7\\] on cpu; wanted"),
        ((x.unsqueeze(1), weights, biases, names), "weights is .* beside float32 \\[2, 1, 5, 7\\] on cpu"),
        ((x.repeat(3, 1, 1), weights, biases, names), "weights is .* beside float32 \\[6, 5, 7\\] on cpu"),
        ((x, [weights[0], weights[1].flatten(0, 1)], biases, names), "weights is .*float32 \\[6, 4, 3\\]"),
        ((x.double(), weights, biases, names), "weights is float32 .* wanted float64"),
    ):
        with pytest.raises(RuntimeError, match=f"^perceptron: {message}"):
            perceptron(*args)


@devices
def test_other_dtypes_run_on_the_reference(device):
    args = case(20, (7, 18, 3), device=device)
    rough = value_and_grads(perceptron, to(args, torch.bfloat16), ["gelu", None])
    assert all(t.dtype == torch.bfloat16 for t in rough)
    close(rough, value_and_grads(layers, args, ["gelu", None]), 0.05)


@devices
@pytest.mark.parametrize("activations", [[0, -1], [-1, 2]])
def test_opcheck(activations, device):
    x, weights, biases = to(case(6, (4, 9, 3), members=(4,), device=device), torch.float32)
    x = x[:2].contiguous()
    y, kept = OP(x, weights, biases, activations, True)
    for keep, learned in ((activations[0] < 0, True), (True, False)):
        torch.library.opcheck(OP.default, (x, weights, biases, activations, keep, learned))
    for flags in ((4, True), (2, False), (0, True)) if activations[0] < 0 else ((3, True),):
        torch.library.opcheck(OP_BACKWARD.default, (y.cos(), x, y, kept, weights, activations, *flags))


def test_torch_compile():
    args, names = to(case(9, (7, 6, 3), members=(2, 3), seen_by=1), torch.float32), ["silu", None]
    compiled = torch.compile(lambda *rest: perceptron(*rest).tanh(), fullgraph=True, backend="aot_eager")
    wanted = value_and_grads(lambda *rest: perceptron(*rest).tanh(), args, names)
    assert all(map(torch.equal, value_and_grads(compiled, args, names), wanted))
    leaves = [args[0].clone().requires_grad_() for _ in range(2)]
    for leaf, call in zip(leaves, (compiled, lambda *rest: perceptron(*rest).tanh()), strict=True):
        call(leaf, *args[1:], names).sum().backward()  # of x alone: less is kept
    assert torch.equal(leaves[0].grad, leaves[1].grad)
    with torch.no_grad():
        assert torch.equal(compiled(*args, names), wanted[0])


def test_a_second_derivative_is_refused():
    x, weights, biases = case()
    (grad,) = torch.autograd.grad(
        perceptron(x.requires_grad_(), weights, biases, ["tanh", "tanh"]).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_compiled_where_the_core_was_built():
    wanted = "compiled" if _library.MISSING["cpu"] is None else "reference"
    assert {backend(f"perceptron{kind}", "cpu") for kind in ("", "_backward")} == {wanted}
