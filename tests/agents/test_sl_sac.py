"""SL-SAC: what it is made of moves when it should; presets and bad settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.sl_sac import SLSAC, SLSACConfig
from tests.agents.contract import SPEC, batch_of, moved, weights

SMALL = dict(width=16, ensemble=2, quantiles=6, target_quantiles=5, risk_quantiles=4, cosines=8, multiplier_init=0.3)


def agent_of(runs: int = 1, seed: int = 0, **config) -> SLSAC:
    return make_agent("sl-sac", SPEC, SMALL | config, runs=runs, seed=seed)


def test_actor_and_targets_move_every_second_update():
    agent = agent_of(policy_delay=2)
    slow = ("actor", "target_critics", "target_cost_critic")
    for update in range(4):
        before = {name: weights(getattr(agent, name)) for name in (*slow, "critics", "cost_critic")}
        metrics = agent.update(batch_of(seed=update))
        assert moved(before["critics"], agent.critics) and moved(before["cost_critic"], agent.cost_critic)
        for name in slow:
            assert moved(before[name], getattr(agent, name)) == (update % 2 == 1)
        assert ("Loss/Loss_pi" in metrics) == (update % 2 == 1)
        assert all(value.shape == (1,) and not value.requires_grad for value in metrics.values())


def test_every_member_has_the_same_target_and_the_pairs_are_averaged():
    agent = agent_of(precision="fp64")
    batch = batch_of().to("cpu", torch.float64)
    draws = agent.draw(8)
    y, z = agent.targets(batch, draws)
    with torch.no_grad():
        action, log_prob = agent.actor(batch.next_obs, draws.next_action)
        q = agent.target_critics(torch.cat([batch.next_obs, action], -1))[0, :, :, 0]  # [2E, B]
        quantiles = agent.target_cost_critic(batch.next_obs, action, draws.next_tau)[0]
    value = (torch.minimum(q[0], q[1]) + torch.minimum(q[2], q[3])) / 2 - 0.2 * log_prob[0]
    alive = 1 - batch.terminated[0]
    torch.testing.assert_close(y[0], batch.reward[0] + 0.99 * alive * value)
    torch.testing.assert_close(z[0], batch.cost[0, :, None] + 0.99 * alive[:, None] * quantiles)
    assert y.shape == (1, 8) and z.shape == (1, 8, 5)
    smallest = agent_of(precision="fp64", aggregation="min")
    with torch.no_grad():
        assert torch.equal(smallest.value(smallest.target_critics, batch.next_obs, action)[0], q.amin(0))


@pytest.mark.parametrize("level", [1.0, 0.5, 0.1])
def test_the_actor_pays_for_the_tail(level):
    draws = agent_of(risk_level=level, batch_size=4).draw(4000)
    tau = draws.risk_tau
    assert tau.min() >= 1 - level and tau.max() <= 1
    assert tau.mean().item() == pytest.approx(1 - level / 2, abs=4 * level / (12 * tau.numel()) ** 0.5)


def test_the_multiplier_waits_then_follows_the_window():
    agent = agent_of(2, multiplier_warmup=100, multiplier_lr=0.01, multiplier_init=1.0, multiplier_window=4)
    for cost in (50.0, 20.0, 70.0, 0.0):  # CVaR at 0.5: 60; the limit is 25
        agent.record_episode(0, cost)
    agent.after_env_steps(100)
    assert agent.multiplier.value.tolist() == [1.0, 1.0]
    agent.after_env_steps(2)  # two steps past the warm-up: 2 * 0.01 * 35; the other run has no episode yet
    torch.testing.assert_close(agent.multiplier.value, torch.tensor([1.7, 1.0], dtype=torch.float64))


def test_more_multiplier_means_less_cost():
    """With the critics held, the actor's gradient turns from the reward's to the cost's as the multiplier grows."""
    agent, batch = agent_of(precision="fp64", alpha=0.0), batch_of(size=64).to("cpu", torch.float64)
    draws, grads = agent.draw(64), []
    for multiplier in (0.0, 1.0, 1e9):
        agent.multiplier.value.fill_(multiplier)
        loss, _ = agent.actor_loss(batch, draws)
        grads.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss.sum(), list(agent.actor.parameters()))]))
    torch.testing.assert_close(grads[1], (grads[0] + grads[2]) / 2, rtol=1e-6, atol=1e-9)  # (R + lam C) / (1 + lam)


def test_cost_normalisation_is_asked_for():
    cost = torch.tensor([[0.0, 1.0, 0.0]])
    assert agent_of().stored_cost(cost) is cost
    assert agent_of(cost_normalize=True).stored_cost(cost).min() < 0


def test_presets():
    assert config_for("sl-sac") == config_for("sl-sac", "paper") == SLSACConfig()
    demo = config_for("sl-sac", "demo", overrides={"cost_limit": 7.0})
    assert (demo.ensemble, demo.quantiles, demo.target_quantiles, demo.risk_quantiles) == (1, 8, 8, 8)
    assert (demo.batch_size, demo.alpha, demo.policy_delay, demo.start_steps) == (128, "auto", 1, 2_000)
    assert demo.cost_limit == 7.0 and demo.multiplier_warmup == 15_000
    assert config_for("sl-sac", "omnisafe", "SafetyAntVelocity-v1").cost_normalize
    assert not config_for("sl-sac", "omnisafe", "SafetyPointGoal1-v0").cost_normalize
    assert config_for("sl-sac", "omnisafe-navigation").actor_lr == 5e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: config_for("sl-sack"), "did you mean 'sl-sac'"),
        (lambda: config_for("sl-sac", "papers"), "did you mean 'paper'"),
        (lambda: config_for("sl-sac", overrides={"quantile": 3}), "did you mean 'quantiles'"),
        (lambda: agent_of(risk_level=0.0), "risk_level"),
        (lambda: agent_of(ensemble=0), "ensemble"),
        (lambda: agent_of(gamma=1.5), "gamma"),
        (lambda: agent_of(batch_size=0), "batch_size"),
        (lambda: make_agent("sl-sac", SPEC, SLSACConfig(), preset="demo"), "not both"),
        (lambda: make_agent("sl-sac", SPEC, 3), "wanted SLSACConfig"),
        (lambda: make_agent("sl-sac", SPEC, runs=3, seed=[1, 2]), "2 seeds for 3 runs"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_another_algorithms_state_is_refused():
    state = agent_of().state_dict()
    del state["parts"]["alpha"]
    with pytest.raises(ValueError, match="another algorithm"):
        agent_of().load_state_dict(state)


@settings(max_examples=15, deadline=None)
@given(
    ensemble=st.integers(1, 3),
    quantiles=st.integers(1, 5),
    aggregation=st.sampled_from(["mean", "min"]),
    variant=st.sampled_from(["asgld", "sgld", "psgld", "asgld-preconditioned"]),
    clip=st.sampled_from(["grad_norm", "drift_value", "drift_norm", None]),
    optimizers=st.sampled_from([("asgld", "adamw"), ("adam", "asgld"), ("adamw", "adamw")]),
    precision=st.sampled_from(["fp32", "bf16", "fp64"]),
    risk_level=st.floats(0.05, 1.0),
)
def test_any_configuration_takes_a_finite_step(
    ensemble, quantiles, aggregation, variant, clip, optimizers, precision, risk_level
):
    agent = agent_of(
        ensemble=ensemble, quantiles=quantiles, aggregation=aggregation, variant=variant, clip=clip, policy_delay=1,
        reward_optimizer=optimizers[0], cost_optimizer=optimizers[1], precision=precision, risk_level=risk_level,
    )  # fmt: skip
    metrics = agent.update(batch_of())
    assert all(value.isfinite().all() for value in metrics.values())
    assert all(p.isfinite().all() for p in agent.critics.parameters())
