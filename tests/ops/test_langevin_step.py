"""langevin_step: hand numbers, float64 reference, the law it samples, every option, and what it refuses."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac.ops import backend, langevin_step, langevin_step_, philox_normal
from pyslsac.ops.reference import langevin_step as reference
from tests.ops.threads import on_threads

OP = torch.ops.pyslsac.langevin_step_.default


DEFAULTS = dict(
    temperature=1.0, drift_scale=1.0, normalize=False, grad_cap=None, grad_cap_scope="sample", low=-1.0, high=1.0
)


def expected(action: torch.Tensor, grad: torch.Tensor, **options) -> torch.Tensor:
    """The formula once more, in float64, run by run."""
    o = SimpleNamespace(**{**DEFAULTS, "step": 0, "stream": 0, **options})
    a, g = (x.double().reshape(-1, *x.shape[-2:]) for x in (action, grad))
    moved = []
    for run in range(a.shape[0]):
        drift = g[run].clone()
        for sample in range(a.shape[1]):
            norm = (g[run] if o.grad_cap_scope == "run" else g[run, sample]).square().sum().sqrt()
            if o.normalize:
                drift[sample] /= norm + 1e-8
            elif o.grad_cap is not None:
                drift[sample] *= min(1.0, o.grad_cap / (norm + 1e-6))
        xi = philox_normal(tuple(a.shape[1:]), o.seed, o.step, stream=o.stream).double()
        push = o.step_size / 2 * o.drift_scale * drift
        moved.append((a[run] + push + math.sqrt(o.step_size * o.temperature) * xi).clamp(o.low, o.high))
    return torch.stack(moved).reshape(action.shape)


def test_hand_table() -> None:
    action = torch.tensor([[0.5, -0.25], [0.0, 0.9]])
    grad = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    plain = langevin_step(action, grad, step_size=0.1, temperature=0)
    assert torch.allclose(plain, torch.tensor([[0.65, -0.05], [0.0, 1.0]]))
    unit = langevin_step(action, grad, step_size=0.1, temperature=0, normalize=True, drift_scale=2)
    assert torch.allclose(unit, torch.tensor([[0.56, -0.17], [0.0, 1.0]]))
    capped = langevin_step(action, grad, step_size=0.1, temperature=0, grad_cap=2.5)
    assert torch.allclose(capped, torch.tensor([[0.575, -0.15], [0.0, 1.0]]))
    run = langevin_step(action, grad, step_size=0.1, temperature=0, grad_cap=math.sqrt(29) / 2, grad_cap_scope="run")
    assert torch.allclose(run, torch.tensor([[0.575, -0.15], [0.0, 0.95]]))


def test_noise_is_philox_normal() -> None:
    action = torch.zeros(3, 5, 2)
    moved = langevin_step(action, action, step_size=0.25, temperature=4.0, low=-9, high=9, seed=3, step=7, stream=65537)
    one = philox_normal((5, 2), 3, 7, stream=65537)
    assert torch.equal(moved, one.expand(3, 5, 2))  # one seed: every run counts its elements from zero


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(normalize=True, drift_scale=0.5),
        dict(grad_cap=0.7),
        dict(grad_cap=3.0, grad_cap_scope="run"),
        dict(low=-0.2, high=0.1, temperature=0.3, stream=65536, step=2**33),
    ],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13), (torch.bfloat16, 1e-2)]
)
@pytest.mark.parametrize("shape", [(2, 31, 3), (1, 33, 8), (3, 1, 1), (7, 5), (2, 129, 32), (1, 2, 1030), (2, 700, 6)])
def test_against_float64(shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, options: dict) -> None:
    action, grad = torch.randn(shape).mul(0.4).to(dtype), torch.randn(shape).to(dtype)
    options = dict(step_size=0.1, seed=5) | options
    got = langevin_step(action, grad, **options)
    assert got.dtype == dtype
    assert torch.allclose(got.double(), expected(action, grad, **options), rtol=0, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 70),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([None, 0.5, 40.0]),
    st.data(),
)
def test_compiled_is_the_reference(runs: int, batch: int, dim: int, per_run: bool, cap: float | None, data) -> None:
    action, grad = torch.randn(runs, batch, dim), torch.randn(runs, batch, dim)
    width = runs if per_run else 1
    eps, temperature, scale = (torch.rand(width) for _ in range(3))
    seed, step = torch.randint(-(2**62), 2**62, (width,)), torch.tensor(data.draw(st.integers(0, 2**62)))
    limits = (cap is None and data.draw(st.booleans()), cap or math.inf, data.draw(st.booleans()), -1.0, 1.0)
    arguments = (grad, eps, temperature, scale, *limits, seed, step, 3)
    compiled, plain = action.clone(), action.clone()
    OP(compiled, *arguments)
    reference.langevin_step_(plain, *arguments)
    assert torch.allclose(compiled, plain, rtol=0, atol=1e-6)


def test_runs_do_not_leak() -> None:
    action, grad = torch.randn(3, 40, 6), torch.randn(3, 40, 6)
    each = dict(
        step_size=torch.rand(3), temperature=torch.rand(3), drift_scale=torch.rand(3), seed=torch.tensor([4, 5, 6])
    )
    for limit in (dict(), dict(normalize=True), dict(grad_cap=0.1), dict(grad_cap=0.1, grad_cap_scope="run")):
        together = langevin_step(action, grad, step=2, **each, **limit)
        for run in range(3):
            own = {name: value[run : run + 1] for name, value in each.items()}
            alone = langevin_step(action[run : run + 1], grad[run : run + 1], step=2, **own, **limit)
            assert torch.equal(together[run : run + 1], alone)


def test_threads_do_not_matter() -> None:
    action, grad = torch.randn(2, 9001, 7), torch.randn(2, 9001, 7)
    results = on_threads(lambda: langevin_step(action, grad, step_size=0.1, grad_cap=1.0, grad_cap_scope="run"))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_in_place_bumps_the_version_and_out_of_place_leaves_the_input() -> None:
    action, grad = torch.randn(4, 3), torch.randn(4, 3)
    before, version = action.clone(), action._version
    moved = langevin_step(action.requires_grad_(), grad, step_size=0.1)
    assert torch.equal(action, before) and not moved.requires_grad
    action = action.detach()
    version = action._version
    assert langevin_step_(action, grad, step_size=0.1) is action and action._version > version
    assert torch.equal(action, moved)


def test_strides_and_empty() -> None:
    wide, grad = torch.randn(5, 8), torch.randn(8, 5)
    assert torch.equal(
        langevin_step(wide.T, grad, step_size=0.1), langevin_step(wide.T.contiguous(), grad, step_size=0.1)
    )
    assert torch.equal(
        langevin_step(grad.T, wide.T.mT, step_size=0.1), langevin_step(grad.T.contiguous(), wide, step_size=0.1)
    )
    with pytest.raises(RuntimeError, match=r"action is float32 .* contiguous"):
        langevin_step_(wide.T, grad, step_size=0.1)
    for shape in ((0, 3), (2, 0, 3), (0, 2, 3), (2, 3, 0)):
        limits = dict(grad_cap=1.0, grad_cap_scope="run")
        assert langevin_step(torch.empty(shape), torch.empty(shape), step_size=0.1, **limits).shape == shape


def test_nan_is_kept() -> None:
    grad = torch.tensor([[math.nan, 1.0]])
    moved = langevin_step(torch.zeros(1, 2), grad, step_size=0.1, temperature=0)
    assert moved[0, 0].isnan() and not moved[0, 1].isnan()


def test_samples_the_boltzmann_law_of_a_quadratic() -> None:
    """f = -k/2 (a - m)², temperature T: the discrete chain's variance is T / (k (1 - eps k / 4)), its mean m."""
    k, m, temperature, eps = 2.0, 0.3, 0.5, 0.2
    action = torch.zeros(2, 4096, 4)
    for step in range(120):
        langevin_step_(
            action, -k * (action - m), step_size=eps, temperature=temperature, low=-99, high=99, seed=1, step=step
        )
    n = action[0].numel()
    variance = temperature / (k * (1 - eps * k / 4))
    assert abs(action[0].mean().item() - m) < 5 * math.sqrt(variance / n)
    assert abs(action[0].var().item() / variance - 1) < 5 * math.sqrt(2 / n)


def test_finds_both_modes() -> None:
    """f = -(a² - 1)² has modes at ±1: chains from 0 end at both, evenly."""
    action = torch.zeros(1, 4096, 1)
    for step in range(300):
        grad = -4 * action * (action**2 - 1)
        langevin_step_(action, grad, step_size=0.02, temperature=0.1, low=-3, high=3, seed=2, step=step)
    right = (action > 0).float().mean().item()
    assert abs(right - 0.5) < 5 * 0.5 / 64 and (action.abs() - 1).abs().mean() < 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(action=torch.zeros(4)), r"langevin_step: action is float32 \[4\] on cpu; wanted"),
        (dict(action=torch.zeros(2, 3, dtype=torch.int64)), r"action is int64 \[2, 3\]"),
        (dict(grad=torch.zeros(3, 2)), r"grad is float32 \[3, 2\] on cpu; wanted float32 \[2, 3\]"),
        (dict(grad=torch.zeros(2, 3, dtype=torch.float64)), r"grad is float64 \[2, 3\]"),
        (
            dict(step_size=torch.rand(2)),
            r"step_size is float32 \[2\] on cpu; wanted float32 of one element or \[1\] on cpu",
        ),
        (dict(grad_cap=-1.0), "grad_cap is -1.*; wanted a positive number"),
        (dict(grad_cap=1.0, normalize=True), "grad_cap is 1.*; wanted none beside normalize"),
        (dict(low=1.0, high=-1.0), "low is 1.*; wanted at most high"),
        (dict(stream=2**32), "stream is 4294967296; wanted an integer of 32 bits"),
        (dict(seed=torch.zeros(2, dtype=torch.int64)), r"seed is int64 \[2\]"),
    ],
)
def test_refuses(change: dict, message: str) -> None:
    arguments = dict(action=torch.zeros(2, 3), grad=torch.zeros(2, 3), step_size=0.1) | change
    with pytest.raises(RuntimeError, match=message):
        langevin_step_(arguments.pop("action"), arguments.pop("grad"), **arguments)


def test_refuses_another_scope() -> None:
    with pytest.raises(ValueError, match="grad_cap_scope is 'batch'"):
        langevin_step(torch.zeros(1, 1), torch.zeros(1, 1), step_size=0.1, grad_cap_scope="batch")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype: torch.dtype) -> None:
    number = torch.tensor(0.1, dtype=dtype)
    arguments = (number, number, number, False, 1.0, True, -1.0, 1.0, torch.arange(2), torch.tensor(3), 0)
    torch.library.opcheck(OP, (torch.randn(2, 5, 3, dtype=dtype), torch.randn(2, 5, 3, dtype=dtype), *arguments))


def test_compiles_into_a_graph() -> None:
    def chain(action: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return langevin_step(action, -action, step_size=0.1, step=step) * 2

    action, step = torch.randn(2, 6, 3), torch.tensor(4)
    assert torch.equal(torch.compile(chain, fullgraph=True, backend="aot_eager")(action, step), chain(action, step))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("limit", [dict(), dict(normalize=True), dict(grad_cap=1.0, grad_cap_scope="run")])
def test_cuda_makes_the_same_bits(limit: dict) -> None:
    assert backend("langevin_step", "cuda") == "compiled"
    action, grad = torch.randn(3, 1001, 7), torch.randn(3, 1001, 7)
    moved = langevin_step(action.cuda(), grad.cuda(), step_size=0.1, seed=4, **limit)
    assert torch.equal(moved.cpu(), langevin_step(action, grad, step_size=0.1, seed=4, **limit))
