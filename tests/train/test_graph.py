"""Recording updates: what is recorded when, and what where it fails. tests/agents/test_base.py compares the numbers."""

import dataclasses
import json
import logging
from types import SimpleNamespace

import pytest
import torch

from pyslsac import make_agent
from pyslsac.nn import Ensemble
from pyslsac.train.graph import RECORDINGS, Acting, Graph
from tests.agents.contract import SPEC, batch_of
from tests.train.tiny_run import rows, tiny_run


@pytest.fixture
def agent():
    return make_agent("sac", SPEC, dict(width=16), runs=2)


def state_of(agent):
    return json.dumps(agent.state_dict(), default=lambda tensor: tensor.tolist())


def test_each_kind_is_eager_once_and_recorded_once(agent, monkeypatch):
    """policy_delay is 2: updates 1 and 2 are eager, 3 and 4 recorded, and no other runs in Python."""
    honest, made = agent.update, []
    monkeypatch.setattr(agent, "update", lambda batch: made.append(agent.counters["updates"] + 1) or honest(batch))
    graph = Graph(agent)
    for update in range(8):
        graph(batch_of(2, update))
    assert made == [1, 2, 3, 4] and agent.counters["updates"] == agent.clock.item() == 8


def test_a_replay_takes_the_batch_it_is_given(agent):
    graph = Graph(agent)
    for _ in range(5):
        graph(batch_of(2, 0))
    first, second = (graph(batch_of(2, seed))["Value/reward_critic"] for seed in (0, 10))
    assert not torch.isclose(first, second).any()


@pytest.mark.parametrize("where", ["targets", "actor_loss"])
def test_what_cannot_be_recorded_stays_eager_and_loses_nothing(agent, monkeypatch, caplog, where):
    """The number that a tensor holds decides what is done, at the start of the update or with half of it behind."""
    other, honest = make_agent("sac", SPEC, dict(width=16), runs=2), getattr(agent, where)
    monkeypatch.setattr(agent, where, lambda batch, noise: honest(batch, noise) if noise.sum().item() else None)
    graph = Graph(agent)
    with caplog.at_level(logging.WARNING):
        for update in range(6):
            assert graph(batch_of(2, update)).keys() == other.update(batch_of(2, update)).keys()
    assert "data-dependent" in graph.reason and not any(graph.replays.values())
    assert [record.getMessage() for record in caplog.records] == [f"SAC runs without a graph: {graph.reason}"]
    assert state_of(agent) == state_of(other)


def test_what_an_update_moves_beside_the_agent_is_put_back(agent, monkeypatch):
    draws = torch.zeros(1)

    def update(batch):
        draws.add_(1)
        return agent.update(batch) if draws.item() else {}  # what a tensor holds decides: it cannot be recorded

    graph = Graph(agent, update, moved=lambda: [draws])
    for number in range(6):
        graph(batch_of(2, number))
    assert graph.reason and draws.item() == agent.counters["updates"] == 6


def test_without_a_batch_it_learns_from_what_keeps_its_place(agent):
    """`times` updates a call, each from what a counter in the graph says; what is only read is not copied."""
    other, held = make_agent("sac", SPEC, dict(width=16), runs=2), [batch_of(2, number) for number in range(3)]
    rows, turn = torch.stack([batch.obs for batch in held]), torch.zeros(1, dtype=torch.int64)

    def update(given):
        assert given is None
        obs = rows.index_select(0, turn % 3)[0]
        turn.add_(1)
        return agent.update(dataclasses.replace(held[0], obs=obs))

    graph = Graph(agent, update, moved=lambda: [turn], read=[rows])
    for _ in range(5):
        graph(None, 2)
    for number in range(10):
        other.update(dataclasses.replace(held[0], obs=held[number % 3].obs))
    assert not graph.reason and turn.item() == 10 and state_of(agent) == state_of(other)


def test_on_cuda_a_launch_holds_several_updates(monkeypatch):
    """A launch is a loop here, of an agent whose odd and even updates differ."""
    made, agent = [], SimpleNamespace(device=SimpleNamespace(type="cuda"), updates=0, state_dict=dict)
    agent.kind = lambda ahead=0: (agent.updates + ahead) % 2

    def update(given):
        agent.updates += 1
        return {}

    def captured(graph, given, times):
        def replay(given):
            made.append((agent.updates % 2, times))
            return graph._eager(given, times)

        return replay, replay(given)

    monkeypatch.setattr("pyslsac.train.graph.captured", captured)
    monkeypatch.setattr("pyslsac.train.graph.LAUNCH", 4)
    graph = Graph(agent, update)
    for _ in range(6):
        graph(None, 7)
    assert agent.updates == 42 and len(graph.replays) == 4  # launches of 4 and of 3, from an odd update and an even one
    assert made == [(number % 2, times) for number in (0, 1, 0, 1) for times in (4, 3)]


def test_ever_new_shapes_are_not_recorded_for_ever(agent):
    graph = Graph(agent)
    for size in range(1, 2 * RECORDINGS):
        for _ in range(4):
            graph(batch_of(2, 0, size))
    assert sum(replay is not None for replay in graph.replays.values()) <= RECORDINGS


def test_acting_is_recorded_once_for_each_number_of_environments(agent, monkeypatch):
    honest, made = agent.act, []
    monkeypatch.setattr(agent, "act", lambda obs: made.append(obs.shape[1]) or honest(obs))
    acting, other = Acting(agent), make_agent("sac", SPEC, dict(width=16), runs=2)
    for count in (3, 3, 1, 3, 1):
        obs = torch.randn(2, count, SPEC.obs_dim)
        assert torch.equal(acting(obs), other.act(obs))
    assert made == [3, 1] and agent.acts == other.acts == 5


def test_networks_that_act_twice_are_recorded():
    """Calls that share a list of tensors: torch's interpreter empties one that it took for the other's."""
    network = Ensemble((2,), (4, 8, 4), [torch.Generator().manual_seed(run) for run in (0, 1)])
    twice = SimpleNamespace(act=lambda obs: network(network(obs)), device=torch.device("cpu"), acts=torch.zeros(()))
    acting, obs = Acting(twice), torch.randn(2, 3, 4)
    for _ in range(3):
        assert torch.equal(acting(obs), network(network(obs)))
    assert acting.replays[obs.shape] is not twice.act


def test_an_act_that_cannot_be_recorded_stays_eager_and_draws_the_same(agent, monkeypatch, caplog):
    honest, other = agent.act, make_agent("sac", SPEC, dict(width=16), runs=2)
    monkeypatch.setattr(agent, "act", lambda obs: honest(obs) if honest(obs).sum().item() else obs)
    acting = Acting(agent)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            obs = torch.randn(2, 1, SPEC.obs_dim)
            other.act(obs)  # the other look
            assert torch.equal(acting(obs), other.act(obs))
    assert [record.getMessage()[:28] for record in caplog.records] == ["SAC acts without a graph: Ru"]


def test_eager_runs_give_the_same_numbers(tmp_path):
    recorded, eager = (tiny_run(tmp_path / str(flag), eager=flag) for flag in (False, True))
    for ours, theirs in zip(recorded.seeds, eager.seeds, strict=True):
        assert rows(ours.out) == rows(theirs.out)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_on_cuda_follows_the_eager_one(tmp_path):
    """16 updates to a launch, which draws from the replay on the device; rows near, for sums there may change order."""
    recorded, eager = (
        tiny_run(tmp_path / str(flag), eager=flag, device="cuda", num_envs=16, steps=320) for flag in (False, True)
    )
    for ours, theirs in zip(recorded.seeds, eager.seeds, strict=True):
        for row, other in zip(rows(ours.out), rows(theirs.out), strict=True):
            for name, value in row.items():
                assert float(value or 0) == pytest.approx(float(other[name] or 0), rel=1e-2, abs=1e-3, nan_ok=True), (
                    name
                )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("algo", ["sl-sac", "sac-lag", "lac", "cvpo", "nc-lql", "algd", "wcsac"])
def test_a_captured_update_on_cuda_is_the_eager_one(algo):
    eager, captured = (make_agent(algo, SPEC, runs=2, device="cuda") for _ in range(2))
    graph = Graph(captured)
    for update in range(100):
        batch = batch_of(2, 10 * update, 32).to("cuda", torch.float32)
        ours, theirs = eager.update(batch), graph(batch)
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-5)
    assert not graph.reason
