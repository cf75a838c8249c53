"""The contract of `implicit_quantiles`: dtypes, layouts, what takes a gradient, and what is refused."""

import pytest
import torch

from pyslsac.ops import _library, backend, implicit_quantiles
from pyslsac.ops.reference import implicit_quantiles as reference
from tests.ops.test_implicit_quantiles import case, close, dense, devices, learning, value_and_grads, weighting


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype, device):
    args = case(3, 4, 3, 5, 6, runs=2, dtype=dtype, device=device)
    op = torch.ops.pyslsac.implicit_quantiles
    quantiles, active = op(*args, True)
    for weights in (True, False):
        backward = (torch.ones_like(quantiles), active, *args[:5], weights)
        torch.library.opcheck(torch.ops.pyslsac.implicit_quantiles_backward.default, backward)
    torch.library.opcheck(op.default, (*learning(args), True))
    torch.library.opcheck(op.default, (*args, False))


@devices
def test_frozen_weights_get_no_gradient(device):
    args = case(runs=2, device=device)
    wanted = value_and_grads(implicit_quantiles, args)[1]
    quantiles = implicit_quantiles(args[0].requires_grad_(), *args[1:])
    quantiles.backward(weighting(quantiles))
    assert torch.equal(args[0].grad, wanted) and all(x.grad is None for x in args[1:])


def test_a_second_derivative_is_refused():
    args = case()
    args[0].requires_grad_()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad((scale * implicit_quantiles(*args)).sum(), args[0], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


@devices
def test_non_contiguous_arguments(device):
    args = case(runs=2, device=device)
    strided = [torch.stack([x, x], -1)[..., 0] for x in args]
    assert not any(x.is_contiguous() for x in strided)
    assert all(map(torch.equal, *(value_and_grads(implicit_quantiles, x) for x in (strided, args))))


@devices
def test_other_dtypes_run_on_the_reference(device):
    args = case(runs=2, device=device)
    rough = value_and_grads(implicit_quantiles, [x.bfloat16() for x in args])
    assert all(x.dtype == torch.bfloat16 for x in rough)
    close(rough[:1], value_and_grads(dense, args)[:1], 0.05)


BAD = {
    "psi is float32 [5, 17]": (0, lambda x: x[0], "wanted float32 or float64 [G, B, K]"),
    "tau is float64 [1, 5, 8]": (1, lambda x: x.double(), "[G, B, N], contiguous, beside psi: float32"),
    "tau is float32 [1, 4, 8]": (1, lambda x: x[:, :4], "[1, 5, 17] on cpu"),
    "phi_weight is float32 [1, 6, 16]": (2, lambda x: x[:, :, :16], "wanted [G, C, K]"),
    "phi_bias is float32 [1, 16]": (3, lambda x: x[:, :16], "wanted [G, K]"),
    "weight is float32 [1, 16, 19]": (4, lambda x: x[:, :16], "wanted [G, K, H]"),
    "weight is float32 [17, 19]": (4, lambda x: x[0], "wanted [G, K, H]"),
    "bias is float32 [1, 18]": (5, lambda x: x[:, :18], "wanted [G, H]"),
    "head is float32 [19]": (6, lambda x: x[0], "wanted [G, H]"),
}


@pytest.mark.parametrize("came", BAD)
def test_arguments_that_do_not_fit_are_named(came):
    position, change, wanted = BAD[came]
    args = case(dtype=torch.float32)
    args[position] = change(args[position]).contiguous()
    for call in (implicit_quantiles, reference.implicit_quantiles):
        with pytest.raises(RuntimeError) as error:
            call(*args)
        assert f"implicit_quantiles: {came}" in str(error.value) and wanted in str(error.value)
    grad, active = torch.empty(1, 5, 8), torch.empty(1, 5, 8, 1, dtype=torch.int32)
    for call in (torch.ops.pyslsac.implicit_quantiles_backward, reference.implicit_quantiles_backward):
        with pytest.raises(RuntimeError, match="implicit_quantiles_backward: grad is float64"):
            call(grad.double(), active, *case(dtype=torch.float32)[:5], True)
        with pytest.raises(RuntimeError, match="implicit_quantiles_backward: active is int32"):
            call(grad, active[0], *case(dtype=torch.float32)[:5], True)


def test_compiled_where_the_core_was_built():
    wanted = "compiled" if _library.MISSING["cpu"] is None else "reference"
    assert {backend(f"implicit_quantiles{kind}", "cpu") for kind in ("", "_backward")} == {wanted}
