"""Rollouts to update on, and the plain version of an on-policy agent that starts where the agent stands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.oracle import on_policy as oracle
from pyslsac import make_agent
from pyslsac.agents.base import OnPolicyAgent
from pyslsac.data import Rollout, Spec
from pyslsac.nn import StackedLinear

SPEC = Spec(obs_dim=4, act_dim=2, horizon=10)
SMALL = dict(width=8, iterations=3, batch_size=10, cost_limit=2.0, precision="fp64")


def agent_of(algo: str, **fields: object) -> OnPolicyAgent:
    agent = make_agent(algo, SPEC, SMALL | fields, seed=3)
    assert isinstance(agent, OnPolicyAgent)
    return agent


def rollout_of(agent: OnPolicyAgent, seed: int = 0, steps: int = 12, envs: int = 3, cost: float = 1.0) -> Rollout:
    """Random steps, in which costs pay and episodes end by time and by themselves; the agent draws the actions."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, steps, envs, *shape, generator=generator, dtype=torch.float64)

    obs, next_obs = normal(agent.spec.obs_dim), normal(agent.spec.obs_dim)
    action = agent.sample(obs.flatten(1, 2).to(agent.dtype)).view(1, steps, envs, -1)
    reward, price, ended = normal(), normal().abs() * cost, (normal() > 1.2).double()
    return Rollout(obs, action.double(), reward + 3 * price, price, next_obs, ended * (normal() > 0), ended)


def plain_twin(agent: OnPolicyAgent, kind: type[oracle.Plain]) -> oracle.Plain:
    """A plain run with the agent's weights and constants."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = kind(agent.spec.obs_dim, agent.spec.act_dim, oracle.Config.like(agent.config))
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for ours, theirs in pairs(agent, plain):
            theirs.copy_(ours)
    return plain


def pairs(agent: OnPolicyAgent, plain: oracle.Plain) -> list[tuple[Tensor, nn.Parameter]]:
    """Every parameter of the agent beside the plain one it stands for, shaped alike."""
    found = [(agent.actor.log_std[0], plain.actor.log_std)]
    networks = [(agent.actor, (0,), plain.actor.mean)]
    networks += [(agent.critics, (0, member), critic) for member, critic in enumerate(plain.critics)]
    for ours, where, theirs in networks:
        stacks = [m for m in ours.modules() if isinstance(m, StackedLinear)]
        for stack, linear in zip(stacks, [m for m in theirs if isinstance(m, nn.Linear)], strict=True):
            found += [(stack.weight[where].T, linear.weight), (stack.bias[where], linear.bias)]
    return found


def orders_of(agent: OnPolicyAgent, rows: int) -> list[Tensor]:
    """The order of the rows in each pass of the agent's next update."""
    steps = agent.counters["updates"] * agent.config.iterations
    passes = range(steps, steps + agent.config.iterations)
    return [agent.normals((rows,), stream=1, step=number).argsort(-1)[0] for number in passes]


def check_equal(agent: OnPolicyAgent, plain: oracle.Plain) -> None:
    for ours, theirs in pairs(agent, plain):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def check_state_comes_back(algo: str, **fields: object) -> None:
    """An agent with another's state, written down in the middle, goes on as the other does."""
    one, other = agent_of(algo, **fields), agent_of(algo, **fields)
    for update in range(2):
        one.observe(torch.randn(1, 3, 4, dtype=torch.float64))
        one.record_episode(0, 3.0 + update)
        one.update(rollout_of(one, update))
        one.after_env_steps(36)
    state = one.state_dict()
    other.load_state_dict(state)
    for agent in (one, other):
        agent.update(rollout_of(agent, 5))
    obs = torch.randn(1, 3, 4, dtype=torch.float64)
    assert one.act(obs).equal(other.act(obs)) and one.act(obs, True).equal(other.act(obs, True))
    metrics = [agent.update(rollout_of(agent, 6)) | agent.gauges() for agent in (one, other)]
    assert all(values.equal(metrics[1][name]) and values.shape == (1,) for name, values in metrics[0].items())
    assert not any(values.requires_grad for values in metrics[0].values())
    assert not one.state_dict()["parts"]["actor"]["log_std"].equal(state["parts"]["actor"]["log_std"])  # a copy
