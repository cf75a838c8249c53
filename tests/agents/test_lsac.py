"""LSAC: every pair has its own target, the policy follows all pairs or the best, and no cost is seen."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.lsac import LSAC, LSACConfig
from tests.agents.contract import SPEC, batch_of, moved, weights


def agent_of(runs: int = 1, seed: int = 0, **config) -> LSAC:
    return make_agent("lsac", SPEC, dict(width=16, ensemble=3) | config, runs=runs, seed=seed)


def test_actor_and_targets_move_every_second_update():
    agent = agent_of()
    for update in range(4):
        before = {name: weights(getattr(agent, name)) for name in ("actor", "critics", "target_critics")}
        metrics = agent.update(batch_of(seed=update))
        assert moved(before["critics"], agent.critics)
        for name in ("actor", "target_critics"):
            assert moved(before[name], getattr(agent, name)) == (update % 2 == 1)
        assert ("Loss/Loss_pi" in metrics) == (update % 2 == 1)


def test_every_pair_has_its_own_target():
    agent, noise = agent_of(precision="fp64", alpha=0.2), torch.randn(1, 8, 2, dtype=torch.float64)
    batch = batch_of().to("cpu", torch.float64)
    y = agent.targets(batch, noise)
    with torch.no_grad():
        action, log_prob = agent.actor(batch.next_obs, noise)
        q = agent.target_critics(torch.cat([batch.next_obs, action], -1))[0, :, :, 0]  # [6, B]
        now = agent.critics(torch.cat([batch.obs, batch.action], -1))[0, :, :, 0]
    total = 0.0
    for pair in range(3):
        value = torch.minimum(q[2 * pair], q[2 * pair + 1]) - 0.2 * log_prob[0]
        expected = batch.reward[0] + 0.99 * (1 - batch.terminated[0]) * value
        torch.testing.assert_close(y[0, pair], expected)
        total += sum(((now[2 * pair + j] - expected) ** 2).mean() for j in range(2))
    torch.testing.assert_close(agent.reward_loss(batch, y)[0], total[None])


@pytest.mark.parametrize("which", ["mean", "best"])
def test_the_policy_follows_all_pairs_or_the_best(which):
    agent, batch = agent_of(precision="fp64", actor_pairs=which, alpha=0.0), batch_of().to("cpu", torch.float64)
    agent.critics.layers[-1].weight.data.zero_()
    agent.critics.layers[-1].bias.data.copy_(torch.tensor([4.0, 1.0, 3.0, 2.0, 9.0, 0.0]).view(1, 6, 1))  # 1, 2 and 0
    loss, _ = agent.actor_loss(batch, torch.zeros(1, 8, 2, dtype=torch.float64))
    assert loss.item() == pytest.approx(-1.0 if which == "mean" else -2.0)


def test_costs_change_nothing():
    one, two = agent_of(policy_delay=1), agent_of(policy_delay=1)
    batch = batch_of()
    one.update(batch)
    two.update(dataclasses.replace(batch, cost=100 + batch.cost))
    assert all(torch.equal(a, b) for a, b in zip(weights(one.actor), weights(two.actor), strict=True))


def test_the_noise_grows_with_the_temperature():
    cold, hot = (agent_of(precision="fp64", temperature=t) for t in (0.0, 1e-4))
    for agent in (cold, hot):
        agent.update(batch_of())
    away = torch.cat([(a - b).flatten() for a, b in zip(weights(cold.critics), weights(hot.critics), strict=True)])
    assert away.std().item() == pytest.approx((2 * 1e-3 * 1e-4) ** 0.5, rel=0.1)  # √(2 lr temperature)
    assert hot.gauges()["Langevin/NoiseDriftRatio"] > cold.gauges()["Langevin/NoiseDriftRatio"] == 0


def test_presets():
    assert config_for("lsac") == config_for("lsac", "paper") == LSACConfig()
    assert LSACConfig().ensemble == 10 and LSACConfig().critic_lr == 1e-3
    sl_sac, step = config_for("sl-sac", "step"), config_for("lsac", "step")
    shared = "start_steps critic_lr actor_lr actor_grad_norm policy_delay alpha temperature bias clip clip_threshold"
    assert all(getattr(sl_sac, name) == getattr(step, name) for name in shared.split())
    assert config_for("lsac", "omnisafe").start_steps == 10_000


@pytest.mark.parametrize("field", ["width", "ensemble", "policy_delay", "gamma", "polyak"])
def test_bad_fields_are_named(field):
    with pytest.raises(ValueError, match=field):
        agent_of(**{field: -1})


@settings(max_examples=15, deadline=None)
@given(
    ensemble=st.integers(1, 4),
    pairs=st.sampled_from(["mean", "best"]),
    clip=st.sampled_from(["grad_norm", "drift_value", "drift_norm", None]),
    alpha=st.sampled_from(["auto", 0.0, 0.5]),
    compensated=st.booleans(),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
)
def test_any_configuration_takes_a_finite_step(ensemble, pairs, clip, alpha, compensated, precision):
    agent = agent_of(
        ensemble=ensemble, actor_pairs=pairs, clip=clip, alpha=alpha, compensated=compensated, precision=precision,
        policy_delay=1,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.critics.parameters())
