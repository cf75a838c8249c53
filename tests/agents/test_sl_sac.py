"""SL-SAC: what it is made of moves when it should, runs do not leak, states come back."""

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
from pyslsac.agents.sl_sac import SLSAC, SLSACConfig
from pyslsac.data import Batch, Spec

SPEC = Spec(obs_dim=4, act_dim=2, horizon=10)
SMALL = dict(width=16, ensemble=2, quantiles=6, target_quantiles=5, risk_quantiles=4, cosines=8, multiplier_init=0.3)


def agent_of(runs: int = 1, seed: int = 0, **config) -> SLSAC:
    return make_agent("sl-sac", SPEC, SMALL | config, runs=runs, seed=seed)


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


def weights(part: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in part.parameters()]


def moved(before: list[torch.Tensor], part: torch.nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, part.parameters(), strict=True))


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


def test_runs_do_not_leak_into_one_another():
    together = agent_of(runs=3, seed=5, precision="fp64", policy_delay=1, alpha="auto", temperature=1e-6)
    alone = [agent_of(seed=5 + r, precision="fp64", policy_delay=1, alpha="auto", temperature=1e-6) for r in range(3)]
    for update in range(5):
        metrics = together.update(batch_of(runs=3, seed=10 * update))
        single = [agent.update(batch_of(seed=10 * update + r)) for r, agent in enumerate(alone)]
        for name, values in metrics.items():
            torch.testing.assert_close(values, torch.cat([m[name] for m in single]), rtol=1e-10, atol=1e-12)
    obs = torch.randn(3, 6, 4, dtype=torch.float64)
    actions = torch.cat([agent.act(obs[r : r + 1]) for r, agent in enumerate(alone)])
    torch.testing.assert_close(together.act(obs), actions, rtol=1e-10, atol=1e-12)


class CountOps(TorchDispatchMode):
    """Counts the operators that are dispatched, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", [{}, dict(policy_delay=1, alpha="auto", cost_optimizer="asgld", ensemble=3)])
def test_four_runs_issue_as_many_operators_as_one(config):
    counts = []
    for runs in (1, 4):
        agent, batch = agent_of(runs, **config), batch_of(runs)
        agent.update(batch)
        with CountOps() as counter:
            agent.update(batch)
            agent.act(batch.obs)
        counts.append(counter.calls)
    assert counts[0] == counts[1] and counts[0].total() > 100
    assert counts[0]["pyslsac.asgld_.default"] == (2 if config else 1)


@pytest.mark.parametrize("config", [{}, dict(alpha="auto", multiplier_optimizer="adam", compensated=True)])
def test_the_state_brings_everything_back(config):
    config = config | dict(multiplier_warmup=100)
    one = agent_of(2, **config)
    for update in range(3):
        one.update(batch_of(2, update))
    one.act(torch.zeros(2, 1, 4))
    one.record_episode(1, 40.0)
    state = one.state_dict()
    frozen_state = copy.deepcopy(state)
    other = agent_of(2, seed=0, **config)
    other.load_state_dict(state)
    for agent in (one, other):
        agent.update(batch_of(2, 9))
        agent.after_env_steps(200)
    for name, value in one.gauges().items():
        assert torch.equal(value, other.gauges()[name]) or (value.isnan() == other.gauges()[name].isnan()).all()
    assert all(torch.equal(a, b) for a, b in zip(one.actor.parameters(), other.actor.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.critics.parameters(), other.critics.parameters(), strict=True))
    assert torch.equal(one.act(torch.ones(2, 3, 4)), other.act(torch.ones(2, 3, 4)))
    for a, b in zip(state["parts"]["critics"].values(), frozen_state["parts"]["critics"].values(), strict=True):
        assert torch.equal(a, b)  # a state is a copy: updates do not reach into it


def test_a_selection_goes_on_alone():
    both = agent_of(2, seed=3, precision="fp64")
    both.update(batch_of(2))
    second = both.select([1])
    assert second.seeds == [4] and second.runs == 1
    metrics = both.update(batch_of(2, 7))
    alone = second.update(batch_of(1, 8))
    for name, values in metrics.items():
        torch.testing.assert_close(alone[name], values[1:], rtol=1e-10, atol=1e-12)


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
