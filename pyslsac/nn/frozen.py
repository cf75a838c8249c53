"""Passing gradients through networks that do not learn from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within, the modules' parameters ask for no gradient, so that a loss built here computes only those of its inputs.

    For an actor's pass through its critics this saves the products that would make their weights' gradients.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
