"""langevin_step against the same move in eager torch, with torch's own noise."""

from collections.abc import Callable, Iterator

import torch
from _timing import main
from torch import Tensor

from pyslsac.ops import langevin_step_


def eager(action: Tensor, grad: Tensor, normalize: bool) -> None:
    """The move as one writes it in torch."""
    drift = grad / (grad.norm(dim=-1, keepdim=True) + 1e-8) if normalize else grad
    action.add_(drift, alpha=0.05).add_(torch.randn_like(action), alpha=0.1**0.5).clamp_(-1.0, 1.0)


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    for shape in ((1, 256, 6),) if quick else ((1, 256, 6), (4, 256, 6), (1, 16384, 8)):
        action, grad = torch.zeros(shape, device=device), torch.randn(shape, device=device)
        for normalize in (False, True):
            yield (
                f"[R, B, A] = {list(shape)}{', normalised gradient' * normalize}",
                {
                    "langevin_step_": lambda a=action, g=grad, n=normalize: langevin_step_(
                        a, g, step_size=0.1, normalize=n
                    ),
                    "eager torch": lambda a=action, g=grad, n=normalize: eager(a, g, n),
                },
            )


if __name__ == "__main__":
    main("langevin_step", cases)
