"""SAC-Lag equals OmniSafe 0.5.0's SACLag on the same weights, batch and normals.

What its class computed, in float64, was recorded by bench/with_omnisafe.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyslsac.agents.sac_lag import SACLag, SACLagConfig
from pyslsac.data import Batch, Spec
from pyslsac.nn import Ensemble

RECORD = json.loads((Path(__file__).parent / "omnisafe_sac_lag.json").read_text("utf-8"))
WITHIN = {"fp64": 1e-9, "fp32": 1e-5}


def double(values: list[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def make(rule: Mapping[str, float], precision: str = "fp64", **options: Any) -> SACLag:
    """Our agent with OmniSafe's names of the multiplier's rule, at the recorded weights, past the warm-up."""
    ours = {"lagrangian_multiplier_init": "multiplier_init", "lambda_lr": "multiplier_lr"}
    options |= {ours[name]: value for name, value in rule.items()}
    obs, action = (double(RECORD["batch"][name]).shape[-1] for name in ("obs", "act"))
    width = len(RECORD["start"]["actor.net.0.bias"])
    config = SACLagConfig(width=width, precision=precision, multiplier_warmup=0, **options)
    agent = SACLag(Spec(obs_dim=obs, act_dim=action), config, seeds=[0])
    with torch.no_grad():
        for ours, theirs in pairs(agent, RECORD["start"]):
            ours.copy_(theirs)
    return agent


def pairs(agent: SACLag, theirs: Mapping[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Our parameters beside OmniSafe's, network by network and layer by layer."""

    def network(ours: Ensemble, where: tuple[int, ...], name: str) -> Iterator[tuple[Tensor, Tensor]]:
        for depth, layer in enumerate(ours.layers):
            yield layer.weight[where], double(theirs[f"{name}.{2 * depth}.weight"]).T
            yield layer.bias[where], double(theirs[f"{name}.{2 * depth}.bias"])

    yield from network(agent.actor.network, (0,), "actor.net")
    for ours, target in ((agent.critics, ""), (agent.target_critics, "target_")):
        for twin in range(2):
            yield from network(ours, (0, twin), f"{target}reward_critic.critic_{twin}.0")
    for cost, target in ((agent.cost_critic, ""), (agent.target_cost_critic, "target_")):
        yield from network(cost, (0,), f"{target}cost_critic.critic_0.0")


def batch() -> Batch:
    names = ("obs", "act", "reward", "cost", "next_obs", "done")
    return Batch(*(double(RECORD["batch"][name]).unsqueeze(0) for name in names))


@pytest.mark.parametrize("precision", WITHIN)
@pytest.mark.parametrize("case", RECORD["cases"])
def test_updates(case: str, precision: str) -> None:
    recorded, close = RECORD["cases"][case], dict(rel=WITHIN[precision], abs=0.1 * WITHIN[precision])
    norm = recorded["max_grad_norm"]
    agent = make(RECORD["rule"], precision, critic_grad_norm=norm, actor_grad_norm=norm)
    for row, cost in zip(recorded["updates"], RECORD["episodes"], strict=False):  # the costs go on
        drawn = double(row["noise"]).to(agent.dtype).unsqueeze(1)  # [1 or 2, R, B, A]
        agent.draw = lambda size, drawn=drawn: (drawn[0], drawn[-1])  # where there is one the actor does not move
        metrics = agent.update(batch())
        assert {name for name in metrics if "Loss" in name} == {f"Loss/Loss_{name}" for name in row["losses"]}
        for name, loss in row["losses"].items():
            assert metrics[f"Loss/Loss_{name}"].item() == pytest.approx(loss, **close), name
        agent.record_episode(0, cost)
        agent.after_env_steps(1)
        assert agent.multiplier.value.item() == pytest.approx(row["multiplier"], **close)
    for ours, theirs in pairs(agent, recorded["end"]):
        torch.testing.assert_close(ours.detach().double(), theirs, rtol=0, atol=WITHIN[precision])


@pytest.mark.parametrize("case", RECORD["trajectories"])
def test_the_multiplier_follows_the_same_trajectory(case: str) -> None:
    recorded = RECORD["trajectories"][case]
    agent, values = make(recorded["rule"]), []
    for cost in RECORD["episodes"]:
        agent.record_episode(0, cost)
        for _ in range(2):
            agent.after_env_steps(1)
            values.append(agent.multiplier.value.item())
    assert values == pytest.approx(recorded["multiplier"], rel=1e-5, abs=1e-9)
    assert max(values) > 1.5 * values[0]
    assert (values[-1] == 0.0) == (case == "down to zero")


def test_the_record_tells_what_it_is_to_tell() -> None:
    """Targets unlike the networks, ends of tasks, gradients that are clipped, and weights that moved."""
    start, (free, clipped) = RECORD["start"], (case["end"] for case in RECORD["cases"].values())
    for name in start:
        assert start[name] != free[name] != clipped[name]
        if name.startswith("target"):
            assert start[name] != start[name.removeprefix("target_")]
    assert 0 < sum(RECORD["batch"]["done"]) < len(RECORD["batch"]["done"])
