"""philox_normal against torch's own generator and its compiled reference: standard normals into a new tensor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from pyslsac.experiments.cases import NORMAL, Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import philox_normal
from pyslsac.ops.reference.philox_normal import normals


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    seed, step = torch.tensor([1], device=device), torch.tensor(2, device=device)
    for count in (1 << 12,) if quick else (1 << 12, 1_000_000, 10_000_000):
        rivals: dict[str, Call] = {
            "philox_normal": partial(philox_normal, count, seed, step, device=device),
            "torch.randn": partial(torch.randn, count, device=device),
            "torch.zeros (no noise)": partial(torch.zeros, count, device=device),
        }
        if count == 1_000_000:  # compiling takes a minute: of one size
            compiled = torch.compile(normals, dynamic=False)
            rivals["torch.compile of the reference"] = partial(compiled, 1, count, seed, step, 0)
        yield Case(f"{count:,} normals", rivals, traffic=4 * count, flops=NORMAL * count, graph=True)
