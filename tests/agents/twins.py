"""An agent beside plain versions of itself with separate networks: the same weights, batches and random numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyslsac.agents import Agent
from pyslsac.data import Batch
from pyslsac.nn import StackedLinear


def pairs(agent: Agent, plain: Any, run: int, parts: Sequence[str]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Every slice of the agent's stacked parameters beside the plain parameter it stands for, shaped alike.

    A stack's members and a plain part's linear layers come in the same order: member after member, input to output.
    """
    for part in parts:
        stacks = [m for m in getattr(agent, part).modules() if isinstance(m, StackedLinear)]
        members = stacks[0].members[1] if len(stacks[0].members) == 2 else 1
        linears = [m for m in getattr(plain, part).modules() if isinstance(m, nn.Linear)]
        slots = [(member, stack) for member in range(members) for stack in stacks]
        for place, ((member, stack), linear) in enumerate(zip(slots, linears, strict=True)):
            where = (run, member) if len(stack.members) == 2 else (run,)
            yield f"{part}.{place}.weight", stack.weight[where].T, linear.weight
            yield f"{part}.{place}.bias", stack.bias[where], linear.bias


def plain_twin(agent: Agent, run: int, parts: Sequence[str], oracle: Any, name: str, **options: Any) -> Any:
    """The class `name` of the module `oracle`, started where run `run` of the agent stands."""
    names = {field.name for field in dataclasses.fields(oracle.Config)}
    config = oracle.Config(**{k: v for k, v in dataclasses.asdict(agent.config).items() if k in names})
    default = torch.get_default_dtype()
    torch.set_default_dtype(agent.dtype)
    try:
        plain = getattr(oracle, name)(agent.spec.obs_dim, agent.spec.act_dim, config, **options)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for _, ours, theirs in pairs(agent, plain, run, parts):
            theirs.copy_(ours)
    return plain


def one_run(batch: Batch, run: int) -> Batch:
    return type(batch)(*(getattr(batch, field.name)[run : run + 1] for field in dataclasses.fields(batch)))


def distance(agent: Agent, twins: Sequence[Any], parts: Sequence[str]) -> float:
    """The largest difference of any weight."""
    every = [pair[1:] for run, plain in enumerate(twins) for pair in pairs(agent, plain, run, parts)]
    return max((ours.detach().double() - theirs.detach().double()).abs().max().item() for ours, theirs in every)
