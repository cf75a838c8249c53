"""What the fields of an ASGLD param group may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyslsac.ops import backend
from pyslsac.ops.asgld import CLIPS, COMPILED, VARIANTS
from pyslsac.optim.shards import is_sharded


def axes_of(members: int | Sequence[int]) -> tuple[int, ...]:
    """The leading axes that count networks: E becomes (E,)."""
    return (members,) if isinstance(members, int) else tuple(members)


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers, any other as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def seeds_of(seed: int | Sequence[int] | Tensor, members: int | Sequence[int]) -> Tensor:
    """The noise seeds int64 [R]: given one a run, or seed, seed + 1, ... from an integer of 64 bits."""
    runs = members[0] if not isinstance(members, int) and members else 1
    if isinstance(seed, int):
        seed = [(seed + run + 2**63) % 2**64 - 2**63 for run in range(runs)]
    seeds = torch.as_tensor(seed, dtype=torch.int64).detach().clone().reshape(-1)
    if seeds.numel() != runs:
        raise ValueError(f"ASGLD: seed has {seeds.numel()} entries; members={members} wants {runs}, or one integer")
    return seeds


def check_fields(group: dict[str, Any]) -> None:
    """Raise ValueError where a number or a name is out of range; tensors (lr, temperature) are taken as they are."""
    limits = {"lr": (0, math.inf), "temperature": (0, math.inf), "bias": (-math.inf, math.inf), "eps": (0, math.inf),
              "weight_decay": (0, math.inf), "clip_threshold": (0, math.inf)}  # fmt: skip
    numbers = [(name, group[name], *limits[name]) for name in limits]
    numbers += [(f"betas[{i}]", beta, 0, 1) for i, beta in enumerate(group["betas"])]
    for name, value, low, high in numbers:
        if not isinstance(value, Tensor) and not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"ASGLD: {name} is {value}; wanted a finite number from {low} to {high}")
    choices = {"variant": tuple(VARIANTS), "clip": (*CLIPS[:-1], None)}
    for name, allowed in choices.items():
        if group[name] not in allowed:
            raise ValueError(f"ASGLD: {name} is {group[name]!r}; wanted one of {allowed}")
    if any(count < 1 for count in axes_of(group["members"])):
        raise ValueError(f"ASGLD: members is {group['members']}; wanted positive counts")


def check_param(param: Tensor, group: dict[str, Any]) -> None:
    """Raise ValueError where a parameter cannot be moved as its group asks."""
    shape, axes = tuple(param.shape), axes_of(group["members"])
    if not (param.is_floating_point() or param.is_complex()):
        raise ValueError(f"ASGLD: a parameter is {param.dtype}; wanted a floating or complex one")
    if shape[: len(axes)] != axes:
        raise ValueError(f"ASGLD: a parameter is {list(shape)}; members={group['members']} wants leading axes {axes}")
    if is_sharded(param) and (axes or group["clip"] == "drift_norm"):
        raise ValueError("ASGLD: a sharded parameter takes neither members nor clip='drift_norm'")
    if group["fused"]:
        device, dtype = param.device.type, real(param).dtype
        if backend("asgld_", device) != "compiled" or dtype not in COMPILED:
            raise ValueError(f"ASGLD: fused=True: nothing compiled for {dtype} on {device}; `pyslsac doctor` says why")
