"""langevin_chain: it is langevin_step with autograd's gradient; float64, every option, runs apart."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from pyslsac.ops import QGroup, action_grad, langevin_chain, langevin_step
from tests.ops.threads import on_threads

ACTIVATIONS = {"relu": F.relu, "silu": F.silu, "gelu": F.gelu, "mish": F.mish, "tanh": torch.tanh}
REDUCES = ("mean", "sum", "min", "max", "pair_min_mean", "member")
S, A = 11, 3


def group(activation="mish", reduce="min", runs=2, width=48, hidden=3, members=4, **rest) -> QGroup:
    sizes = [S + A, *[width] * hidden, 1]
    weights = [torch.randn(runs, members, i, o) / i**0.5 for i, o in itertools.pairwise(sizes)]
    return QGroup(weights, [0.3 * torch.randn(runs, members, o) for o in sizes[1:]], activation, reduce, **rest)


def converted(q: QGroup, dtype: torch.dtype) -> QGroup:
    coef, bias = (x.to(dtype) if isinstance(x, Tensor) else x for x in (q.coef, q.step_bias))
    weights, biases = ([x.to(dtype) for x in layers] for layers in (q.weights, q.biases))
    return replace(q, weights=weights, biases=biases, coef=coef, step_bias=bias)


def inputs(runs: int = 2, batch: int = 37) -> tuple[Tensor, Tensor]:
    return torch.randn(runs, batch, S), 2 * torch.rand(runs, batch, A) - 1


def critics(q: QGroup, obs: Tensor, action: Tensor, k: int = 0) -> Tensor:
    """Q [R, E, B], as one writes a stack of perceptrons."""
    x = torch.cat((obs, action), -1).unsqueeze(1)
    for layer, (weight, bias) in enumerate(zip(q.weights, q.biases, strict=True)):
        if layer:
            x = ACTIVATIONS[q.activation](x)
        elif q.step_bias is not None:
            bias = bias + q.step_bias[:, k]
        x = x @ weight + bias.unsqueeze(2)
    return x.squeeze(-1)


def energy(q: QGroup, obs: Tensor, action: Tensor, k: int = 0) -> Tensor:
    """coef reduce(Q) [R, B], its derivative that of the member chosen first."""
    value = critics(q, obs, action, k)
    if q.reduce in ("mean", "sum"):
        value = getattr(value, q.reduce)(1)
    elif q.reduce == "pair_min_mean":
        value = torch.minimum(value[:, 0::2], value[:, 1::2]).mean(1)
    elif q.reduce == "member":
        value = value[torch.arange(value.size(0)), torch.as_tensor(q.member)]
    else:
        value = getattr(value, f"a{q.reduce}")(1)
    coef = torch.as_tensor(q.coef, dtype=value.dtype)
    return (coef[k] if coef.dim() == 2 else coef).reshape(-1, 1) * value


def gradient(groups: list[QGroup], obs: Tensor, action: Tensor, k: int = 0) -> Tensor:
    at = action.detach().requires_grad_()
    return torch.autograd.grad(sum(energy(q, obs, at, k).sum() for q in groups), at)[0]


@pytest.mark.parametrize("hidden", [2, 3])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_drift_against_float64(activation: str, reduce: str, hidden: int) -> None:
    """The measure: the largest error of a component over the largest component."""
    q = group(activation, reduce, hidden=hidden, coef=torch.tensor([1.5, -0.7]), member=torch.tensor([1, 3]))
    obs, action = inputs()
    exact = gradient([converted(q, torch.float64)], obs.double(), action.double())
    assert (action_grad(obs, action, [q]) - exact).abs().max() < 1e-5 * exact.abs().max()
    wide = action_grad(obs.double(), action.double(), [converted(q, torch.float64)])
    assert torch.allclose(wide, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hidden", [2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bf16_drift(activation: str, hidden: int) -> None:
    """Likewise, of a mean: rounding may exchange members of a minimum that are closer than it.

    ReLU's slope jumps where a sum is rounded across zero: there the measure is the root of the mean square.
    """
    q = group(activation, "mean", hidden=hidden, width=256)
    obs, action = inputs(batch=64)
    exact = gradient([converted(q, torch.float64)], obs.double(), action.double())
    errors = action_grad(obs, action, [q], precision="bf16") - exact
    error, bound = (errors.square().mean().sqrt(), 4e-2) if activation == "relu" else (errors.abs().max(), 2e-2)
    assert 1e-5 < error / exact.abs().max() < bound


def test_central_differences() -> None:
    groups = [converted(group("mish", "pair_min_mean"), torch.float64), converted(group("gelu", "max"), torch.float64)]
    obs, action = (x.double() for x in inputs(batch=5))
    got, h = action_grad(obs, action, groups), 1e-6
    for j in range(A):
        push = h * F.one_hot(torch.tensor(j), A)
        up, down = (sum(energy(q, obs, action + s * push) for q in groups) for s in (1, -1))
        assert torch.allclose(got[..., j], (up - down) / (2 * h), atol=1e-7)


SCHEDULES = dict(step_size=0.1 * torch.rand(4), temperature=torch.rand(2), drift_scale=torch.rand(4, 2))
OPTIONS = [
    dict(),
    dict(normalize=True, drift_scale=3.0, precision="fp32"),
    dict(grad_cap=0.1, step=2**33, low=-0.3, high=0.2),
    dict(grad_cap=0.1, grad_cap_scope="run", prior=(torch.zeros(A), torch.full((37, 1), 0.75))),
    dict(**SCHEDULES, seed=torch.tensor([5, 6]), step=torch.tensor(9), stream=65536),
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-12)])
def test_is_langevin_step_with_autograd(options: dict, dtype: torch.dtype, tolerance: float) -> None:
    coef, bias = torch.randn(4, 2), torch.randn(2, 4, 4, 48)
    groups = [
        group(coef=coef, step_bias=bias),
        group("gelu", "max", width=32, hidden=2),
        group("tanh", "mean", coef=-2.0),
    ]
    groups = [converted(q, dtype) for q in groups]
    obs, start = (x.to(dtype) for x in inputs())
    options = {k: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for k, x in options.items()}
    options = dict(step_size=0.05, step=3) | options
    before = start.clone()
    got = langevin_chain(obs, start, groups, steps=4, trajectory=True, values=True, **options)
    action, prior, step = start, options.pop("prior", None), options.pop("step")
    options.pop("precision", None)
    for k in range(4):
        drift = gradient(groups, obs, action, k)
        if prior is not None:
            drift = drift + (prior[0] - action) / prior[1] ** 2
        now = {name: at(x, k) if name in SCHEDULES else x for name, x in options.items()}
        action = langevin_step(action, drift, step=step + k, **now)
        assert torch.allclose(got.path[:, k], action, rtol=0, atol=tolerance)
    assert torch.equal(got.action, got.path[:, -1]) and torch.equal(start, before)
    for q, value in zip(groups, got.values, strict=True):
        assert torch.allclose(value, critics(q, obs, action, 3), rtol=0, atol=3 * tolerance)
    assert torch.equal(langevin_chain(obs, start, groups, steps=4, prior=prior, step=step, **options), got.action)


def at(value: float | Tensor, k: int) -> float | Tensor:
    """Move k of a schedule of 4 moves and 2 runs."""
    return value[k] if isinstance(value, Tensor) and value.size(0) == 4 else value


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([1, 2, 6]),
    st.sampled_from(REDUCES),
    st.booleans(),
)
def test_every_shape(runs: int, batch: int, width: int, members: int, reduce: str, bf16: bool) -> None:
    """Whatever the shape, compiled and reference agree; in bfloat16 as far as it goes."""
    reduce = "mean" if bf16 or (reduce == "pair_min_mean" and members == 1) else reduce
    q = group("silu", reduce, runs, width, 2 + batch % 2, members=members)
    obs, action = inputs(runs, batch)
    exact = gradient([converted(q, torch.float64)], obs.double(), action.double())
    got = action_grad(obs, action, [q], precision="bf16" if bf16 else "fp32")
    assert (got - exact).abs().max() < (3e-2 if bf16 else 1e-5) * exact.abs().max()


def take(x: object, run: int) -> object:
    return x[run : run + 1] if isinstance(x, Tensor) else x


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scope", ["sample", "run"])
def test_runs_do_not_leak(precision: str, scope: str) -> None:
    q = group("mish", "min", runs=3, coef=torch.rand(1, 3), step_bias=torch.randn(3, 5, 4, 48))
    obs, action = inputs(3, 150)
    options = dict(steps=5, step_size=0.1, grad_cap=0.3, grad_cap_scope=scope, precision=precision)
    both = langevin_chain(obs, action, [q], temperature=torch.tensor([1.0, 2.0, 0.5]), seed=torch.arange(3), **options)
    for run in range(3):
        own = replace(
            q,
            weights=[take(w, run) for w in q.weights],
            biases=[take(b, run) for b in q.biases],
            coef=q.coef[:, run : run + 1],
            step_bias=take(q.step_bias, run),
        )
        at_run = dict(temperature=[1.0, 2.0, 0.5][run], seed=run)
        assert torch.equal(
            take(both, run), langevin_chain(take(obs, run), take(action, run), [own], **at_run, **options)
        )


def test_threads_and_neighbours_do_not_matter() -> None:
    q, (obs, action) = group(runs=1, width=64), inputs(1, 300)
    results = on_threads(lambda: langevin_chain(obs, action, [q], steps=3, step_size=0.1))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    assert torch.equal(results[0][:, :7], langevin_chain(obs[:, :7], action[:, :7], [q], steps=3, step_size=0.1))


def test_ties_go_to_the_first() -> None:
    q = group("relu", "min", members=2)
    for x in (*q.weights[:-1], *q.biases):
        x[:, 1] = x[:, 0]
    obs, action = inputs()
    first = action_grad(obs, action, [replace(q, reduce="member", member=0)])
    for reduce in ("min", "max", "pair_min_mean"):
        q.weights[-1][:, 1] = q.weights[-1][:, 0]
        twin = replace(q, weights=[*q.weights[:-1], q.weights[-1]], reduce=reduce)
        assert torch.equal(action_grad(obs, action, [twin]), first)


def test_a_nan_does_not_hide() -> None:
    for reduce in ("min", "max", "pair_min_mean"):
        q = group("tanh", reduce, members=2)
        q.biases[1][0, 1, 0] = torch.nan
        drift = action_grad(*inputs(), [q])
        assert drift[0].isnan().all() and drift[1].isfinite().all()


def test_without_the_run_axis() -> None:
    q, (obs, action) = group(runs=1), inputs(1)
    full = langevin_chain(obs, action, [q], steps=2, trajectory=True, values=True)
    flat = langevin_chain(obs[0], action[0], [q], steps=2, trajectory=True, values=True)
    assert torch.equal(flat.action, full.action[0]) and torch.equal(flat.path, full.path[0])
    assert torch.equal(flat.values[0], full.values[0][0])
    assert torch.equal(action_grad(obs[0], action[0], [q]), action_grad(obs, action, [q])[0])


def test_leaves_gradients_alone() -> None:
    q, (obs, action) = group(), inputs()
    q.weights[0].requires_grad_()
    assert not langevin_chain(obs, action.requires_grad_(), [q], steps=1).requires_grad
    assert not action_grad(obs, action, [q]).requires_grad


def test_empty() -> None:
    for runs, batch in ((0, 3), (2, 0)):
        got = langevin_chain(*inputs(runs, batch), [group(runs=runs)], steps=2, trajectory=True, values=True)
        assert got.path.shape == (runs, 2, batch, A) and got.values[0].shape == (runs, 4, batch)
