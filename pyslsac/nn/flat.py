"""All of a network's numbers in one vector a run, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """One vector a run [R, P] of tensors [R, ...], one after the other."""
    return torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)


def unflat(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The parts of vector [R, P], each in the shape of its tensor in `like`."""
    parts = vector.split([tensor[0].numel() for tensor in like], dim=1)
    return [part.view_as(tensor) for part, tensor in zip(parts, like, strict=True)]
