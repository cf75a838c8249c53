"""Safe NC-LQL: what chains climb, what the multiplier follows, and that costs are learnt as rewards are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pyslsac import make_agent
from pyslsac.agents import config_for
from pyslsac.agents.nc_lql import NCLQL
from pyslsac.agents.safe_nc_lql import SafeNCLQLConfig
from pyslsac.data import Batch, Spec
from pyslsac.ops import action_grad

SPEC = Spec(obs_dim=3, act_dim=2)


def agent_of(runs: int = 1, **config) -> NCLQL:
    return make_agent("safe-nc-lql", SPEC, dict(width=16, levels=4) | config, runs=runs)


def test_chains_climb_rewards_minus_priced_costs():
    """At every move's level, each run with its own multiplier; the best of several ends is chosen at the clean one."""
    agent = agent_of(2, precision="fp64")
    agent.multiplier.value.copy_(torch.tensor([0.0, 2.5]))
    obs, action = torch.randn(2, 6, 3).double(), (2 * torch.rand(2, 6, 2) - 1).double().requires_grad_()
    price, (group,) = agent.multiplier.value.view(2, 1), agent.groups()
    for move, level in enumerate(agent.plan.level.tolist()):
        q = agent.critics(torch.cat([obs, action], -1), level)
        wanted = torch.autograd.grad((q[:, :2].sum(1) - price * q[:, 2:].sum(1)).sum(), action)[0]
        now = replace(group, step_bias=group.step_bias[:, move : move + 1])
        torch.testing.assert_close(action_grad(obs, action.detach(), [now]), wanted)
    single, several = (agent_of(2, precision="fp64", drift_scale=0.0, particles=p) for p in (1, 4))  # ends far apart
    several.multiplier.value.copy_(agent.multiplier.value)
    ends = single.actions(obs.repeat_interleave(4, dim=1), 0, 1)  # the same starts and noise
    with torch.no_grad():
        q = agent.critics(torch.cat([obs.repeat_interleave(4, dim=1), ends], -1), 3)
    value = (torch.minimum(q[:, 0], q[:, 1]) - price * torch.maximum(q[:, 2], q[:, 3])).unflatten(1, (6, 4))
    index = value.argmax(2)[..., None, None].expand(-1, -1, 1, 2)
    torch.testing.assert_close(several.actions(obs, 0, 1), ends.unflatten(1, (6, 4)).gather(2, index).squeeze(2))


def test_costs_are_learnt_as_rewards_are():
    """Where the cost is minus the reward, its twins are minus the reward's: the larger is minus the smaller."""
    agent, rows = agent_of(precision="fp64"), (1, 8)
    with torch.no_grad():  # the cost twins are made minus the reward twins
        for stack in (agent.critics, agent.target_critics):
            for parameter in stack.parameters():
                parameter[:, 2:] = parameter[:, :2]
            for parameter in stack.layers[-1].parameters():
                parameter[:, 2:] = -parameter[:, :2]
    obs, reward = torch.randn(*rows, 3).double(), torch.randn(rows).double()
    batch = Batch(obs, 2 * torch.rand(*rows, 2).double() - 1, reward, -reward, obs, 0 * reward)
    for _ in range(3):
        metrics = agent.update(batch)
        for name in ("critic", "level"):
            ours = metrics["Loss/Loss_reward_critic" if name == "critic" else "Loss/Loss_level"]
            torch.testing.assert_close(metrics[f"Loss/Loss_cost_{name}"], ours)
    q = agent.critics(torch.cat([batch.obs, batch.action], -1), 3)
    torch.testing.assert_close(q[:, 2:], -q[:, :2])
    assert (q[:, :2].abs() > 1e-6).all()


def test_the_multiplier_waits_then_follows_the_window():
    agent = agent_of(2, multiplier_warmup=100, multiplier_lr=0.01, multiplier_init=1.0, multiplier_window=4)
    for cost in (50.0, 20.0, 70.0, 0.0):  # mean 35; the limit is 25
        agent.record_episode(0, cost)
    agent.after_env_steps(100)
    assert agent.multiplier.value.tolist() == [1.0, 1.0]
    agent.after_env_steps(2)  # two steps past the warm-up: 2 * 0.01 * 10; the other run has no episode yet
    gauges = agent.gauges()
    torch.testing.assert_close(gauges["Metrics/LagrangeMultiplier"], torch.tensor([1.2, 1.0], dtype=torch.float64))
    assert gauges["Metrics/EpCostCVaR"][0] == 35.0 and gauges["Metrics/EpCostCVaR"][1].isnan()


def test_more_multiplier_means_less_cost():
    agent = agent_of(precision="fp64", levels=1, repeats=40, step_size=4e-4)
    obs, costs = torch.randn(1, 64, 3).double(), []
    for multiplier in (0.0, 1.0, 100.0):
        agent.multiplier.value.fill_(multiplier)
        action = agent.act(obs, deterministic=True)
        with torch.no_grad():
            costs.append(agent.critics(torch.cat([obs, action], -1), 0)[:, 2:].sum(1).mean().item())
    assert costs[0] > costs[1] > costs[2]


def test_presets():
    assert config_for("safe-nc-lql") == config_for("safe-nc-lql", "paper") == SafeNCLQLConfig()
    step = config_for("safe-nc-lql", "step")
    assert step.constrained and (step.start_steps, step.multiplier_warmup, step.updates_per_step) == (2_000, 15_000, 1)
    moved = (
        (40_000 - step.multiplier_warmup) * step.multiplier_lr * 20
    )  # by a mean excess of 20 in a run of 40,000 steps
    assert moved == pytest.approx(1.0)
