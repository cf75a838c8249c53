"""PPO-Lag: its clipped loss by hand, whole updates against the plain version, multiplier, early stop, bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.oracle import on_policy as oracle
from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.data import Estimates
from tests.agents.rollouts import (
    SPEC,
    agent_of,
    check_equal,
    check_state_comes_back,
    orders_of,
    plain_twin,
    rollout_of,
)


def steps_of(agent, ratios, reward, cost):
    """Rows at which the new density is `ratios` times the old one."""
    obs, action = torch.zeros(1, len(ratios), 4), torch.zeros(1, len(ratios), 2)
    obs, action = obs.double(), action.double()
    with torch.no_grad():
        log_prob = agent.actor.log_prob(obs, action) - torch.tensor([ratios]).double().log()
    rows = [torch.tensor([values]).double() for values in (reward, cost)]
    return Estimates(obs, action, log_prob, *rows, torch.zeros(1, len(ratios), 2).double())


def test_the_clipped_loss_by_hand():
    """multiplier 1: A = (A_r - A_c) / 2 = 1, 1, -1, -1; ratios 1.5, 0.5 | 1.5, 0.5 at clip 0.2.

    min(ratio A, clipped A) = 1.2, 0.5, -1.5, -0.8.
    """
    agent = agent_of("ppo-lag", multiplier_init=1.0)
    loss, metrics = agent.actor_loss(steps_of(agent, [1.5, 0.5, 1.5, 0.5], [3, 1, 0, -1.0], [1, -1, 2, 1.0]))
    torch.testing.assert_close(loss, torch.tensor([-(1.2 + 0.5 - 1.5 - 0.8) / 4], dtype=torch.float64))
    assert metrics["Loss/Loss_pi"].equal(loss.detach())


def test_the_entropy_counts_as_much_as_alpha_says():
    plain, paid = (agent_of("ppo-lag", alpha=alpha, log_std=0.3) for alpha in (0.0, 0.5))
    rows = [1.0], [1.0], [0.0]
    difference = paid.actor_loss(steps_of(paid, *rows))[0] - plain.actor_loss(steps_of(plain, *rows))[0]
    entropy = 2 * (0.3 + 0.5 * math.log(2 * math.pi * math.e))
    assert difference.item() == pytest.approx(-0.5 * entropy)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict(actor_lr=0.01, clip=0.05, target_kl=10.0, multiplier_init=0.7, multiplier_lr=0.1),
        dict(actor_lr=0.01, target_kl=1e-4, grad_norm=0.01, alpha=0.1, critic_decay=0.3, critic_lr=0.01),
        dict(gamma=0.7, cost_gamma=0.9, gae_decay=0.5, log_std=-1.0, batch_size=36),
    ],
)
def test_updates_are_the_plain_versions(fields):
    agent = agent_of("ppo-lag", **fields)
    plain = plain_twin(agent, oracle.PPOLag)
    passes = []
    for update in range(3):
        rollout = rollout_of(agent, update)
        cost = None if update == 0 else 1.5 + 2 * update
        if cost is not None:
            agent.window.costs[0].clear()
            agent.record_episode(0, cost)
        orders = orders_of(agent, 36)
        metrics = agent.update(rollout)
        passes.append(plain.update(rollout, cost, orders))
        check_equal(agent, plain)
        assert metrics["Train/StopIter"].item() == passes[-1]
        assert agent.multiplier.value.item() == pytest.approx(plain.multiplier.item(), rel=1e-6)
    assert min(passes) < 3 or fields.get("target_kl") != 1e-4  # there it stops early


def test_the_multiplier_follows_the_mean_of_the_window():
    """Adam's first move is lr whatever the violation; nothing known moves nothing."""
    agent = agent_of("ppo-lag", multiplier_init=0.5, multiplier_lr=0.1, cost_window=2)
    agent.update(rollout_of(agent))
    assert agent.gauges()["Metrics/LagrangeMultiplier"].item() == 0.5
    agent = agent_of("ppo-lag", multiplier_init=0.5, multiplier_lr=0.1, cost_window=2)
    for cost in (90.0, 3.0, 0.0):  # the mean of the last two is 1.5, below the limit
        agent.record_episode(0, cost)
    agent.update(rollout_of(agent))
    assert agent.gauges()["Metrics/LagrangeMultiplier"].item() == pytest.approx(0.4)


def test_a_nan_ends_the_passes():
    agent = agent_of("ppo-lag", iterations=5)
    rollout = rollout_of(agent)
    rollout.reward[0, 3, 1] = math.nan
    metrics = agent.update(rollout)
    assert metrics["Train/StopIter"] == 1 and metrics["Loss/Loss_pi"].isnan()


def test_actions_are_clipped_samples_and_means():
    agent = agent_of("ppo-lag", log_std=1.0)
    obs = torch.randn(1, 500, 4, dtype=torch.float64)
    samples, modes = agent.act(obs), agent.act(obs, deterministic=True)
    assert samples.abs().max() == 1 and not samples.equal(agent.act(obs))
    assert modes.equal(agent.actor(obs)[0].clamp(-1, 1)) and modes.equal(agent.act(obs, deterministic=True))
    agent.observe(obs)
    seen = agent.normalized(obs)
    torch.testing.assert_close(seen.mean(1), torch.zeros(1, 4).double(), atol=1e-2, rtol=0)
    torch.testing.assert_close(agent.act(obs, True), agent.actor(seen)[0].clamp(-1, 1))


def test_the_state_brings_everything_back():
    check_state_comes_back("ppo-lag", multiplier_init=0.5)


@pytest.mark.parametrize("algo", ["ppo-lag", "cpo"])
def test_one_seed_at_a_time(algo):
    with pytest.raises(ValueError, match=r"trains one seed, got \[0, 1\]: start a run for each"):
        make_agent(algo, SPEC, runs=2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps_per_epoch", 0), ("gae_decay", 1.5), ("clip", -0.1), ("batch_size", 0), ("multiplier_max", -1.0)],
)
def test_bad_fields_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: got"):
        config_for("ppo-lag", overrides={field: value})


def test_presets():
    assert config_for("ppo-lag", "omnisafe") == config_for("ppo-lag")
    assert config_for("ppo-lag", "step", "SafetyHopperVelocity-v1").steps_per_epoch == 5_000


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 50),
    st.integers(1, 3),
    st.sampled_from(["fp32", "fp64", "bf16"]),
    st.floats(0, 1),
    st.floats(0, 5),
)
def test_any_sizes_give_finite_updates(width, batch_size, envs, precision, gamma, multiplier):
    fields = dict(width=width, batch_size=batch_size, precision=precision, gamma=gamma, multiplier_init=multiplier)
    agent = agent_of("ppo-lag", **fields)
    metrics = agent.update(rollout_of(agent, steps=5, envs=envs))
    assert all(value.isfinite().all() for value in metrics.values())
