"""States that are stacked by run: nested dicts and lists whose tensors, but for single numbers, lead with the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, cat


def map_runs(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a state in which `change` was applied to every tensor that is stacked by run."""
    if isinstance(state, Tensor):
        return change(state) if state.dim() else state.clone()
    if isinstance(state, dict):
        return {key: map_runs(value, change) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map_runs(value, change) for value in state)
    return state


def stack_runs(states: Sequence[Any]) -> Any:
    """One state of several runs from the states of single runs; what is common to the runs is taken from the first."""
    first = states[0]
    if isinstance(first, Tensor):
        return cat(list(states)) if first.dim() else first
    if isinstance(first, dict):
        return {key: stack_runs([state[key] for state in states]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(stack_runs(values) for values in zip(*states, strict=True))
    return first
