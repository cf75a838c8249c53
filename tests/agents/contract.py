"""What every off-policy agent keeps to on the run axis, as checks of `make(runs, seed)`, and batches to update on."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyslsac.agents import Agent
from pyslsac.data import Batch, NStepBatch, Spec
from pyslsac.train.graph import Acting, Graph, learned_by

SPEC = Spec(obs_dim=4, act_dim=2, horizon=10)
Make = Callable[[int, int], Agent]  # runs, seed of the first


def batch_of(runs: int = 1, seed: int = 0, size: int = 8, spec: Spec = SPEC) -> Batch:
    """Random transitions; run r's depend on seed + r alone."""
    parts = []
    for run in range(runs):
        g = torch.Generator().manual_seed(1000 + seed + run)
        obs, next_obs = (torch.randn(size, spec.obs_dim, generator=g) for _ in range(2))
        action, reward = torch.rand(size, spec.act_dim, generator=g) * 2 - 1, torch.randn(size, generator=g)
        cost = torch.rand(size, generator=g)
        parts.append((obs, action, reward, cost, next_obs, (torch.rand(size, generator=g) < 0.3).float()))
    return Batch(*(torch.stack(values) for values in zip(*parts, strict=True)))


def two_steps(batch: Batch) -> NStepBatch:
    """The batch with costs of two steps, which end where one step does not."""
    rows = batch.reward.shape
    costs = torch.stack([batch.cost, torch.full(rows, 0.5)], -1)
    first = (batch.obs, batch.action, batch.reward, batch.cost, batch.next_obs, batch.terminated)
    return NStepBatch(*first, costs, torch.full(rows, 2.0), batch.next_obs + 1, 1 - batch.terminated)


def modules(agent: Agent) -> dict[str, torch.nn.Module]:
    return {name: part for name, part in agent.parts.items() if isinstance(part, torch.nn.Module)}


def weights(module: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(before: list[Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


class CountOps(TorchDispatchMode):
    """Counts the operators that are dispatched, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def live(agent: Agent, first: int, count: int) -> None:
    """Updates on batches `first`, `first` + 10, ..., between which environment steps pass and an episode ends."""
    for update in range(count):
        agent.observe(batch_of(agent.runs, first + 10 * update).obs.to(agent.dtype))
        agent.update(batch_of(agent.runs, first + 10 * update))
        for run in range(agent.runs):
            agent.record_episode(run, 10.0 * update + agent.seeds[run])
        agent.after_env_steps(4)


def check_runs_do_not_leak(make: Make) -> None:
    """In float64 a run's metrics, gauges and actions are those of the run alone."""
    together, alone = make(3, 5), [make(1, 5 + run) for run in range(3)]
    for update in range(3):
        for place, agent in enumerate((together, *alone)):
            live(agent, 100 * update + max(place - 1, 0), 1)
        metrics = together.update(batch_of(3, 50 + 100 * update)) | together.gauges()
        single = [agent.update(batch_of(1, 50 + 100 * update + r)) | agent.gauges() for r, agent in enumerate(alone)]
        for name, values in metrics.items():
            expected = torch.cat([m[name] for m in single])
            torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-12, equal_nan=True)
    obs = torch.randn(3, 6, SPEC.obs_dim, dtype=torch.float64)
    actions = torch.cat([agent.act(obs[r : r + 1]) for r, agent in enumerate(alone)])
    torch.testing.assert_close(together.act(obs), actions, rtol=1e-9, atol=1e-12)


def check_operators_do_not_grow_with_runs(make: Make) -> None:
    """Four runs issue as many operators as one, by name."""
    counts = []
    for runs in (1, 4):
        agent, batch = make(runs, 0), batch_of(runs, size=40)
        agent.update(batch)
        with CountOps() as counter:
            agent.update(batch)
            agent.act(batch.obs)
        counts.append(counter.calls)
    assert counts[0] == counts[1] and counts[0].total() > 50


def check_state_comes_back(make: Make) -> None:
    """An agent with another's state goes on as the other does; a selection goes on as part of it; a state is a copy."""
    one, other = make(2, 0), make(2, 0)
    live(one, 0, 3)
    one.act(torch.zeros(2, 1, SPEC.obs_dim))
    state = one.state_dict()
    kept = copy.deepcopy(state)
    other.load_state_dict(state)
    second = one.select([1])
    assert second.seeds == [1] and second.runs == 1
    for agent, first in ((one, 70), (other, 70), (second, 71)):
        live(agent, first, 2)
    metrics = [agent.update(batch_of(agent.runs, 90)) | agent.gauges() for agent in (one, other)]
    alone = second.update(batch_of(1, 91)) | second.gauges()
    for name, values in metrics[0].items():
        assert torch.equal(values.nan_to_num(), metrics[1][name].nan_to_num()), name
        torch.testing.assert_close(alone[name], values[1:], rtol=1e-9, atol=1e-12, equal_nan=True)
    assert torch.equal(one.act(torch.ones(2, 3, SPEC.obs_dim)), other.act(torch.ones(2, 3, SPEC.obs_dim)))
    for name in modules(one):
        for a, b in zip(state["parts"][name].values(), kept["parts"][name].values(), strict=True):
            assert torch.equal(a, b)  # updates do not reach into it


def check_recorded_updates(make: Make) -> None:
    """Replayed updates and acts are the eager ones to the bit: metrics, gauges, gradients, state; episodes end, too."""
    eager, recorded = make(2, 5), make(2, 5)
    graph, acting = Graph(recorded), Acting(recorded)
    for update in range(9):
        batch = batch_of(2, 10 * update)
        batch = two_steps(batch) if update > 5 else batch  # of another type: recorded anew
        pairs = []
        for agent, learn in ((eager, eager.update), (recorded, graph)):
            agent.observe(batch.obs.to(agent.dtype))
            metrics = learn(batch)
            for run in range(2):
                agent.record_episode(run, 10.0 * update + run)
            agent.after_env_steps(4)
            pairs.append(metrics | agent.gauges())
        for _ in range(2):
            assert torch.equal(eager.act(batch.obs[:, :3].float()), acting(batch.obs[:, :3].float()))
        assert list(pairs[0]) == list(pairs[1])
        for name, value in pairs[0].items():
            assert torch.equal(value.nan_to_num(), pairs[1][name].nan_to_num()), (update, name)
    assert not graph.reason and sum(replay is not None for replay in graph.replays.values()) >= 2
    assert len(acting.replays) == 1 and recorded.act not in acting.replays.values()
    for ours, theirs in zip(learned_by(eager), learned_by(recorded), strict=True):
        assert ours.grad is not None and theirs.grad is not None and torch.equal(ours.grad, theirs.grad)
    states = [json.dumps(agent.state_dict(), default=lambda tensor: tensor.tolist()) for agent in (eager, recorded)]
    assert states[0] == states[1]


def check_everything_moves(make: Make, updates: int) -> None:
    """After `updates` updates every network has moved, and every metric and gauge is [R], without a graph."""
    agent = make(2, 0)
    before = {name: weights(module) for name, module in modules(agent).items()}
    for update in range(updates):
        metrics = agent.update(batch_of(2, 10 * update)) | agent.gauges()
        assert all(value.shape == (2,) and not value.requires_grad for value in metrics.values())
    still = [name for name, module in modules(agent).items() if not moved(before[name], module)]
    assert before and not still, f"did not move: {still}"
