"""Whole updates recorded once and replayed, so that a step waits for arithmetic and not for Python.

A small agent's eager update spends more time on the way to its several hundred operators than in them. On a CPU the
operators of one update, autograd's and the optimizers' among them, are traced and handed to torch's graph interpreter;
on CUDA they are captured in one graph, which a single launch replays. Both run the operators that an eager update runs,
in its order: the numbers are the same, on a CPU to the bit.

What makes that hold: an agent reads whatever changes between updates from tensors that keep their place, and runs the
same operators for every update of one kind (`Agent.kind`).
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from pyslsac.data import Batch

Metrics = dict[str, Tensor]
Replay = Callable[[Batch], Metrics]
ONE_BY_ONE = {  # on a CPU the first are loops over the second
    torch.ops.aten._foreach_mul_.List: torch.ops.aten.mul_.Tensor,
    torch.ops.aten._foreach_add_.Scalar: torch.ops.aten.add_.Scalar,
    torch.ops.aten._foreach_lerp_.Scalar: torch.ops.aten.lerp_.Scalar,
}
RECORDINGS = 8  # at most: batches of ever new shapes are not worth one each

EFFECTS = torch.library.Library("pyslsac_graph", "DEF")

log = logging.getLogger(__name__)


class Graph:
    """`agent.update`, recorded. Make a new one whenever the agent's state is loaded or its runs are selected.

    The first update of a kind runs eagerly, for optimizers make their state then; the second is recorded, the others
    replayed. Where recording fails, `reason` says why, the agent is as it was before, and all updates are eager.
    """

    def __init__(self, agent: Any) -> None:
        self.agent, self.reason = agent, ""
        self.replays: dict[Any, Replay | None] = {}

    def __call__(self, batch: Batch) -> Metrics:
        key = self.agent.kind(), type(batch), *((t.shape, t.dtype, t.device) for t in tensors_of(batch))
        replay = self.replays.get(key)
        if replay is not None:
            return replay(batch)
        if key in self.replays and not self.reason and len(self.replays) <= RECORDINGS:
            return self._record(key, batch)
        self.replays[key] = None
        return self.agent.update(batch)

    def _record(self, key: Any, batch: Batch) -> Metrics:
        before = self.agent.state_dict()
        record = captured if self.agent.device.type == "cuda" else traced
        try:
            self.replays[key], metrics = record(self.agent, batch)
        except Exception as error:  # whatever it is, an eager update can do without
            self.reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            log.warning("%s runs without a graph: %s", type(self.agent).__name__, self.reason)
            self.agent.load_state_dict(before)
            self.replays = {}  # they move what was the agent's state
            return self.agent.update(batch)
        return metrics


def tensors_of(batch: Batch) -> list[Tensor]:
    return [*vars(batch).values()]


def learned_by(agent: Any) -> list[Tensor]:
    """Every parameter of the agent's optimizers that has a gradient."""
    optimizers = [part for part in agent.parts.values() if isinstance(part, torch.optim.Optimizer)]
    params = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    return [p for p in params if p.grad is not None]


def traced(agent: Any, batch: Batch) -> tuple[Replay, Metrics]:
    """Makes an update on the CPU and records it."""
    from torch.fx.experimental.proxy_tensor import make_fx  # here, for it takes as long to import as all else

    metrics: Metrics = {}
    learned: list[Tensor] = []

    def update(*tensors: Tensor) -> tuple[Tensor, ...]:
        metrics.update(agent.update(type(batch)(*tensors)))
        learned.extend(learned_by(agent))
        return *metrics.values(), *(p.grad for p in learned if p.grad is not None)

    module = make_fx(update)(*tensors_of(batch))
    for node in reversed(module.graph.nodes):
        _suit(node)
    module.recompile()
    graph = _interpreted(module, tensors_of(batch))
    names = list(metrics)

    def replay(batch: Batch) -> Metrics:
        with torch.no_grad():
            values = graph(*tensors_of(batch))
        for parameter, grad in zip(learned, values[len(names) :], strict=True):
            parameter.grad = grad  # where an update leaves it
        agent.counters["updates"] += 1
        return dict(zip(names, values, strict=False))

    return replay, {name: value.detach() for name, value in metrics.items()}


def _suit(node: torch.fx.Node) -> None:
    """Change `node` for torch's interpreter, which sees no writes to lists of tensors and would drop such a call."""
    graph, name = node.graph, str(node.target)
    if name.startswith("profiler"):
        graph.erase_node(node)
    elif node.target is torch.ops.aten.detach.default:  # nothing here has a gradient
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.erase_node(node)
    elif node.target in ONE_BY_ONE:
        tensors, *arguments = cast(Any, node.args)
        for i, tensor in enumerate(tensors):
            others = [each[i] if isinstance(each, (list, tuple)) else each for each in arguments]
            with graph.inserting_before(node):
                graph.call_function(ONE_BY_ONE[node.target], (tensor, *others), node.kwargs)
        graph.erase_node(node)
    elif isinstance(node.target, torch._ops.OpOverload) and re.search(r"!\)\[", str(node.target._schema)):
        node.target = with_effects(node.target)


@functools.cache
def with_effects(op: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """`op`, which writes to lists of tensors, under a name by which the interpreter keeps its calls.

    Our own compiled ops bring their kernels for these names (`csrc/bind`); the others' calls go through Python.
    """
    name = op.name().replace("::", "_").replace(".", "_")
    arguments = re.sub(r"\(\w+!\)", "", str(op._schema).split("(", 1)[1].rsplit(" -> ", 1)[0])
    EFFECTS.define(f"{name}({arguments} -> ()", alias_analysis="CONSERVATIVE")
    EFFECTS.impl(name, op, "CompositeExplicitAutograd")
    return getattr(torch.ops.pyslsac_graph, name).default


def _interpreted(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """The module for torch's interpreter, which runs it once to see it: what that moves is put back."""
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor):  # else it counts as a constant, and constants of one value as one
            delattr(module, name)
            module.register_buffer(name, value)
    copies = [(value, value.detach().clone()) for value in (*module.parameters(), *module.buffers())]
    with torch.no_grad():
        graph = torch.jit.trace(module, tuple(inputs), check_trace=False)
        for value, copy in copies:
            value.copy_(copy)
    return graph


def captured(agent: Any, batch: Batch) -> tuple[Replay, Metrics]:
    """Captures an update on CUDA and makes it by a first replay."""
    inputs = [tensor.clone() for tensor in tensors_of(batch)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        metrics = agent.update(type(batch)(*inputs))
    agent.counters["updates"] -= 1  # captured is not yet done
    grads = [(p, p.grad) for p in learned_by(agent)]

    def replay(batch: Batch) -> Metrics:
        for tensor, value in zip(inputs, tensors_of(batch), strict=True):
            tensor.copy_(value)
        graph.replay()
        for parameter, grad in grads:
            parameter.grad = grad  # where an update leaves it
        agent.counters["updates"] += 1
        return metrics

    return replay, replay(batch)
