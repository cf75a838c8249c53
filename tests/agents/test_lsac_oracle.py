"""LSAC on the run axis equals the plain separate-networks version, number for number.

At temperature 0: aSGLD's noise is compared in SL-SAC's own test, which shares this optimizer.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.oracle import lsac as oracle
from pyslsac import make_agent
from pyslsac.agents.lsac import LSAC, LSACConfig
from tests.agents.contract import SPEC, batch_of
from tests.agents.twins import distance, one_run, pairs, plain_twin

PARTS = ("actor", "critics", "target_critics")
SMALL = dict(width=16, ensemble=3, temperature=0.0, polyak=0.05, critic_lr=3e-3)
OPTIONS = {
    "paper": {},
    "best pair": dict(actor_pairs="best", policy_delay=1, actor_lr=1e-2),
    "alpha fixed, gradients clipped": dict(alpha=0.2, actor_grad_norm=0.01, clip_threshold=0.1, bias=0.3),
    "one pair, drift clipped": dict(ensemble=1, clip="drift_value", clip_threshold=0.05),
}


def agent_of(precision: str, runs: int = 1, **options: object) -> LSAC:
    return make_agent("lsac", SPEC, SMALL | dict(precision=precision) | options, runs=runs, seed=3)


def twin(agent: LSAC, run: int) -> oracle.LSAC:
    return plain_twin(agent, run, PARTS, oracle, "LSAC")


def train(agent: LSAC, twins: list[oracle.LSAC], updates: int) -> float:
    """The same batches and random numbers for both; the largest difference of any weight and alpha."""
    for update in range(updates):
        batch = batch_of(agent.runs, 10 * update, size=16).to("cpu", agent.dtype)
        noise = [agent.normals((16, SPEC.act_dim), stream, update) for stream in (1, 2)]
        metrics = agent.update(batch)
        for run, plain in enumerate(twins):
            losses = plain.update(one_run(batch, run), oracle.Draws(*(n[run : run + 1] for n in noise)))
            loss = metrics["Loss/Loss_reward_critic"][run].item()
            assert loss == pytest.approx(losses["reward_loss"].item(), rel=1e-3)
    alphas = [abs(agent.alpha.value[run].item() - plain.log_alpha.exp().item()) for run, plain in enumerate(twins)]
    return max(distance(agent, twins, PARTS), *alphas)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_plain_version_in_float64(options):
    agent = agent_of("fp64", **options)
    plain = twin(agent, 0)
    start = {name: theirs.clone() for name, _, theirs in pairs(agent, plain, 0, PARTS)}
    assert train(agent, [plain], 40) <= 1e-10
    for name, _, theirs in pairs(agent, plain, 0, PARTS):
        assert not torch.equal(theirs, start[name]), f"{name} has not moved: the test would prove nothing"


def test_two_runs_equal_two_plain_versions():
    agent = agent_of("fp64", runs=2)
    assert train(agent, [twin(agent, run) for run in range(2)], 20) <= 1e-10


def test_float32_stays_near():
    agent = agent_of("fp32")
    assert train(agent, [twin(agent, 0)], 2) <= 1e-4


def test_config_defaults_are_the_agents():
    ours = {field.name: field.default for field in dataclasses.fields(LSACConfig)}
    for field in dataclasses.fields(oracle.Config):
        assert ours[field.name] == field.default
