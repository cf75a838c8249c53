"""Networks and a transition so small that an update of them can be worked out by hand."""

from __future__ import annotations

import torch
from torch import nn

from pyslsac.data import Batch
from pyslsac.nn import StackedLinear


@torch.no_grad()
def set_line(network: nn.Module, *slopes: float) -> None:
    """Make the members of a stack of width 1 say slope (a + 1) where a > -1, of whatever state; `slopes` by member."""
    first, second, last = (layer for layer in network.modules() if isinstance(layer, StackedLinear))
    for layer in (first, second, last):
        layer.weight.zero_()
        layer.bias.zero_()
    first.weight[..., -1, 0] = 1.0
    first.bias.fill_(1.0)
    second.weight.fill_(1.0)
    last.weight.copy_(torch.tensor(slopes).view_as(last.weight))


@torch.no_grad()
def set_zero(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.zero_()


def one_transition(reward: float, cost: float, terminated: float = 0.0) -> Batch:
    """A batch of one, for one run, one observation and one action, with zeros for both."""
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    return Batch(zero, zero, *(torch.full((1, 1), v).double() for v in (reward, cost)), zero, zero[..., 0] + terminated)
