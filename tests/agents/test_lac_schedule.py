"""LAC's iterations: when it learns, how its multiplier and cap move, and what its observations become."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from pyslsac import make_agent, train
from pyslsac.agents.lac import LAC
from pyslsac.data import Batch, NStepBatch, Replay, Spec
from pyslsac.train.checkpoint import read_latest

SPEC = Spec(obs_dim=2, act_dim=1)
SMALL = dict(width=8, generator_width=8, chain_steps=2)
TASK = "pyslsac/LinearQuadratic-v0"


def agent_of(runs: int = 1, **config) -> LAC:
    return make_agent("lac", SPEC, SMALL | config, runs=runs)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_multiplier_follows_the_mean_cost_since_its_last_move():
    agent = agent_of(2, multiplier_interval=100, multiplier_init=1.0, multiplier_max=None)
    for cost in (50.0, 30.0):  # the limit is 25
        agent.record_episode(0, cost)
    agent.after_env_steps(99)
    assert agent.multiplier.value.tolist() == [1.0, 1.0]
    agent.after_env_steps(2)
    torch.testing.assert_close(agent.multiplier.value, double(1.15, 1.0))  # 1 + 0.01 (40 - 25); no episode ended there
    agent.after_env_steps(98)
    agent.record_episode(0, 10.0)
    agent.record_episode(1, 1000.0)
    agent.after_env_steps(1)  # step 200
    torch.testing.assert_close(agent.multiplier.value, double(1.0, 10.75))  # what came before counts no more
    agent.record_episode(0, 0.0)
    agent.after_env_steps(100)
    torch.testing.assert_close(agent.multiplier.value, double(0.75, 10.75))
    assert set(agent.gauges()) == {"Metrics/LagrangeMultiplier"}


def test_bounds_of_the_multiplier():
    agent = agent_of(2, multiplier_interval=10, multiplier_lr=1.0, multiplier_max=3.0)
    for _ in range(2):
        agent.record_episode(0, 90.0)
        agent.record_episode(1, 0.0)
        agent.after_env_steps(10)
    assert agent.multiplier.value.tolist() == [3.0, 0.0]
    assert agent.gauges()["Metrics/MultiplierMax"].tolist() == [3.0, 3.0]


def test_the_cap_follows_the_target_critics():
    agent = agent_of(2, multiplier_interval=10, multiplier_lr=1.0)
    agent.chain_values.add(torch.tensor([[9.0, -2.0], [0.0, 0.0]]))
    agent.chain_values.add(torch.tensor([[-3.0, -6.0], [0.0, 0.0]]))
    agent.record_episode(0, 90.0)
    agent.record_episode(1, 90.0)
    agent.after_env_steps(10)  # 2 |3| / |-4|; the second run's means say nothing, and it keeps its first cap
    assert agent.gauges()["Metrics/MultiplierMax"].tolist() == [1.5, 2.0]
    assert agent.multiplier.value.tolist() == [1.5, 2.0]
    agent.after_env_steps(10)  # nothing has been learnt since
    assert agent.gauges()["Metrics/MultiplierMax"].tolist() == [1.5, 2.0]


def test_updates_feed_the_cap():
    agent, means = agent_of(multiplier_interval=10, precision="fp64"), []
    for seed in range(3):
        torch.manual_seed(seed)
        batch = Batch(
            torch.randn(1, 6, 2), torch.rand(1, 6, 1), *torch.rand(2, 1, 6), torch.randn(1, 6, 2), torch.zeros(1, 6)
        )
        metrics = agent.update(batch)
        means.append(torch.stack([metrics["Value/reward_critic"], metrics["Value/cost_critic"]]))
    agent.after_env_steps(10)
    reward, cost = torch.stack(means).mean(0)
    torch.testing.assert_close(agent.gauges()["Metrics/MultiplierMax"], 2 * reward.abs() / cost.abs())


def test_observations_are_normalised_with_the_moments_of_what_was_acted_on():
    agent = agent_of(precision="fp64")
    raw = torch.tensor([[[0.0, 10.0], [4.0, 10.0]]])
    assert torch.equal(agent.normalized(batch_with(raw.double())).obs, raw.double())  # nothing is known yet
    agent.observe(raw[:, :1])
    agent.observe(raw[:, 1:])
    mean, std = double(2.0, 10.0), double(8.0**0.5, 0.01)  # the second never changed: its spread is 0.01 at least
    obs = torch.tensor([[[3.0, 10.02], [100.0, 9.0]]], dtype=torch.float64)
    expected = ((obs - mean) / std).clamp(-5, 5)
    assert expected[0, 1].tolist() == [5.0, -5.0]
    batch = agent.normalized(batch_with(obs))
    for name in ("obs", "next_obs", "tail_obs"):
        torch.testing.assert_close(getattr(batch, name), expected)
    mean_action = agent.generator(expected)[0].clamp(-1, 1)
    torch.testing.assert_close(agent.act(obs, deterministic=True), mean_action)
    plain = agent_of(precision="fp64", obs_normalize=False)
    plain.observe(raw)
    assert torch.equal(plain.normalized(batch_with(obs)).obs, obs)


def batch_with(obs: Tensor) -> NStepBatch:
    ones = torch.ones(obs.shape[:2], dtype=obs.dtype)
    return NStepBatch(obs, ones[..., None], ones, ones, obs, ones, torch.ones_like(obs), ones, obs, ones)


def test_final_observations_are_normalised_and_the_replay_stays_raw():
    agent, replay = agent_of(precision="fp64"), Replay(SPEC, 4)
    obs, final = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[7.0, -3.0]]])
    for row in (obs, 3 * obs):
        agent.observe(row)
    replay.add(obs, [[[0.5]]], [[1.0]], [[0.0]], final, [[0.0]], [[1.0]])  # cut off by time: bootstraps from `final`
    batch = agent.normalized(replay.sample(2).to("cpu", torch.float64))
    expected = (final[0, 0].double() - double(2.0, 4.0)) / double(2.0**0.5, 8.0**0.5)
    torch.testing.assert_close(batch.next_obs, expected.expand(1, 2, 2))
    assert replay.rows[0, 0, :2].tolist() == [1.0, 2.0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict, list[dict[str, str]]]]:
    """The last checkpoint and the log of 204 steps with preset `paper`: iterations of 40, the first two at random."""
    small = dict(
        batch_size=8, buffer_size=60, iteration_steps=40, start_steps=80, multiplier_interval=40, cost_limit=2.0
    )
    options = dict(num_envs=4, threads=1, device="cpu", quiet=True, eval_every=1, eval_episodes=2, final_episodes=2)
    out = tmp_path_factory.mktemp("lac")
    fields = SMALL | small | dict(steps_per_epoch=40)
    train("lac", TASK, steps=204, seeds=[0], preset="paper", agent=fields, out=out, env=dict(workers=0), **options)
    with (out / "seed-000" / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    yield read_latest(out / "seed-000"), rows


def test_updates_come_in_passes_over_the_replay(trained):
    rows = trained[1]
    updates = [float(row["Train/Updates"]) for row in rows]
    steps = [float(row["TotalEnvSteps"]) for row in rows]
    assert steps[:5] == [40, 80, 120, 160, 200]
    # the pass comes with the first vector step after an iteration: 40 rows make 5 minibatches of 8, then 60 rows 7
    assert updates == [0, 5, 12, 19, 26, 33][: len(updates)] and len(updates) >= 5
    assert trained[0]["loop"]["updates"] == 33


def test_the_multiplier_moves_with_every_iteration(trained):
    rows = trained[1]
    multipliers = [float(row["Metrics/LagrangeMultiplier"]) for row in rows]
    caps = [float(row["Metrics/MultiplierMax"]) for row in rows]
    assert multipliers[0] != 0 and len(set(multipliers)) >= 4
    assert caps[0] == 2.0 and len(set(caps[:5])) == 5  # until the first pass there are no values


def test_only_training_moves_the_moments(trained):
    loop = trained[0]["loop"]
    moments = loop["agent"]["parts"]["obs_normalizer"]
    assert moments["count"] == loop["env_steps"] == 204  # evaluation episodes came in between
    assert np.isfinite(moments["mean"]).all() and (moments["square_sum"] > 0).all()
