"""quantile_huber, forward and backward, against the loss over all pairs in eager torch, twice, and compiled."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from _timing import main
from torch import Tensor

from pyslsac.ops import quantile_huber


def pairwise(pred: Tensor, target: Tensor, tau: Tensor) -> Tensor:
    """All pairs written out, the way implementations of IQN do it; kappa = 1."""
    delta = target.unsqueeze(-2) - pred.unsqueeze(-1)  # [B, N, M]
    huber = torch.where(delta.abs() <= 1, 0.5 * delta**2, delta.abs() - 0.5)
    weight = (tau.unsqueeze(-1) - (delta.detach() < 0).to(tau.dtype)).abs()
    return (weight * huber).mean(-1).sum(-1)


def pairwise_huber_loss(pred: Tensor, target: Tensor, tau: Tensor) -> Tensor:
    """The same with torch's own Huber loss."""
    pred, target = torch.broadcast_tensors(pred.unsqueeze(-1), target.unsqueeze(-2))  # [B, N, M]
    weight = (tau.unsqueeze(-1) - (target < pred.detach()).to(tau.dtype)).abs()
    return (weight * F.huber_loss(pred, target, reduction="none")).mean(-1).sum(-1)


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    losses = {
        "quantile_huber": quantile_huber,
        "eager pairwise": pairwise,
        "eager pairwise, F.huber_loss": pairwise_huber_loss,
    }
    if not quick:
        losses["torch.compile of eager pairwise"] = torch.compile(pairwise, dynamic=False)
    dtypes = (torch.float32, torch.bfloat16) if device.type == "cuda" else (torch.float32,)
    for dtype in dtypes:
        for rows, n, m in ((64, 8, 8),) if quick else ((128, 8, 8), (256, 32, 32), (1024, 32, 32), (256, 64, 200)):
            pred = torch.randn(rows, n, device=device, dtype=dtype, requires_grad=True)
            target = torch.randn(rows, m, device=device, dtype=dtype)
            tau = torch.rand(rows, n, device=device, dtype=dtype)

            ones = torch.ones(rows, device=device, dtype=torch.float32)

            def both(loss: Callable[..., Tensor], args: tuple[Tensor, ...] = (pred, target, tau, ones)) -> None:
                value = loss(*args[:3])
                torch.autograd.grad(value, args[0], args[3].to(value.dtype))

            name = f"{rows} x {n} x {m}, {str(dtype).removeprefix('torch.')}, forward + backward"
            yield name, {rival: lambda loss=loss, both=both: both(loss) for rival, loss in losses.items()}


if __name__ == "__main__":
    main("quantile_huber", cases)
