"""philox_normal against torch's own generator: standard normals into a new tensor."""

from collections.abc import Callable, Iterator

import torch
from _timing import main

from pyslsac.ops import philox_normal


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    for count in (1 << 12,) if quick else (1 << 12, 1_000_000, 10_000_000):
        yield (
            f"{count:,} normals",
            {
                "philox_normal": lambda count=count: philox_normal(count, seed=1, step=2, device=device),
                "torch.randn": lambda count=count: torch.randn(count, device=device),
                "torch.zeros (no noise)": lambda count=count: torch.empty(count, device=device).zero_(),
            },
        )


if __name__ == "__main__":
    main("philox_normal", cases)
