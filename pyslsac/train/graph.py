"""Whole updates and acts recorded once and replayed, so that a step waits for arithmetic and not for Python.

A small agent's eager update spends more time on the way to its several hundred operators than in them. On a CPU the
operators of one update, autograd's and the optimizers' among them, are traced and handed to torch's graph interpreter;
on CUDA they are captured in one graph, which a single launch replays. Both run the operators that an eager update runs,
in its order (on a CPU without those that make no difference): the numbers are the same, on a CPU to the bit.

What makes that hold: an agent reads whatever changes between updates from tensors that keep their place, and runs the
same operators for every update of one kind (`Agent.kind`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyslsac.data import Batch
from pyslsac.train.tracing import recorded

Metrics = dict[str, Tensor]
Given = Batch | Tensor | None  # what an update is made from, besides tensors that keep their place
Replay = Callable[[Given], Metrics]
RECORDINGS = 8  # at most: batches of ever new shapes are not worth one each
LAUNCH = 16  # updates in one graph, at most, where launching it is what costs

log = logging.getLogger(__name__)


class Graph:
    """`update`, by default the agent's, recorded. Make a new one whenever the agent is loaded or its runs are selected.

    The first update of a kind runs eagerly, for optimizers make their state then; the second is recorded, the others
    replayed; on CUDA up to `LAUNCH` of them at once. Where recording fails, `reason` says why, all is as it was before,
    and all updates are eager. `moved` gives what `update` moves beside the agent; it only reads `read`.
    """

    def __init__(
        self,
        agent: Any,
        update: Callable[..., Metrics] | None = None,
        *,
        moved: Callable[[], list[Tensor]] = list,
        read: Sequence[Tensor] = (),
        reason: str = "",
    ) -> None:
        self.agent, self.update, self.moved, self.read = agent, update or agent.update, moved, read
        self.reason = reason  # for eager updates
        self.replays: dict[Any, Replay | None] = {}

    def __call__(self, given: Given = None, times: int = 1) -> Metrics:
        """`times` updates; the metrics of the last."""
        if self.reason:
            return self._eager(given, times)
        metrics: Metrics = {}
        launch = LAUNCH if self.agent.device.type == "cuda" else 1
        for done in range(0, times, launch):
            metrics = self._several(given, min(launch, times - done))
        return metrics

    def _several(self, given: Given, times: int) -> Metrics:
        kinds = tuple(self.agent.kind(ahead) for ahead in range(times))
        key = kinds, type(given), *((t.shape, t.dtype, t.device) for t in tensors_of(given))
        replay = self.replays.get(key)
        if replay is not None:
            return replay(given)
        if key in self.replays and len(self.replays) <= RECORDINGS:
            return self._record(key, given, times)
        self.replays[key] = None
        return self._eager(given, times)

    def _eager(self, given: Given, times: int) -> Metrics:
        metrics: Metrics = {}
        for _ in range(times):
            metrics = self.update(given)
        return metrics

    def _record(self, key: Any, given: Given, times: int) -> Metrics:
        before, kept = self.agent.state_dict(), [(tensor, tensor.clone()) for tensor in self.moved()]
        record = captured if self.agent.device.type == "cuda" else traced
        try:
            self.replays[key], metrics = record(self, given, times)
        except Exception as error:  # whatever it is, an eager update can do without
            self.reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            log.warning("%s runs without a graph: %s", type(self.agent).__name__, self.reason)
            self.agent.load_state_dict(before)
            for tensor, copy in kept:
                tensor.copy_(copy)
            self.replays = {}  # they move what was the agent's state
            return self._eager(given, times)
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


def tensors_of(given: Given) -> list[Tensor]:
    """The tensors that change from one update to the next."""
    if given is None or isinstance(given, Tensor):
        return [] if given is None else [given]
    return [*vars(given).values()]


def with_tensors(given: Given, tensors: Sequence[Tensor]) -> Given:
    """The like of `given`, made of these."""
    if given is None or isinstance(given, Tensor):
        return None if given is None else tensors[0]
    return type(given)(*tensors)


def learned_by(agent: Any) -> list[Tensor]:
    """Every parameter of the agent's optimizers that has a gradient."""
    optimizers = [part for part in agent.parts.values() if isinstance(part, torch.optim.Optimizer)]
    params = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    return [p for p in params if p.grad is not None]


def traced(graph: Graph, given: Given, times: int) -> tuple[Replay, Metrics]:
    """Makes one update on the CPU and records it."""
    metrics: Metrics = {}
    learned: list[Tensor] = []
    agent = graph.agent

    def update(*tensors: Tensor) -> tuple[Tensor, ...]:
        metrics.update(graph.update(with_tensors(given, tensors)))
        learned.extend(learned_by(agent))
        return *metrics.values(), *(p.grad for p in learned if p.grad is not None)

    run, names = recorded(update, tensors_of(given), graph.read), list(metrics)

    def replay(given: Given) -> Metrics:
        values = run(*tensors_of(given))
        for parameter, grad in zip(learned, values[len(names) :], strict=True):
            parameter.grad = grad  # where an update leaves it
        agent.counters["updates"] += 1
        return dict(zip(names, values, strict=False))

    return replay, {name: value.detach() for name, value in metrics.items()}


def captured(graph: Graph, given: Given, times: int) -> tuple[Replay, Metrics]:
    """Captures updates on CUDA and makes them by a first replay."""
    agent, inputs = graph.agent, [tensor.clone() for tensor in tensors_of(given)]
    done, launch = agent.counters["updates"], torch.cuda.CUDAGraph()
    with torch.cuda.graph(launch):
        for _ in range(times):
            metrics = graph.update(with_tensors(given, inputs))
    agent.counters["updates"] = done  # captured is not yet done
    grads = [(p, p.grad) for p in learned_by(agent)]

    def replay(given: Given) -> Metrics:
        for tensor, value in zip(inputs, tensors_of(given), strict=True):
            tensor.copy_(value)
        launch.replay()
        for parameter, grad in grads:
            parameter.grad = grad  # where an update leaves it
        agent.counters["updates"] += times
        return metrics

    return replay, replay(given)
