"""langevin_chain as an op: what it refuses, opcheck, graphs, CUDA."""

import importlib
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pyslsac.ops import QGroup, action_grad, backend, langevin_chain
from pyslsac.ops.reference import langevin_chain as reference
from tests.ops.test_langevin_chain import A, converted, gradient, group, inputs

chain_module = importlib.import_module("pyslsac.ops.langevin_chain")  # the name is the function in the package

Q, OBS, ACTION = group(), *inputs()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(obs=OBS[:, :5]), r"langevin_chain: action is float32 \[2, 37, 3\] on cpu; wanted"),
        (dict(action=ACTION.double()), r"action is float64 \[2, 37, 3\]|obs is float32 \[2, 37, 11\]"),
        (dict(obs=OBS.half(), action=ACTION.half()), r"obs is float16 \[2, 37, 11\] on cpu; wanted float32"),
        (
            dict(q=replace(Q, weights=Q.weights[1:], biases=Q.biases[1:])),
            r"weights is float32 \[2, 4, 48, 48\] on cpu; w",
        ),
        (dict(q=replace(Q, weights=Q.weights[2:], biases=Q.biases[2:])), "layers is 2; wanted 2 or 3 hidden layers"),
        (dict(q=replace(Q, biases=Q.biases[::-1])), r"biases is float32 \[2, 4, 1\]"),
        (
            dict(q=replace(Q, step_bias=torch.zeros(2, 1, 4, 48))),
            r"step_biases is float32 \[2, 1, 4, 48\] on cpu; wanted",
        ),
        (
            dict(q=replace(Q, coef=torch.ones(3))),
            r"coefs is float32 \[1, 3\] on cpu; wanted float32 \[1 or 4, 1 or 2\]",
        ),
        (dict(q=replace(Q, reduce="member", member=4)), "members is 4; wanted numbers of 4 members"),
        (dict(q=group(reduce="pair_min_mean", members=3)), "members is 3; wanted an even number"),
        (dict(groups=[]), "groups is 0; wanted 1 to 8"),
        (dict(groups=[Q] * 9), "groups is 9; wanted 1 to 8"),
        (dict(steps=0), "steps is 0; wanted a positive number"),
        (dict(temperature=torch.ones(3)), r"temperature is float32 \[1, 3\]"),
        (dict(grad_cap=-1.0), "grad_cap is -1.*; wanted a positive number"),
        (dict(grad_cap=1.0, normalize=True), "grad_cap is 1.*; wanted none beside normalize"),
        (dict(low=1.0, high=-1.0), "low is 1.*; wanted at most high"),
        (dict(stream=2**32), "stream is 4294967296; wanted an integer of 32 bits"),
        (dict(seed=torch.zeros(3, dtype=torch.int64)), r"seed is int64 \[3\]"),
    ],
)
@pytest.mark.parametrize("op", ["compiled", "reference"])
def test_refuses(change: dict, message: str, op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if op == "reference":
        monkeypatch.setattr(chain_module, "_chain", reference.langevin_chain)
    change = dict(obs=OBS, action=ACTION, q=Q, steps=4) | change
    arguments = (change.pop("obs"), change.pop("action"), change.pop("groups", [change.pop("q")]))
    with pytest.raises(RuntimeError, match=message):
        langevin_chain(*arguments, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(groups=[replace(Q, activation="elu")]),
            "activation is 'elu'; wanted one of relu, silu, gelu, mish, tanh",
        ),
        (dict(groups=[replace(Q, reduce="median")]), "reduce is 'median'; wanted one of mean, sum"),
        (dict(precision="tf32"), "precision is 'tf32'; wanted one of fp32, bf16"),
        (dict(grad_cap_scope="batch"), "grad_cap_scope is 'batch'; wanted one of sample, run"),
        (
            dict(step_size=torch.ones(2), steps=2),
            r"step_size is \[2\], which may count moves or runs; give it two axes",
        ),
    ],
)
def test_refuses_names_and_doubtful_schedules(change: dict, message: str) -> None:
    change = dict(groups=[Q]) | change
    with pytest.raises(ValueError, match=message):
        langevin_chain(OBS, ACTION, change.pop("groups"), **change)


def flat(groups: list[QGroup], obs: Tensor, action: Tensor, **options) -> tuple:
    """The arguments that the op itself gets."""
    calls: list[tuple] = []
    original = chain_module._chain
    try:
        chain_module._chain = lambda *args: calls.append(args) or original(*args)
        langevin_chain(obs, action, groups, **options)
    finally:
        chain_module._chain = original
    return calls[0]


def test_opcheck() -> None:
    groups = [group(width=16, step_bias=torch.randn(2, 2, 4, 16)), group("tanh", "max", width=24, hidden=2)]
    prior, options = (torch.zeros(A), 1.0), dict(steps=2, step_size=torch.rand(2, 1), seed=torch.arange(2))
    for more in (dict(trajectory=True), dict(values=True, prior=prior)):
        torch.library.opcheck(chain_module._chain, flat(groups, *inputs(), **options, **more))


def test_compiles_into_a_graph() -> None:
    q, (obs, action) = group(width=16), inputs()

    def climb(action: Tensor, step: Tensor) -> Tensor:
        found = langevin_chain(obs, action, [q], steps=2, step=step, trajectory=True, values=True)
        return found.action * 2 + found.path[:, 0] + action_grad(obs, action, [replace(q, reduce="max")])

    compiled = torch.compile(climb, fullgraph=True, backend="aot_eager")
    for step in (torch.tensor(4), torch.tensor(5)):
        assert torch.equal(compiled(action, step), climb(action, step))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-2)])
def test_cuda_replays_fresh_values(precision: str, tolerance: float) -> None:
    assert backend("langevin_chain", "cuda") == "compiled"
    q = group("mish", "mean", width=64, coef=torch.rand(3, 2))
    obs, action = inputs()
    on = replace(
        converted(q, torch.float32), weights=[w.cuda() for w in q.weights], biases=[b.cuda() for b in q.biases]
    )
    on = replace(on, coef=q.coef.cuda())
    drift, exact = action_grad(obs.cuda(), action.cuda(), [replace(on, coef=1.0)], precision), None
    exact = gradient([converted(replace(q, coef=1.0), torch.float64)], obs.double(), action.double())
    assert (drift.cpu() - exact).abs().max() < tolerance * exact.abs().max()
    step, obs_on, action_on = torch.zeros((), dtype=torch.int64, device="cuda"), obs.cuda(), action.cuda()

    def climb() -> Tensor:
        return langevin_chain(obs_on, action_on, [on], steps=3, step_size=0.05, step=step, precision=precision)

    climb()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        moved = climb()
    for now in (0, 7):
        step.fill_(now)
        graph.replay()
        there = langevin_chain(obs, action, [q], steps=3, step_size=0.05, step=now, precision=precision)
        assert torch.allclose(moved.cpu(), there, rtol=0, atol=10 * tolerance)
