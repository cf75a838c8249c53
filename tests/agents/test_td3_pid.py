"""TD3-PID: what it shares with TD3-Lag, its multiplier's moves by hand, presets and bad settings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.td3_pid import TD3PID
from tests.agents.contract import SPEC, batch_of, moved, weights


def agent_of(runs: int = 1, **config) -> TD3PID:
    return make_agent("td3-pid", SPEC, dict(width=16) | config, runs=runs)


def test_with_the_integral_alone_it_is_the_lagrangian_by_plain_ascent():
    shared = dict(width=16, precision="fp64", multiplier_warmup=2, actor_lr=3e-4)
    pid = make_agent("td3-pid", SPEC, shared | dict(kp=0.0, ki=0.01, kd=0.0))
    lag = make_agent("td3-lag", SPEC, shared | dict(multiplier_optimizer="sgd", multiplier_lr=0.01))
    for update in range(6):
        for agent in (pid, lag):
            agent.update(batch_of(seed=update))
            agent.record_episode(0, 60.0 - 20 * update)
            agent.after_env_steps(2)
        assert pid.multiplier.value.item() == pytest.approx(lag.multiplier.value.item(), rel=1e-12)
    assert not moved(weights(lag.actor), pid.actor)
    assert lag.multiplier.value.item() > 0.1


def test_the_multipliers_moves_by_hand():
    """Costs 45 and 5 under a limit of 25, the mean of the window 45, then 25; averages of 0.5, a delay of 1.

    e = 20: I 0.2, P 10, S 22.5.    e = 0: I 0.2, P 5, S 23.75, which rose by 1.25.
    """
    gains = dict(kp=0.1, ki=0.01, kd=0.2, p_ema=0.5, d_ema=0.5, d_delay=1, multiplier_init=0.0, multiplier_warmup=0)
    agent, capped = agent_of(**gains), agent_of(multiplier_max=0.5, **gains)
    for cost, expected in ((45.0, 0.2 + 1.0 + 4.5), (5.0, 0.2 + 0.5 + 0.25)):
        for one in (agent, capped):
            one.record_episode(0, cost)
            one.after_env_steps(1)
        assert agent.multiplier.value.item() == pytest.approx(expected)
        assert capped.multiplier.value.item() == 0.5


def test_presets():
    default, step = config_for("td3-pid", "omnisafe"), config_for("td3-pid", "step")
    assert (default.kp, default.ki, default.kd, default.actor_lr) == (1e-6, 1e-7, 1e-7, 1e-4)
    assert (default.p_ema, default.d_ema, default.d_delay, default.multiplier_init) == (0.95, 0.95, 10, 1e-3)
    slow = config_for("td3-pid", "omnisafe-navigation")
    assert (slow.kp, slow.ki, slow.kd, slow.actor_lr, slow.multiplier_init) == (5e-7, 1e-8, 1e-8, 5e-6, 1e-3)
    lag = config_for("td3-lag", "step")
    for name in ("actor_lr", "policy_delay", "start_steps", "multiplier_warmup", "multiplier_window"):
        assert getattr(step, name) == getattr(lag, name)
    assert config_for("td3-pid", "omnisafe", "SafetyAntVelocity-v1").cost_normalize


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(kp=-1.0), "kp"),
        (dict(d_delay=0), "delay is 0"),
        (dict(multiplier_lr=1e-3), "set kp, ki and kd"),
        (dict(multiplier_optimizer="adam"), "set kp, ki and kd"),
    ],
)
def test_bad_input_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**config)


@settings(max_examples=6, deadline=None)
@given(
    gains=st.tuples(*[st.sampled_from([0.0, 1e-6, 1.0])] * 3),
    averages=st.tuples(*[st.floats(0.0, 0.99)] * 2),
    delay=st.integers(1, 20),
    maximum=st.sampled_from([None, 0.0, 3.0]),
)
def test_any_configuration_takes_finite_steps(gains, averages, delay, maximum):
    agent = agent_of(
        kp=gains[0], ki=gains[1], kd=gains[2], p_ema=averages[0], d_ema=averages[1], d_delay=delay,
        multiplier_max=maximum, multiplier_warmup=0, policy_delay=1,
    )  # fmt: skip
    for update in range(2):
        metrics = agent.update(batch_of(seed=update)) | agent.gauges()
        agent.record_episode(0, 70.0)
        agent.after_env_steps(2)
    assert all(value.isfinite().all() for name, value in metrics.items() if name != "Metrics/EpCostCVaR")
    assert 0 <= agent.multiplier.value.item() <= (maximum if maximum is not None else float("inf"))
