"""CPO: whole updates against the plain version, its step's promises, recovery, line search, units, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.oracle import on_policy as oracle
from pyslsac.agents import config_for
from tests.agents.rollouts import agent_of, check_equal, check_state_comes_back, orders_of, plain_twin, rollout_of


@pytest.mark.parametrize(
    ("excess", "fields", "case"),
    [
        (-5.0, {}, 3),
        (-0.01, dict(target_kl=0.05), 2),
        (0.01, dict(target_kl=0.05), 1),
        (5.0, dict(target_kl=0.02), 0),
        (0.0, dict(cg_steps=3, cg_damping=0.5, search_steps=4, search_decay=0.5, log_std=-1.0), 2),
    ],
)
def test_updates_are_the_plain_versions(excess, fields, case, monkeypatch):
    agent = agent_of("cpo", cg_steps=60, **fields) if "cg_steps" not in fields else agent_of("cpo", **fields)
    plain = plain_twin(agent, oracle.CPO)
    monkeypatch.setattr(agent, "violation", lambda rollout: torch.tensor([excess], dtype=torch.float64))
    rollout, orders = rollout_of(agent), orders_of(agent, 36)
    metrics = agent.update(rollout)
    plain.update(rollout, excess, orders)
    check_equal(agent, plain)
    assert metrics["Misc/OptimCase"].item() == case


@pytest.mark.parametrize("excess", [-1.0, -0.02, 0.02, 1.0])
def test_a_step_keeps_its_promises(excess, monkeypatch):
    """Inside the trust region; the cost grows by no more than there is room for; the return grows where it may."""
    agent = agent_of("cpo", target_kl=0.02)
    monkeypatch.setattr(agent, "violation", lambda rollout: torch.tensor([excess], dtype=torch.float64))
    rollout = rollout_of(agent)
    steps = agent.estimates(rollout)
    old = [value.detach().clone() for value in agent.actor(steps.obs)]
    reward, cost = (value.item() for value in agent.surrogates(steps))
    metrics = agent.update(rollout)
    new_reward, new_cost = (value.item() for value in agent.surrogates(steps))
    kl = agent.actor.divergence(steps.obs, old).mean().item()
    assert 0 < kl <= 0.02 and kl == pytest.approx(metrics["Train/KL"].item())
    assert new_cost - cost <= max(0.0, -excess)
    assert metrics["Misc/AcceptanceStep"] >= 1
    if metrics["Misc/OptimCase"] > 1:
        assert new_reward >= reward
    else:
        assert new_cost < cost


def test_a_search_without_a_good_try_leaves_the_policy_and_says_so(monkeypatch):
    agent = agent_of("cpo", search_steps=3, search_decay=1.0)
    monkeypatch.setattr(type(agent.actor), "divergence", lambda actor, obs, old: torch.full(obs.shape[:2], 9.0))
    before = [parameter.clone() for parameter in agent.actor.parameters()]
    metrics = agent.update(rollout_of(agent))
    assert all(old.equal(new) for old, new in zip(before, agent.actor.parameters(), strict=True))
    assert metrics["Misc/AcceptanceStep"] == 0 and metrics["Misc/FinalStepNorm"] == 0


def test_the_violation_is_per_step():
    """Limit 2, episodes of 8 in the window's mean; 36 steps with 9 ends are 4 a piece, the horizon is 10."""
    agent = agent_of("cpo", cost_window=2)
    rollout = rollout_of(agent)
    for cost in (100.0, 7.0, 9.0):
        agent.record_episode(0, cost)
    rollout.ended.zero_().view(-1)[:9] = 1
    assert agent.violation(rollout).tolist() == [(8 - 2) / 4]
    rollout.ended.zero_().view(-1)[:2] = 1
    assert agent.violation(rollout).tolist() == [(8 - 2) / 10]  # 18 steps an end: no episode is that long


def test_before_an_episode_has_ended_the_rollouts_costs_count():
    agent = agent_of("cpo")
    rollout = rollout_of(agent)
    rollout.ended.zero_()
    rollout.cost.fill_(0.5)
    assert agent.violation(rollout).tolist() == [(0.5 * 10 - 2) / 10]


def test_the_state_brings_everything_back():
    check_state_comes_back("cpo")


@pytest.mark.parametrize(
    ("field", "value"), [("target_kl", 0.0), ("cg_steps", 0), ("cg_damping", -1.0), ("search_decay", 2.0), ("width", 0)]
)
def test_bad_fields_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: got"):
        config_for("cpo", overrides={field: value})


def test_presets():
    assert config_for("cpo", "omnisafe") == config_for("cpo")
    assert config_for("cpo", "step").steps_per_epoch == 5_000


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 50),
    st.integers(1, 3),
    st.sampled_from(["fp32", "fp64", "bf16"]),
    st.floats(0, 50),
    st.integers(0, 1),
)
def test_any_sizes_give_finite_updates(width, batch_size, envs, precision, limit, costly):
    agent = agent_of("cpo", width=width, batch_size=batch_size, precision=precision, cost_limit=limit)
    metrics = agent.update(rollout_of(agent, steps=5, envs=envs, cost=float(costly)))
    assert all(value.isfinite().all() for value in metrics.values())
