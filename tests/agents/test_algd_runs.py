"""ALGD's runs side by side: none leaks, none costs an operator; states, selections, presets and bad settings."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.algd import ALGD, ALGDConfig
from pyslsac.data import Batch, Spec

SPEC = Spec(obs_dim=4, act_dim=2, horizon=10)
SMALL = dict(width=16, score_width=16, level_embedding=4, cost_ensemble=3, cost_limit=2.0)
PRINCIPLED = dict(score="principled", samples=6, temperature=0.1)
EPISODES = dict(multiplier_rule="episodes", lagrangian="plain", cost_ensemble=1)


def agent_of(runs: int = 1, seed: int = 0, **config) -> ALGD:
    return make_agent("algd", SPEC, SMALL | config, runs=runs, seed=seed)


def batch_of(runs: int = 1, seed: int = 0, size: int = 8) -> Batch:
    """Random transitions; run r's depend on seed + r alone."""
    parts = []
    for run in range(runs):
        g = torch.Generator().manual_seed(1000 + seed + run)
        obs, next_obs = torch.randn(size, 4, generator=g), torch.randn(size, 4, generator=g)
        action, reward = torch.rand(size, 2, generator=g) * 2 - 1, torch.randn(size, generator=g)
        cost = torch.rand(size, generator=g)
        parts.append((obs, action, reward, cost, next_obs, (torch.rand(size, generator=g) < 0.3).float()))
    return Batch(*(torch.stack(values) for values in zip(*parts, strict=True)))


@pytest.mark.parametrize("options", [{}, PRINCIPLED, EPISODES], ids=["faithful", "principled", "episodes"])
def test_runs_do_not_leak_into_one_another(options):
    options = options | dict(precision="fp64")
    together, alone = agent_of(3, seed=5, **options), [agent_of(seed=5 + r, **options) for r in range(3)]
    for update in range(5):
        metrics = together.update(batch_of(3, 10 * update))
        single = [agent.update(batch_of(seed=10 * update + r)) for r, agent in enumerate(alone)]
        for name, values in metrics.items():
            torch.testing.assert_close(values, torch.cat([m[name] for m in single]), rtol=1e-10, atol=1e-12)
    obs = torch.randn(3, 6, 4, dtype=torch.float64)
    actions = torch.cat([agent.act(obs[r : r + 1]) for r, agent in enumerate(alone)])
    torch.testing.assert_close(together.act(obs), actions, rtol=1e-10, atol=1e-12)
    values = torch.cat([agent.multiplier.value for agent in alone])
    torch.testing.assert_close(together.multiplier.value, values, rtol=1e-10, atol=0)


class CountOps(TorchDispatchMode):
    """Counts the operators that are dispatched, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [{}, PRINCIPLED, EPISODES], ids=["faithful", "principled", "episodes"])
def test_four_runs_issue_as_many_operators_as_one(options):
    counts = []
    for runs in (1, 4):
        agent, batch = agent_of(runs, **options), batch_of(runs)
        agent.update(batch)
        with CountOps() as counter:
            agent.update(batch)
            agent.act(batch.obs)
        counts.append(counter.calls)
    assert counts[0] == counts[1] and counts[0].total() > 100


@pytest.mark.parametrize("options", [{}, PRINCIPLED | EPISODES], ids=["faithful", "principled"])
def test_the_state_brings_everything_back(options):
    one, other = agent_of(2, **options), agent_of(2, **options)
    for update in range(3):
        one.update(batch_of(2, update))
    one.act(torch.zeros(2, 1, 4))
    one.record_episode(1, 40.0)
    state = one.state_dict()
    kept = copy.deepcopy(state)
    other.load_state_dict(state)
    for agent in (one, other):
        agent.update(batch_of(2, 9))
        agent.after_env_steps(7)
    assert torch.equal(one.multiplier.value, other.multiplier.value)
    for name in ("actor", "critics", "cost_critics", "target_critics", "target_cost_critics"):
        for a, b in zip(getattr(one, name).parameters(), getattr(other, name).parameters(), strict=True):
            assert torch.equal(a, b), name
    assert torch.equal(one.act(torch.ones(2, 3, 4)), other.act(torch.ones(2, 3, 4)))
    for a, b in zip(state["parts"]["actor"].values(), kept["parts"]["actor"].values(), strict=True):
        assert torch.equal(a, b)  # a state is a copy: updates do not reach into it


def test_a_selection_goes_on_alone():
    both = agent_of(2, seed=3, precision="fp64")
    both.update(batch_of(2))
    second = both.select([1])
    assert second.seeds == [4] and second.runs == 1
    metrics, alone = both.update(batch_of(2, 7)), second.update(batch_of(1, 8))
    for name, values in metrics.items():
        torch.testing.assert_close(alone[name], values[1:], rtol=1e-10, atol=1e-12)


def test_presets():
    assert config_for("algd") == config_for("algd", "paper") == ALGDConfig()
    step = config_for("algd", "step")
    assert (step.start_steps, step.updates_per_step, step.score, step.samples) == (2_000, 2, "faithful", 4)
    principled = config_for("algd", "principled")
    assert (principled.score, principled.samples, principled.updates_per_step) == ("principled", 32, 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: config_for("algb"), "did you mean 'algd'"),
        (lambda: agent_of(score="principle"), "wanted one of faithful, principled"),
        (lambda: agent_of(lagrangian="full"), "lagrangian: got 'full'"),
        (lambda: agent_of(multiplier_rule="window"), "wanted one of replay, episodes"),
        (lambda: agent_of(samples=0), "samples"),
        (lambda: agent_of(levels=0), "levels"),
        (lambda: agent_of(rho=0.0), "rho"),
        (lambda: agent_of(temperature=0.0), "temperature"),
        (lambda: agent_of(strongest_noise=0.001), "strongest_noise"),
        (lambda: agent_of(gamma=1.5), "gamma"),
        (lambda: agent_of(multiplier_init=0.0), "init"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@settings(max_examples=15, deadline=None)
@given(
    score=st.sampled_from(["faithful", "principled"]),
    lagrangian=st.sampled_from(["augmented", "plain"]),
    rule=st.sampled_from(["replay", "episodes"]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
    levels=st.integers(1, 6),
    samples=st.integers(1, 5),
    ensemble=st.integers(1, 4),
    temperature=st.floats(0.01, 3.0),
    spread=st.floats(0.0, 2.0),
)
def test_any_configuration_takes_a_finite_step(
    score, lagrangian, rule, precision, levels, samples, ensemble, temperature, spread
):
    agent = agent_of(
        score=score, lagrangian=lagrangian, multiplier_rule=rule, precision=precision, levels=levels, samples=samples,
        cost_ensemble=ensemble, temperature=temperature, cost_spread=spread,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.actor.parameters())
