"""Slowly moving target networks."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def polyak_update(targets: nn.Module, sources: nn.Module, rate: float) -> None:
    """target <- target + rate (source - target), every parameter of the module, in place."""
    torch._foreach_lerp_(list(targets.parameters()), list(sources.parameters()), rate)
