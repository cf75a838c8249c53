"""Sharded parameters (DTensor, as FSDP2 makes them): this rank's part, where it stands, and the norm of the whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Is it a DTensor? There is none where their module was never imported, which here would take a second."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Any) -> Tensor:
    """This rank's part of a sharded tensor; any other as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: Any) -> Tensor:
    """A sharded tensor gathered from all ranks; any other as it is."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def offset_of(param: Any) -> int:
    """The number of this rank's first element in the whole parameter, so that a shard draws the noise of its elements.

    Exact for shards of the first axis (FSDP2), whose elements stand together, and for replicas, which draw alike.
    Shards of another axis start at (number of the shard) * (elements of the whole): every element has its own noise,
    though not that of the unsharded parameter.
    """
    if not is_sharded(param):
        return 0
    from torch.distributed.tensor import Shard

    rows, first, index, other = param.shape[0] if param.dim() else 1, 0, 0, False
    coordinate = param.device_mesh.get_coordinate()
    for axis, placement in enumerate(param.placements):
        if not hasattr(placement, "dim"):
            continue
        parts, rank = param.device_mesh.size(axis), coordinate[axis]
        index, other = index * parts + rank, other or type(placement) is not Shard or placement.dim != 0
        each = -(-rows // parts)  # torch.chunk's split
        first, rows = first + min(rank * each, rows), max(0, min(each, rows - rank * each))
    first = index * param.numel() if other else first * math.prod(param.shape[1:])
    return 2 * first if param.is_complex() else first


def clip_sharded(grads: Sequence[Tensor], threshold: float, grad_scale: Tensor | None) -> list[Tensor]:
    """`grads` scaled to a norm of at most `threshold` over all ranks, in one reduction as torch has it."""
    kinds = [g for g in grads if is_sharded(g)], [g for g in grads if not is_sharded(g)]
    norms = [torch.nn.utils.get_total_norm(kind) for kind in kinds if kind]
    total = torch.stack([whole(n) for n in norms]).norm()
    if grad_scale is not None:
        total = total / grad_scale
    factor = (threshold / (total + 1e-6)).clamp(max=1.0)
    return [local(g) * factor for g in grads]
