"""philox_integers against torch's generator, NumPy's Philox and its own reference: indices of a minibatch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import philox_integers
from pyslsac.ops.reference import philox_integers as reference


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    held = 1_000_000
    seed, step, high = (torch.tensor([number], device=device) for number in (1, 2, held))
    for runs, count in ((1, 256),) if quick else ((1, 256), (8, 256), (1, 1_000_000)):
        out = torch.empty(runs, count, dtype=torch.int64, device=device)
        rivals: dict[str, Call] = {
            "philox_integers": partial(philox_integers, runs, count, high, seed, step, device=device),
            "reference": partial(reference.philox_integers_, out, seed, step, high, 0),
            "torch.randint": partial(torch.randint, held, (runs, count), device=device),
        }
        if device.type == "cpu":
            rivals["a NumPy Philox a run"] = partial(numpy_indices, runs, count, held)
        yield Case(f"{runs} x {count:,} of {held:,}", rivals, traffic=8 * runs * count, graph=True)


def numpy_indices(runs: int, count: int, held: int) -> torch.Tensor:
    generators = (np.random.Generator(np.random.Philox(key=run, counter=2 << 64)) for run in range(runs))
    return torch.from_numpy(np.stack([generator.integers(held, size=count) for generator in generators]))
