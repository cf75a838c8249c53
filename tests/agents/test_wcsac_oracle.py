"""WCSAC on the run axis equals the plain separate-networks version, number for number."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.oracle import wcsac as oracle
from pyslsac import make_agent
from pyslsac.agents.wcsac import WCSAC, WCSACConfig
from tests.agents.contract import SPEC, batch_of
from tests.agents.twins import distance, one_run, pairs, plain_twin

PARTS = ("actor", "critics", "cost_critic", "target_critics", "target_cost_critic")
SMALL = dict(width=16, quantiles=6, cosines=8, cost_limit=5.0, polyak=0.05, critic_lr=3e-3, multiplier_lr=0.02)
OPTIONS = {
    "paper": {},
    "alpha learned, no delay, risky": dict(alpha="auto", policy_delay=1, risk_level=0.1, kappa=0.3),
    "gradients clipped": dict(critic_grad_norm=0.05, actor_grad_norm=0.01, risk_level=1.0),
    "gaussian": dict(safety_critic="gaussian", policy_delay=1),
    "gaussian, paid for nothing": dict(safety_critic="gaussian", nonnegative_price=True, critic_grad_norm=None),
}


def agent_of(precision: str, runs: int = 1, **options: object) -> WCSAC:
    return make_agent("wcsac", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=3)


def twin(agent: WCSAC, run: int) -> oracle.WCSAC:
    return plain_twin(agent, run, PARTS, oracle, "WCSAC", horizon=SPEC.horizon)


def train(agent: WCSAC, twins: list[oracle.WCSAC], updates: int) -> float:
    """The same batches and random numbers for both; the largest difference of any weight, alpha and multiplier."""
    for update in range(updates):
        batch = batch_of(agent.runs, 10 * update, size=16).to("cpu", agent.dtype)
        draws = agent.draw(16)
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            own = type(draws)(*(getattr(draws, f.name)[run : run + 1] for f in dataclasses.fields(draws)))
            losses = plain.update(one_run(batch, run), own)
            for name in ("reward", "cost"):
                assert metrics[f"Loss/Loss_{name}_critic"][run].item() == pytest.approx(
                    losses[f"{name}_loss"].item(), rel=1e-3
                )
    far = [distance(agent, twins, PARTS)]
    for run, plain in enumerate(twins):
        far += [abs(agent.multiplier.x[run].item() - plain.x.item())]
        far += [abs(agent.alpha.value[run].item() - plain.log_alpha.exp().item())]
    return max(far)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = agent_of("fp64", **options)
    plain = twin(agent, 0)
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, plain, 0, PARTS)}
    assert train(agent, [plain], 40) <= 1e-10
    for name, _, theirs in pairs(agent, plain, 0, PARTS):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"
    assert abs(plain.x.item()) > 0.02


def test_two_runs_equal_two_plain_versions():
    agent = agent_of("fp64", runs=2)
    assert train(agent, [twin(agent, run) for run in range(2)], 20) <= 1e-10


def test_float32_stays_near():
    agent = agent_of("fp32")
    assert train(agent, [twin(agent, 0)], 2) <= 1e-4


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(WCSACConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
