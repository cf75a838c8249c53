"""Calls on several counts of threads."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def on_threads(call: Callable[[], T], counts: tuple[int, ...] = (1, 2, 3)) -> list[T]:
    """What `call` returns with each of these counts of torch's threads, which are then as they were."""
    before, found = torch.get_num_threads(), []
    try:
        for count in counts:
            torch.set_num_threads(count)
            found.append(call())
    finally:
        torch.set_num_threads(before)
    return found
