"""tanh_normal: torch's own distribution, the written gradients, far tails, one result however it is called."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from pyslsac.ops import backend, tanh_normal
from pyslsac.ops.reference import tanh_normal as reference
from tests.ops.threads import on_threads

ULP = 2.0**-23


def inputs(rows: int, actions: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + actions)
    params = scale * torch.randn(rows, 2 * actions, generator=generator, dtype=torch.float64)
    return [params.to(dtype), torch.randn(rows, actions, generator=generator, dtype=torch.float64).to(dtype)]


def test_it_is_torchs_distribution() -> None:
    params, noise = inputs(50, 3)
    action, log_prob = tanh_normal(params, noise)
    params[:, 3:].clamp_(-20, 2)
    mean, log_std = params.chunk(2, -1)
    squash = TanhTransform(cache_size=1)  # else it would take atanh, which cancels
    law = TransformedDistribution(Independent(Normal(mean, log_std.exp()), 1), [squash])
    expected = squash(mean + log_std.exp() * noise)
    torch.testing.assert_close(action, expected, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(log_prob, law.log_prob(expected), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_gradients_are_those_of_the_written_formula(scale: float) -> None:
    """torch differentiates the reference, whose softplus has the slope 1 from 20 on; each output has its own weight."""
    params, noise = inputs(40, 4, scale=scale)
    weights = torch.randn(40, 4, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    found = []
    for law in (tanh_normal, reference.tanh_normal):
        at = params.clone().requires_grad_()
        action, log_prob = law(at, noise)
        found.append(torch.autograd.grad((weights[0] * action).sum() + (weights[1] * log_prob).sum(), at)[0])
    torch.testing.assert_close(found[0], found[1], rtol=2e-8, atol=2e-8)
    assert torch.isfinite(found[0]).all()


def test_a_log_std_outside_the_clamp_does_not_move() -> None:
    params = torch.tensor([[0.1, 0.2, 0.3, -20.5, 2.5, 2.0]], dtype=torch.float64, requires_grad=True)
    action, log_prob = tanh_normal(params, torch.tensor([[0.5, -0.2, 0.1]], dtype=torch.float64))
    (action.sum() + log_prob.sum()).backward()
    assert (
        params.grad is not None and params.grad[0, 3:5].tolist() == [0, 0] and (params.grad[0, [0, 1, 2, 5]] != 0).all()
    )
    assert math.isclose(action[0, 1].item(), math.tanh(0.2 - 0.2 * math.e**2))


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0, 60.0])
def test_float32_is_near_float64(scale: float) -> None:
    """Against float64 of the same float32 numbers: a few units in the last place of the terms that are summed."""
    params, noise = inputs(2_000, 6, torch.float32, scale)
    action, log_prob = tanh_normal(params, noise)
    wide_action, wide_log_prob = reference.tanh_normal(params.double(), noise.double())
    mean, log_std = params.double().chunk(2, -1)
    u = mean + log_std.clamp(-20, 2).exp() * noise
    terms = (1 + mean.abs() + u.abs() + log_std.abs() + noise.double().square()).sum(-1)
    shift = (1 - wide_action.square()) * (mean.abs() + u.abs())  # what a rounded u costs
    assert ((action - wide_action).abs() <= 4 * ULP * (wide_action.abs() + shift)).all()
    assert ((log_prob - wide_log_prob).abs() <= 4 * ULP * terms).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_tails_stay_finite(dtype: torch.dtype) -> None:
    params = torch.tensor([[300.0, -300.0, 9.0, 2.0, -99.0, 9.0]], dtype=dtype, requires_grad=True)
    action, log_prob = tanh_normal(params, torch.full((1, 3), 5.0, dtype=dtype))
    (log_prob.sum() + action.sum()).backward()
    assert action[0].tolist() == [1, -1, 1] and torch.isfinite(log_prob).all()
    assert params.grad is not None and torch.isfinite(params.grad).all()
    assert math.isclose(params.grad[0, 0].item(), 2.0)  # 2 tanh(u): the density falls as e^(-2|u|)


def test_a_nan_stays_in_its_row() -> None:
    params, noise = inputs(3, 2, torch.float32)
    params[1, 0] = math.nan
    action, log_prob = tanh_normal(params, noise)
    assert action.isnan().any(-1).tolist() == log_prob.isnan().tolist() == [False, True, False]


@pytest.mark.skipif(backend("tanh_normal", "cpu") == "reference", reason="the compiled core is not built")
@given(rows=st.integers(0, 400), actions=st.integers(1, 300), lead=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_rows_threads_and_leading_axes_do_not_matter(rows: int, actions: int, lead: int) -> None:
    """Every row alone gives the bits that it has among the others, forward and back."""
    params, noise = (x[: rows or 1] for x in inputs(401, actions, torch.float32))
    params, noise = (x.expand(lead, *x.shape)[:, :rows].contiguous().requires_grad_() for x in (params, noise))
    ((action, log_prob),) = on_threads(lambda: tanh_normal(params, noise), (3,))
    ((grad,),) = on_threads(lambda: torch.autograd.grad(action.sum() + log_prob.sum(), params), (3,))
    assert action.shape == noise.shape and log_prob.shape == (lead, rows)
    for row in {0, rows // 2, rows - 1} if rows else ():
        one = params[lead - 1, row].detach().requires_grad_()
        alone = tanh_normal(one, noise[lead - 1, row])
        assert torch.equal(alone[0], action[-1, row]) and torch.equal(alone[1], log_prob[-1, row])
        assert torch.equal(torch.autograd.grad(alone[0].sum() + alone[1], one)[0], grad[-1, row])


@pytest.mark.parametrize(
    ("params", "noise", "message"),
    [
        (torch.zeros(2, 5), torch.zeros(2, 2), r"params is float32 \[2, 5\] on cpu; wanted \[..., 2 A\]"),
        (torch.zeros(2, 0), torch.zeros(2, 0), r"params is float32 \[2, 0\] on cpu"),
        (torch.zeros(()), torch.zeros(()), r"params is float32 \[\] on cpu"),
        (torch.zeros(2, 4).half(), torch.zeros(2, 2).half(), r"params is float16 \[2, 4\].*wanted float32 or float64"),
        (
            torch.zeros(2, 4),
            torch.zeros(2, 3),
            r"noise is float32 \[2, 3\] on cpu; wanted \[..., A\], contiguous, beside",
        ),
        (torch.zeros(2, 4), torch.zeros(1, 2), r"noise is float32 \[1, 2\]"),
        (torch.zeros(2, 4), torch.zeros(2, 2).double(), r"noise is float64 \[2, 2\]"),
    ],
)
def test_refuses(params: torch.Tensor, noise: torch.Tensor, message: str) -> None:
    for law in (tanh_normal, reference.tanh_normal):
        with pytest.raises(RuntimeError, match=message):
            law(params, noise)


def test_backward_refuses_what_does_not_belong_together() -> None:
    params, noise = inputs(4, 2, torch.float32)
    action, log_prob = tanh_normal(params, noise)
    for name, bad in (("action", action[:3]), ("action_grad", action.double()), ("log_prob_grad", log_prob[1:])):
        given = {"action": action, "action_grad": action, "log_prob_grad": log_prob} | {name: bad}
        for op in (torch.ops.pyslsac.tanh_normal_backward, reference.tanh_normal_backward):
            with pytest.raises(RuntimeError, match=f"tanh_normal_backward: {name} is"):
                op(params, noise, *given.values())


def test_there_is_no_second_derivative() -> None:
    params, noise = inputs(2, 2)
    params.requires_grad_()
    (grad,) = torch.autograd.grad(tanh_normal(params, noise)[1].sum(), params, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        torch.autograd.grad(grad.sum(), params)


def test_opcheck() -> None:
    params, noise = inputs(3, 2, torch.float32)
    torch.library.opcheck(torch.ops.pyslsac.tanh_normal.default, (params.requires_grad_(), noise))
    args = params.detach(), noise, noise, noise, noise[:, 0].contiguous()
    torch.library.opcheck(torch.ops.pyslsac.tanh_normal_backward.default, args)


def test_compiles_into_a_graph() -> None:
    params, noise = inputs(3, 2, torch.float32)

    def total(params: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        action, log_prob = tanh_normal(params, noise)
        return action.sum() + log_prob.sum()

    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    grads = [torch.autograd.grad(f(at := params.clone().requires_grad_(), noise), at)[0] for f in (total, compiled)]
    assert torch.equal(grads[0], grads[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_is_near_the_reference(dtype: torch.dtype) -> None:
    assert backend("tanh_normal", "cuda") == "compiled"
    params, noise = inputs(513, 17, dtype)
    found = []
    for device in ("cuda", "cpu"):
        at = params.to(device).requires_grad_()
        action, log_prob = tanh_normal(at, noise.to(device))
        (grad,) = torch.autograd.grad(action.sum() + log_prob.sum(), at)
        found.append([x.cpu() for x in (action, log_prob, grad)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
