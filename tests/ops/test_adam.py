"""adam_ against the formula in float64, torch's clip and Adam, and itself with other runs and threads beside."""

import math

import pytest
import torch

from pyslsac.ops import adam_
from pyslsac.ops._library import backend
from pyslsac.ops.reference import adam as reference

SHAPES = ((3, 5), (5000,), (1,))  # of a run: less than a chunk of the norm, more than one, a single number
OP = torch.ops.pyslsac.adam_.default


def lists(runs=2, dtype=torch.float32, steps=3, seed=0):
    """params, grads, exp_avgs, exp_avg_sqs and steps, as after `steps` steps."""
    draw = torch.Generator().manual_seed(seed)
    made = [[torch.randn(runs, *shape, generator=draw).to(dtype) for shape in SHAPES] for _ in range(4)]
    made[3] = [square.square() for square in made[3]]
    return [*made, [torch.tensor(float(steps)) for _ in SHAPES]]


def by_hand(
    made, runs, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, grad_norm=None, maximize=False, decoupled=False
):
    """The docstring's formula in float64: what each list holds after the step."""
    params, grads, means, squares, steps = ([t.double() for t in tensors] for tensors in made)
    norms = sum(g.reshape(runs, -1).square().sum(1) for g in grads).sqrt()
    scale = torch.ones(runs) if grad_norm is None else (grad_norm / (norms + 1e-6)).clamp(max=1.0)
    out = [[] for _ in range(5)]
    for p, g, m, v, t in zip(params, grads, means, squares, steps, strict=True):
        g = g * scale.view(-1, *[1] * (g.dim() - 1)).double()
        out[1].append(g)
        g, t = (-g if maximize else g) + (0 if decoupled else weight_decay) * p, t + 1
        p = p * (1 - lr * weight_decay) if decoupled else p
        m, v = m + (1 - betas[0]) * (g - m), betas[1] * v + (1 - betas[1]) * g * g
        root = (v / (1 - betas[1] ** t)).sqrt()
        new = p - lr / (1 - betas[0] ** t) * m / (root + eps)
        for place, value in zip((0, 2, 3, 4), (new, m, v, t), strict=True):
            out[place].append(value)
    return out


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("op", [adam_, "reference"], ids=["op", "reference"])
@pytest.mark.parametrize(
    "options",
    [{}, dict(grad_norm=3.0), dict(grad_norm=1e6), dict(weight_decay=0.1, maximize=True, grad_norm=5.0),
     dict(weight_decay=0.3, decoupled=True), dict(betas=(0.5, 0.9), eps=1e-2)],
    ids=str,
)  # fmt: skip
def test_the_formula(options, op, dtype, rtol):
    made = lists(dtype=dtype)
    expected = by_hand(made, 2, lr=0.1, **options)
    if op == "reference":
        rule = dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, grad_norm=math.inf, maximize=False) | options
        beta1, beta2 = rule.pop("betas")
        reference.adam_(*made, runs=2, lr=0.1, beta1=beta1, beta2=beta2, **rule)
    else:
        op(*made, lr=0.1, runs=2, **options)
    for came, wanted in zip(made, expected, strict=True):
        for one, other in zip(came, wanted, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("grad_norm", [None, 3.0])
def test_torchs_clip_and_adam(grad_norm):
    """The last of nine steps of one run; also those that begin it, where the bias of the moments weighs most."""
    draw = torch.Generator().manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(1, *shape, generator=draw)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    moments = [[torch.zeros_like(p) for p in ours] for _ in range(2)]
    steps, optimizer = [torch.zeros(()) for _ in ours], torch.optim.Adam(theirs, lr=1e-2)
    for _ in range(9):
        grads = [torch.randn(p.shape, generator=draw) for p in ours]
        for p, grad in zip(theirs, grads, strict=True):
            p.grad = grad.clone()
        if grad_norm:
            torch.nn.utils.clip_grad_norm_(theirs, grad_norm)
        optimizer.step()
        with torch.no_grad():
            adam_(ours, grads, *moments, steps, lr=1e-2, grad_norm=grad_norm)
        for one, other, grad in zip(ours, theirs, grads, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(grad, other.grad, rtol=1e-5, atol=1e-6)
    assert [step.item() for step in steps] == [9.0] * 3


def test_neither_threads_nor_other_runs_change_a_runs_bits():
    both, one_thread = lists(runs=3), lists(runs=3)
    alone = [[t[1:2].clone() for t in tensors] for tensors in both[:4]] + [[s.clone() for s in both[4]]]
    adam_(*both, lr=0.1, runs=3, grad_norm=2.0)
    adam_(*alone, lr=0.1, runs=1, grad_norm=2.0)
    count = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if count > 1 else 2)
        adam_(*one_thread, lr=0.1, runs=3, grad_norm=2.0)
    finally:
        torch.set_num_threads(count)
    for together, single, apart in zip(both[:4], one_thread, alone, strict=False):
        assert all(map(torch.equal, together, single))
        assert all(torch.equal(t[1:2], a) for t, a in zip(together, apart, strict=True))


def test_weights_fade_without_bias():
    """1,000 steps without gradients take 1 - (1 - 3e-6)^1000 of the weights: rounding errors cancel over many.

    torch's kernel, which multiplies by 1 - 3e-6 in float32, takes 0.7 % less.
    """
    draw = torch.Generator().manual_seed(0)
    params = torch.rand(20_000, generator=draw) + 0.5
    start, zeros = params.double(), [torch.zeros_like(params) for _ in range(3)]
    for step in range(1000):
        steps = [torch.tensor(float(step))]
        adam_([params], *([z] for z in zeros), steps, lr=3e-4, weight_decay=0.01, decoupled=True)
    share = (1 - params.double().sum() / start.sum()).item()
    tolerance = 2e-3 if backend("adam_", "cpu") == "compiled" else 1e-2
    assert share == pytest.approx(1 - (1 - 3e-6) ** 1000, rel=tolerance)


def test_a_nan_stays_in_its_run():
    made = lists()
    made[1][0][1, 0, 0] = math.nan
    adam_(*made, lr=0.1, runs=2, grad_norm=1.0)
    assert all(p[0].isfinite().all() and p[1].isnan().all() for p in made[0])


def test_tensors_that_are_not_contiguous_move_where_they_lie():
    made, other = lists(), lists()
    strided = [t.mT.contiguous().mT for t in other[0][:1]]
    adam_(*made, lr=0.1)
    adam_([*strided, *other[0][1:]], *other[1:], lr=0.1)
    torch.testing.assert_close(strided[0], made[0][0])
    assert not strided[0].is_contiguous()


def test_nothing_to_move_is_no_error_and_a_move_is_seen_by_autograd():
    adam_([], [], [], [], [], lr=0.1)
    made = lists()
    version = made[0][0]._version
    adam_(*made, lr=0.1, runs=2)
    assert made[0][0]._version > version


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(place=1, value=lambda t: t[:-1]), r"adam_: grads is 2 long; wanted 3"),
        (dict(place=2, value=lambda t: [*t[:2], t[2].double()]), r"adam_: exp_avgs is float64 \[2, 1\] on cpu; wanted"),
        (dict(place=4, value=lambda t: [*t[:2], torch.zeros((), dtype=torch.int64)]), r"adam_: steps is int64"),
        (dict(runs=4), r"adam_: params is float32 \[2, 3, 5\] on cpu; wanted float32 or float64 \[runs, ...\]"),
        (dict(runs=0), r"adam_: runs is 0; wanted at least 1"),
        (dict(lr=-1.0), r"adam_: lr is -1; wanted a number from 0"),
        (dict(betas=(0.9, 1.5)), r"adam_: beta2 is 1.5; wanted a number from 0 to 1"),
        (dict(grad_norm=math.nan), r"adam_: grad_norm is nan"),
        (dict(place=0, value=lambda t: [t[0].bfloat16(), *t[1:]]), r"adam_: params is float32 .* all of one dtype"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    made = lists()
    if "place" in change:
        made[change["place"]] = change["value"](made[change["place"]])
    options = dict(lr=0.1, runs=2) | {k: v for k, v in change.items() if k not in ("place", "value")}
    with pytest.raises(RuntimeError, match=message):
        adam_(*made, **options)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, lambda t: t[:-1], "grads is 2 long; wanted 3"),
        (2, lambda t: [*t[:2], t[2][:1]], r"exp_avgs is bfloat16 \[1, 1\] on cpu; wanted as params"),
        (3, lambda t: [*t[:2], t[2].float()], r"exp_avg_sqs is float32"),
        (4, lambda t: [*t[:2], torch.zeros(2)], r"steps is float32 \[2\]"),
    ],
)
def test_the_reference_refuses_the_same(place, value, message):
    made = lists(dtype=torch.bfloat16)  # not compiled
    made[place] = value(made[place])
    kept = [p.clone() for p in made[0]]
    with pytest.raises(RuntimeError, match=f"adam_: {message}"):
        adam_(*made, lr=0.1, runs=2, grad_norm=1.0)
    assert all(map(torch.equal, made[0], kept))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_makes_the_cpus_numbers_also_in_a_graph(dtype):
    assert backend("adam_", "cuda") == "compiled"
    here, there = lists(dtype=dtype), [[t.cuda() for t in tensors] for tensors in lists(dtype=dtype)]
    options = dict(lr=0.1, runs=2, weight_decay=0.1)
    adam_(*there, grad_norm=3.0, **options)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        adam_(*there, grad_norm=None, **options)
    graph.replay()
    graph.replay()
    for grad_norm in (3.0, None, None):
        adam_(*here, grad_norm=grad_norm, **options)
    for came, wanted in zip(there, here, strict=True):
        torch.testing.assert_close([t.cpu() for t in came], wanted, rtol=1e-6, atol=1e-7)


def test_opcheck():
    torch.library.opcheck(OP, (*lists(), 2, 0.1, 0.9, 0.999, 1e-8, 0.0, 3.0, False))
