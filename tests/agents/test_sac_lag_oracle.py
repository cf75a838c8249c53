"""SAC-Lag, SAC and SAC-PID on the run axis equal the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench.oracle import sac_lag as oracle
from pyslsac import make_agent
from pyslsac.agents import Agent
from pyslsac.agents.sac_lag import SACLagConfig
from tests.agents.contract import SPEC, batch_of, two_steps
from tests.agents.twins import distance, one_run, pairs, plain_twin

REWARD = ("actor", "critics", "target_critics")
PARTS = (*REWARD, "cost_critic", "target_cost_critic")
SMALL = dict(width=16, polyak=0.1, critic_lr=1e-2, actor_lr=1e-2, precision="fp64", multiplier_warmup=8)
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "sac-lag": ("sac-lag", dict(multiplier_lr=0.1)),
    "two cost steps, alpha learned": ("sac-lag", dict(cost_steps=2, alpha="auto", alpha_lr=0.03, policy_delay=1)),
    "clipped": ("sac-lag", dict(critic_grad_norm=0.1, actor_grad_norm=0.01, policy_delay=3)),
    "plain ascent": ("sac-lag", dict(multiplier_optimizer="sgd", multiplier_lr=0.01, gamma=0.9, cost_gamma=0.8)),
    "sac": ("sac", {}),
    "sac, alpha learned": ("sac", dict(alpha="auto", alpha_lr=0.03, policy_delay=1)),
    "sac-pid": ("sac-pid", dict(kp=0.1, ki=0.01, kd=0.1)),
}


def make(name: str, runs: int = 1, **options: Any) -> Agent:
    changes = SMALL | options
    if name == "sac":
        del changes["multiplier_warmup"]
    return make_agent(name, SPEC, changes, runs=runs, seed=3)


def parts_of(agent: Agent) -> tuple[str, ...]:
    return PARTS if "cost_critic" in agent.parts else REWARD


def twin_of(agent: Agent, run: int) -> oracle.SACLag:
    parts = parts_of(agent)
    return plain_twin(agent, run, parts, oracle, "SACLag", constrained=parts is PARTS)


def train(agent: Agent, twins: list[oracle.SACLag], updates: int) -> None:
    """The same batches, random numbers and episodes for both; a PID multiplier is lent."""
    for update in range(updates):
        batch = batch_of(agent.runs, 100 * update)
        batch = (two_steps(batch) if agent.config.cost_steps == 2 else batch).to("cpu", agent.dtype)
        draws = agent.draw(8)
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            losses = plain.update(one_run(batch, run), oracle.Draws(*(d[run : run + 1] for d in draws)))
            for name, loss in (("reward_critic", "reward_loss"), ("cost_critic", "cost_loss"), ("pi", "actor_loss")):
                assert (f"Loss/Loss_{name}" in metrics) == (loss in losses)
                if loss in losses:
                    assert metrics[f"Loss/Loss_{name}"][run].item() == pytest.approx(losses[loss].item(), rel=1e-9)
        for run, plain in enumerate(twins):
            agent.record_episode(run, 20.0 + update + 3 * run)
            if update >= 8 and plain.constrained:
                plain.move_multiplier(sum(20.0 + u + 3 * run for u in range(update + 1)) / (update + 1), 25.0)
        agent.after_env_steps(1)
        for run, plain in enumerate(twins if hasattr(agent, "multiplier") else []):
            if "kp" in agent.config.__dataclass_fields__:
                plain.multiplier.data.fill_(agent.multiplier.value[run].item())
            assert agent.multiplier.value[run].item() == pytest.approx(plain.multiplier.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "options"), OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(name, options):
    agent = make(name, **options)
    twin, parts = twin_of(agent, 0), parts_of(agent)
    start = {name: theirs.detach().clone() for name, _, theirs in pairs(agent, twin, 0, parts)}
    train(agent, [twin], 30)
    assert distance(agent, [twin], parts) <= 1e-10
    moved = [name for name, _, theirs in pairs(agent, twin, 0, parts) if not theirs.equal(start[name])]
    assert len(moved) == len(start)  # or the test would prove nothing
    assert agent.alpha.value.item() == pytest.approx(twin.log_alpha.exp().item(), rel=1e-9)
    if name != "sac":
        assert twin.multiplier.item() != agent.config.multiplier_init


def test_two_runs_equal_two_plain_versions():
    agent = make("sac-lag", runs=2, multiplier_lr=0.1)
    twins = [twin_of(agent, run) for run in range(2)]
    train(agent, twins, 20)
    assert distance(agent, twins, PARTS) <= 1e-10


def test_float32_stays_near():
    agent = make("sac-lag", precision="fp32", actor_lr=1e-3, critic_lr=1e-3)
    batch, draws, twin = batch_of(), agent.draw(8), twin_of(agent, 0)
    agent.update(batch)
    twin.update(batch, oracle.Draws(*draws))
    assert distance(agent, [twin], PARTS) <= 1e-5


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(SACLagConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
