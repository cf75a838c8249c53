"""TD3-Lag, TD3 and TD3-PID on the run axis equal the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench.oracle import td3_lag as oracle
from pyslsac import make_agent
from pyslsac.agents import Agent
from pyslsac.agents.td3_lag import TD3LagConfig
from tests.agents.contract import SPEC, batch_of, two_steps
from tests.agents.twins import distance, one_run, pairs, plain_twin

REWARD = ("actor", "critics", "target_actor", "target_critics")
PARTS = (*REWARD, "cost_critic", "target_cost_critic")
SMALL = dict(width=16, polyak=0.1, critic_lr=1e-2, actor_lr=1e-2, precision="fp64")
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "td3-lag": ("td3-lag", {}),
    "two cost steps, every update": ("td3-lag", dict(cost_steps=2, policy_delay=1, cost_gamma=0.8)),
    "clipped": ("td3-lag", dict(critic_grad_norm=0.1, actor_grad_norm=0.01, policy_delay=3)),
    "much noise": ("td3-lag", dict(target_noise=1.0, target_noise_clip=0.3)),
    "td3": ("td3", {}),
    "td3-pid": ("td3-pid", {}),
}


def make(name: str, runs: int = 1, **options: Any) -> Agent:
    return make_agent(name, SPEC, SMALL | options, runs=runs, seed=3)


def parts_of(agent: Agent) -> tuple[str, ...]:
    return PARTS if "cost_critic" in agent.parts else REWARD


def twin_of(agent: Agent, run: int) -> oracle.TD3Lag:
    parts = parts_of(agent)
    return plain_twin(agent, run, parts, oracle, "TD3Lag", constrained=parts is PARTS)


def train(agent: Agent, twins: list[oracle.TD3Lag], updates: int) -> None:
    """The same batches and random numbers for both, and a multiplier that moves."""
    for update in range(updates):
        batch = batch_of(agent.runs, 100 * update)
        batch = (two_steps(batch) if agent.config.cost_steps == 2 else batch).to("cpu", agent.dtype)
        normal = agent.normals((8, SPEC.act_dim), 1, update)
        for run, plain in enumerate(twins if hasattr(agent, "multiplier") else []):
            agent.multiplier.value[run] = plain.multiplier.data[()] = 0.2 * update + run
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            losses = plain.update(one_run(batch, run), normal[run : run + 1])
            for name, loss in (("reward_critic", "reward_loss"), ("cost_critic", "cost_loss"), ("pi", "actor_loss")):
                assert (f"Loss/Loss_{name}" in metrics) == (loss in losses)
                if loss in losses:
                    assert metrics[f"Loss/Loss_{name}"][run].item() == pytest.approx(losses[loss].item(), rel=1e-9)


@pytest.mark.parametrize(("name", "options"), OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(name, options):
    agent = make(name, **options)
    twin, parts = twin_of(agent, 0), parts_of(agent)
    start = {name: theirs.detach().clone() for name, _, theirs in pairs(agent, twin, 0, parts)}
    train(agent, [twin], 30)
    assert distance(agent, [twin], parts) <= 1e-10
    moved = [name for name, _, theirs in pairs(agent, twin, 0, parts) if not theirs.equal(start[name])]
    assert len(moved) == len(start)  # or the test would prove nothing


def test_two_runs_equal_two_plain_versions():
    agent = make("td3-lag", runs=2)
    twins = [twin_of(agent, run) for run in range(2)]
    train(agent, twins, 20)
    assert distance(agent, twins, PARTS) <= 1e-10


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_multiplier_moves_as_the_plain_versions(optimizer):
    agent = make("td3-lag", multiplier_optimizer=optimizer, multiplier_lr=0.01, multiplier_warmup=2)
    twin, costs = twin_of(agent, 0), []
    for step in range(12):
        costs.append(40.0 - 4 * step)
        agent.record_episode(0, costs[-1])
        agent.after_env_steps(1)
        if step >= 2:
            twin.move_multiplier(sum(costs) / len(costs), 25.0)
        assert agent.multiplier.value.item() == pytest.approx(twin.multiplier.item(), rel=1e-12)
    assert agent.multiplier.value.item() > 1e-3


def test_float32_stays_near():
    agent = make("td3-lag", precision="fp32", actor_lr=1e-3, critic_lr=1e-3)
    batch, normal, twin = batch_of(), agent.normals((8, 2), 1, 0), twin_of(agent, 0)
    agent.update(batch)
    twin.update(batch, normal)
    assert distance(agent, [twin], PARTS) <= 1e-5


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(TD3LagConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
