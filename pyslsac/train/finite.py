"""Whether an agent's numbers are still numbers."""

from __future__ import annotations

import functools
from typing import Any

import torch

from pyslsac.agents import map_runs


def nonfinite_parts(agent: Any) -> dict[int, list[str]]:
    """The runs that have a NaN or an infinity in a network or an optimizer, and in which."""
    bad: dict[int, list[str]] = {}
    for name, part in agent.parts.items():
        if isinstance(part, torch.nn.Module | torch.optim.Optimizer):
            found: set[int] = set()
            map_runs(part.state_dict(), functools.partial(_look, found))
            for run in found:
                bad.setdefault(run, []).append(name)
    return bad


def _look(found: set[int], tensor: torch.Tensor) -> torch.Tensor:
    """Add to `found` the runs of `tensor` [R, ...] that are not finite."""
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        finite = torch.isfinite(tensor).reshape(tensor.shape[0], -1).all(1)  # [R]
        found.update(finite.logical_not().nonzero().flatten().tolist())
    return tensor
