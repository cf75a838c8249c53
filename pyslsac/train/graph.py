"""Whole updates and acts recorded once and replayed, so that a step waits for arithmetic and not for Python.

A small agent's eager update spends more time on the way to its several hundred operators than in them. On a CPU the
operators of one update, autograd's and the optimizers' among them, are traced and handed to torch's graph interpreter;
on CUDA they are captured in one graph, which a single launch replays. Both run the operators that an eager update runs,
in its order: the numbers are the same, on a CPU to the bit.

What makes that hold: an agent reads whatever changes between updates from tensors that keep their place, and runs the
same operators for every update of one kind (`Agent.kind`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyslsac.data import Batch
from pyslsac.train.tracing import recorded

Metrics = dict[str, Tensor]
Replay = Callable[[Batch], Metrics]
RECORDINGS = 8  # at most: batches of ever new shapes are not worth one each

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


class Acting:
    """`agent.act` where it explores: on the CPU recorded the first time for each number of environments, then replayed.

    Where recording fails it runs eagerly, as on other devices. Make a new one whenever you make a new `Graph`.
    """

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.replays: dict[torch.Size, Callable[[Tensor], Tensor]] = {}

    @torch.no_grad()
    def __call__(self, obs: Tensor) -> Tensor:
        replay = self.replays.get(obs.shape)
        return self._record(obs) if replay is None else replay(obs)

    def _record(self, obs: Tensor) -> Tensor:
        if self.agent.device.type != "cpu":
            return self.agent.act(obs)
        before, actions = self.agent.acts.clone(), list[Tensor]()

        def act(obs: Tensor) -> Tensor:
            actions.append(self.agent.act(obs))
            return actions[-1]

        try:
            self.replays[obs.shape] = recorded(act, [obs])
            return actions[0]
        except Exception as error:  # whatever it is, acting eagerly can do without
            log.warning("%s acts without a graph: %s: %s", type(self.agent).__name__, type(error).__name__, error)
            self.agent.acts.copy_(before)
            self.replays[obs.shape] = self.agent.act
            return self.agent.act(obs)


def tensors_of(batch: Batch) -> list[Tensor]:
    return [*vars(batch).values()]


def learned_by(agent: Any) -> list[Tensor]:
    """Every parameter of the agent's optimizers that has a gradient."""
    optimizers = [part for part in agent.parts.values() if isinstance(part, torch.optim.Optimizer)]
    params = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    return [p for p in params if p.grad is not None]


def traced(agent: Any, batch: Batch) -> tuple[Replay, Metrics]:
    """Makes an update on the CPU and records it."""
    metrics: Metrics = {}
    learned: list[Tensor] = []

    def update(*tensors: Tensor) -> tuple[Tensor, ...]:
        metrics.update(agent.update(type(batch)(*tensors)))
        learned.extend(learned_by(agent))
        return *metrics.values(), *(p.grad for p in learned if p.grad is not None)

    graph, names = recorded(update, tensors_of(batch)), list(metrics)

    def replay(batch: Batch) -> Metrics:
        with torch.no_grad():
            values = graph(*tensors_of(batch))
        for parameter, grad in zip(learned, values[len(names) :], strict=True):
            parameter.grad = grad  # where an update leaves it
        agent.counters["updates"] += 1
        return dict(zip(names, values, strict=False))

    return replay, {name: value.detach() for name, value in metrics.items()}


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
