"""reverse_chain as an op: what it makes, keeps and refuses, opcheck, compiled graphs, other dtypes, no rows."""

import importlib

import pytest
import torch
from torch import Tensor

from pyslsac.ops import _library, backend, reverse_chain
from pyslsac.ops.reference import reverse_chain as reference
from tests.ops.test_perceptron import close, devices
from tests.ops.test_reverse_chain import case, ours, plain, same, to, value_and_grads

OP, OP_BACKWARD = torch.ops.pyslsac.reverse_chain, torch.ops.pyslsac.reverse_chain_backward


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_what_is_asked_for_is_kept(dtype, monkeypatch):
    """By `keep`: the levels of what enters and leaves the score, and the tensors kept of its layers."""
    module, calls = importlib.import_module("pyslsac.ops.reverse_chain"), []

    def spy(op):
        def call(*args):
            _, inputs, y, kept = found = op(*args)
            calls.append((args[8], len(inputs), len(y), [len(tensor) for tensor in kept]))
            return found

        return call

    for place, name in ((module, "_forward"), (reference, "reverse_chain")):
        monkeypatch.setattr(place, name, spy(getattr(place, name)))
    args = to(case(2, 12, 4, hidden=(6, 5), names=["relu", "gelu", None]), dtype)
    reverse_chain(*args)
    with torch.no_grad():
        reverse_chain(*args[:2], args[2].clone().requires_grad_(), *args[3:])
    assert calls == [(False, 1, 1, [])] * 2
    value_and_grads(reverse_chain, args)
    assert calls[2:] == [(True, 4, 4, [4, 4, 4])]  # two hidden layers, and the slope or argument of the GELU


def forward_case():
    """Arguments of the op by name: two runs, five rows, three levels, 4 + 2 + 3 -> 6 -> 2, SiLU between."""
    *args, _, gain, spread = to(case(hidden=(6,)), torch.float32)
    names = ["obs", "noise", "table", "weights", "biases", "activations", "gain", "spread", "keep", "bf16"]
    return dict(zip(names, (*args, [1, -1], gain, spread, True, 0), strict=True))


def backward_case(change=()):
    """The same of the way back."""
    args = forward_case() | dict(change)
    path, inputs, y, kept = OP(*args.values())
    shared = {name: args[name] for name in ("table", "weights", "activations", "gain", "bf16")}
    return {"grad": path[0].cos(), "path": path, "inputs": inputs, "y": y, "kept": kept} | shared


def instead(name, change, at=None):
    """A change of one argument, or of what stands at `at` in that list."""

    def changed(args):
        came = args[name]
        return args | {name: change(came) if at is None else [*came[:at], change(came[at]), *came[at + 1 :]]}

    return changed


def strided(x):
    """The same numbers, not contiguous."""
    return torch.stack([x, x], -1)[..., 0]


def layers(change):
    return lambda args: args | {name: change(args[name]) for name in {*args} & {"weights", "biases", "activations"}}


def cut(length, axis=-1):
    return lambda x: x.narrow(axis, 0, length).contiguous()


SHARED = {  # of both passes; what came: the change
    "weights is 0; wanted 1 to 8 layers": layers(lambda some: []),
    "weights is 10; wanted 1 to 8 layers": layers(lambda some: some * 5),
    "activations is 1; wanted one a layer": instead("activations", lambda a: a[:1]),
    "activations is 5; wanted -1 or an index below 5": instead("activations", lambda a: [5, -1]),
    "activations is -2; wanted -1 or an index below 5": instead("activations", lambda a: [1, -2]),
    "table is float32 [3, 3] on cpu; wanted [R, K, E]": instead("table", lambda t: t[0]),
    "table is float32 [2, 0, 3] on cpu; wanted [R, K, E]": instead("table", cut(0, 1)),
    "table is float64 [2, 3, 3] on cpu; wanted float32 [2, 3, 3] on cpu": instead("table", Tensor.double),
    "table is float32 [2, 3, 3] on cpu": instead("table", strided),
    "weights is float32 [2, 9, 6] on cpu; wanted [R, in, out] beside table, float32 [1": instead("table", cut(1, 0)),
    "weights is float32 [9, 6] on cpu; wanted [R, in, out] beside table": instead("weights", lambda w: w[0], 0),
    "weights is float32 [2, 8, 6] on cpu; wanted float32 [2, 9, 6] on cpu": instead("weights", cut(8, 1), 0),
    "weights is float32 [2, 9, 0] on cpu; wanted [G, in, out]": instead("weights", cut(0), 0),
    "weights is float64 [2, 9, 6] on cpu; wanted float32 [2, 9, 6] on cpu": instead("weights", Tensor.double, 0),
    "weights is float32 [2, 9, 6] on cpu": instead("weights", strided, 0),
    "weights is float64 [2, 6, 2] on cpu; wanted float32 [2, 6, 2] on cpu": instead("weights", Tensor.double, 1),
    "weights is float32 [2, 5, 2] on cpu; wanted float32 [2, 6, 2] on cpu": instead("weights", cut(5, 1), 1),
    "weights is float32 [2, 6, 1] on cpu; wanted as many outputs as actions have": instead("weights", cut(1), 1),
    "weights is float32 [2] on cpu; wanted [G, in, out]": instead("weights", lambda w: w[0, 0], 1),
    "gain is float32 [3] on cpu; wanted float64 [3] on cpu, contiguous": instead("gain", Tensor.float),
    "gain is float64 [2] on cpu; wanted float64 [3]": instead("gain", cut(2)),
    "gain is float64 [3] on cpu": instead("gain", strided),
    "bf16 is -1; wanted at most as many as there are layers": instead("bf16", lambda n: -1),
    "bf16 is 3; wanted at most as many as there are layers": instead("bf16", lambda n: 3),
}
FORWARD = {
    "obs is float32 [5, 4] on cpu; wanted [R, B, S]": instead("obs", lambda x: x[0]),
    "obs is int64 [2, 5, 4] on cpu": instead("obs", Tensor.long),
    "obs is float32 [1, 5, 4] on cpu; wanted float32 [2, 5, 4] on cpu, contiguous": instead("obs", cut(1, 0)),
    "obs is float32 [2, 5, 4] on cpu": instead("obs", strided),
    "noise is float32 [3, 5, 2] on cpu; wanted [R, K, B, A]": instead("noise", lambda z: z[0]),
    "noise is float32 [2, 3, 5, 0] on cpu; wanted [R, K, B, A]": instead("noise", cut(0)),
    "noise is float32 [2, 2, 5, 2] on cpu; wanted float32 [2, 3, 5, 2]": instead("noise", cut(2, 1)),
    "noise is float32 [2, 3, 4, 2] on cpu; wanted float32 [2, 3, 5, 2]": instead("noise", cut(4, 2)),
    "noise is float64 [2, 3, 5, 2] on cpu; wanted float32 [2, 3, 5, 2] on cpu": instead("noise", Tensor.double),
    "noise is float32 [2, 3, 5, 2] on cpu": instead("noise", strided),
    "biases is 1; wanted one a layer": instead("biases", lambda b: b[:1]),
    "biases is float32 [2, 3] on cpu; wanted float32 [2, 6] on cpu, contiguous": instead("biases", cut(3), 0),
    "biases is float64 [2, 2] on cpu; wanted float32 [2, 2]": instead("biases", Tensor.double, 1),
    "biases is float32 [2, 6] on cpu": instead("biases", strided, 0),
    "spread is float32 [3] on cpu; wanted float64 [3] on cpu, contiguous": instead("spread", Tensor.float),
    "spread is float64 [2] on cpu; wanted float64 [3]": instead("spread", cut(2)),
    "spread is float64 [3] on cpu": instead("spread", strided),
}
BACKWARD = {
    "grad is float32 [5, 2] on cpu; wanted [R, B, A]": instead("grad", lambda g: g[0]),
    "grad is float32 [2, 5, 0] on cpu; wanted [R, B, A]": instead("grad", cut(0)),
    "grad is float32 [1, 5, 2] on cpu; wanted float32 [2, 5, 2] on cpu, contiguous": instead("grad", cut(1, 0)),
    "grad is float32 [2, 5, 2] on cpu": instead("grad", strided),
    "path is float32 [2, 2, 5, 2] on cpu; wanted float32 [3, 2, 5, 2] on cpu, contiguous": instead("path", cut(2, 0)),
    "inputs is float32 [2, 5, 9] on cpu; wanted [K, R, B, S + A + E]": instead("inputs", lambda x: x[0]),
    "inputs is float32 [1, 2, 5, 9] on cpu; wanted float32 [3, 2, 5, 9]": instead("inputs", cut(1, 0)),
    "y is float32 [1, 2, 5, 2] on cpu; wanted float32 [3, 2, 5, 2]": instead("y", cut(1, 0)),
    "kept is 1; wanted all that reverse_chain kept": instead("kept", lambda some: some[:1]),
    "kept is float32 [1, 2, 5, 6] on cpu; wanted float32 [3, 2, 5, 6]": instead("kept", cut(1, 0), 1),
    "kept is float64 [3, 2, 5, 6] on cpu; wanted float32": instead("kept", Tensor.double, 0),
}


@pytest.mark.parametrize("came", SHARED | FORWARD)
@pytest.mark.parametrize("call", [OP, reference.reverse_chain], ids=["op", "reference"])
def test_arguments_that_do_not_fit_are_named(call, came):
    with pytest.raises(RuntimeError) as error:
        call(*(SHARED | FORWARD)[came](forward_case()).values())
    assert str(error.value).startswith(f"reverse_chain: {came}")


@pytest.mark.parametrize("came", SHARED | BACKWARD)
@pytest.mark.parametrize("call", [OP_BACKWARD, reference.reverse_chain_backward], ids=["op", "reference"])
def test_what_the_way_back_takes_is_checked(call, came):
    with pytest.raises(RuntimeError) as error:
        call(*(SHARED | BACKWARD)[came](backward_case()).values())
    assert str(error.value).startswith(f"reverse_chain_backward: {came}")


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_wrapper_names_what_does_not_fit(dtype, learning):
    obs, noise, table, weights, biases, _, *moves = to(case(names=["silu", None]), dtype)
    names, kind = ["silu", None], str(dtype).removeprefix("torch.")
    table.requires_grad_(learning)
    for args, message in (
        ((obs, noise, table, weights, biases, ["swish", None]), "activations is 'swish'; wanted None or one of"),
        ((obs, noise, table, weights, biases, ["silu"]), "activations is 1; wanted one a layer"),
        ((obs, noise, table, weights, biases[:1], names), "biases is 1; wanted one a layer"),
        ((obs[0], noise, table, weights, biases, names), rf"obs is {kind} \[5, 4\] on cpu; wanted \[R, B, S\]"),
        ((obs, noise[:1], table, weights, biases, names), rf"noise is {kind} \[1, .* wanted {kind} \[2, 3, 5, 2\]"),
        ((obs[:1], noise, table, weights, biases, names), rf"obs is .* wanted {kind} \[2, 5, 4\]"),
        ((obs, noise, table, [weights[0], weights[1][:1]], biases, names), rf"weights is .*{kind} \[1, 6, 2\]"),
        ((obs, noise.half(), table, weights, biases, names), rf"noise is float16 .* wanted {kind} \[2, 3, 5, 2\]"),
    ):
        with pytest.raises(RuntimeError, match=f"^reverse_chain: {message}"):
            reverse_chain(*args, *moves)


@devices
def test_other_dtypes_run_on_the_reference(device):
    args = case(2, 20, 3, hidden=(18,), names=["gelu", None], device=device)
    rough = ours(to(args, torch.bfloat16))
    assert all(t.dtype == torch.bfloat16 for t in rough)
    close(rough, value_and_grads(plain, args), 0.05)


@pytest.mark.parametrize("activations", [[0, -1], [-1, 2]])
@pytest.mark.parametrize("bf16", [0, 1])
def test_opcheck(bf16, activations):
    change = {"activations": activations, "bf16": bf16}
    for keep in (False, True):
        torch.library.opcheck(OP.default, tuple((forward_case() | change | {"keep": keep}).values()))
    torch.library.opcheck(OP_BACKWARD.default, tuple(backward_case(change).values()))


def test_torch_compile():
    args = to(case(hidden=(6, 5)), torch.float32)
    compiled = torch.compile(reverse_chain, fullgraph=True, backend="aot_eager")
    wanted = ours(args)
    assert same(wanted, [value_and_grads(compiled, args)])
    some = {1, 2}.__contains__
    assert same(value_and_grads(reverse_chain, args, some), [value_and_grads(compiled, args, some)])
    with torch.no_grad():
        assert same(wanted[:2], [compiled(*args)])


def test_a_second_derivative_is_refused():
    obs, noise, table, *rest = case()
    end = reverse_chain(obs, noise, table.requires_grad_(), *rest)[0]
    (grad,) = torch.autograd.grad(end.square().sum(), table, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_compiled_where_the_core_was_built():
    wanted = "compiled" if _library.MISSING["cpu"] is None else "reference"
    assert {backend(f"reverse_chain{kind}", "cpu") for kind in ("", "_backward")} == {wanted}


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whatever_learns_gets_its_gradient(dtype, device):
    args = to(case(hidden=(6, 5), device=device), dtype)
    end, path, *grads = value_and_grads(reverse_chain, args)
    for some in ([0], [1], [3], [6], [4, 2]):  # table, weights, biases
        found = value_and_grads(reverse_chain, args, some.__contains__)
        assert same(found, [[end, path, *(grads[position] for position in sorted(some))]])


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_observations_and_noise_take_no_gradient(dtype, device):
    obs, noise, table, *rest = to(case(device=device), dtype)
    leaves = obs.requires_grad_(), noise.requires_grad_(), table.clone().requires_grad_()
    end, path = reverse_chain(*leaves, *rest)
    end.sum().backward()
    assert [t.grad is None for t in leaves] == [True, True, False] and not path.requires_grad
    assert not any(t.requires_grad for t in reverse_chain(obs, noise, table, *rest))


@devices
def test_non_contiguous_arguments(device):
    args = to(case(2, 20, 3, hidden=(18,), device=device), torch.float32)
    apart = *map(strided, args[:3]), *([strided(t) for t in some] for some in args[3:5])
    assert not any(t.is_contiguous() for t in (*apart[:3], *apart[3], *apart[4]))
    assert same(ours(args), [ours((*apart, *args[5:]))])


@devices
@pytest.mark.parametrize(("dtype", "bf16"), [(torch.float32, 0), (torch.float32, 1), (torch.float64, 0)])
def test_no_rows(dtype, bf16, device):
    args = case(2, 0, 3, 5, 2, 3, (66,), ["gelu", None], device=device)
    got, wanted = ours(to(args, dtype), bf16), value_and_grads(plain, args)
    assert [t.shape for t in got] == [t.shape for t in wanted] and not any(t.any() for t in got)
