"""asgld_ against torch's AdamW, with noise and without, and against the same step written in eager torch."""

from collections.abc import Callable, Iterator

import torch
from _timing import main
from torch import Tensor, nn

from pyslsac.ops import philox_normal
from pyslsac.optim import ASGLD

SIGMA = (2 * 3e-4 * 1e-16) ** 0.5


def parameter(size: int, device: torch.device) -> nn.Parameter:
    param = nn.Parameter(torch.randn(size, device=device) / 16)
    param.grad = torch.randn(size, device=device) / 1000
    return param


def eager(param: Tensor, grad: Tensor, m: Tensor, v: Tensor) -> None:
    """The step as one writes it in torch: clip, moments, drift, noise."""
    grad = grad * (0.7 / (grad.norm() + 1e-6)).clamp(max=1.0)
    m.mul_(0.9).add_(grad, alpha=0.1)
    v.mul_(0.999).addcmul_(grad, grad, value=0.001)
    drift = grad + m / (v.sqrt() + 1e-8)
    param.add_(drift, alpha=-3e-4).add_(torch.randn_like(param), alpha=SIGMA)


def eager_step(size: int, device: torch.device) -> Callable[[], None]:
    param = parameter(size, device)
    state = param.detach(), param.grad, torch.zeros(size, device=device), torch.zeros(size, device=device)
    return lambda: eager(*state)


def adamw(size: int, device: torch.device, **kind: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW([parameter(size, device)], lr=3e-4, **kind)


def with_noise(optimizer: torch.optim.Optimizer, noise: Callable[[], Tensor]) -> Callable[[], None]:
    """The optimizer's step, then Gaussian noise on its weights."""
    param = optimizer.param_groups[0]["params"][0].detach()

    def step() -> None:
        optimizer.step()
        param.add_(noise(), alpha=SIGMA)

    return step


def cases(device: torch.device, quick: bool) -> Iterator[tuple[str, dict[str, Callable[[], object]]]]:
    sizes = (100_000,) if quick else (100_000, 452_000, 1_000_000, 10_000_000)
    if device.type == "cuda" and not quick:
        sizes += (100_000_000,)
    for size in sizes:
        ours = ASGLD([parameter(size, device)], seed=0)
        compensated = ASGLD([parameter(size, device)], seed=0, compensated=True)
        normals = torch.empty(size, device=device)
        fused = adamw(size, device, fused=True)
        compiled = torch.compile(eager, fullgraph=True)
        state = [torch.zeros(size, device=device) for _ in range(4)]
        yield (
            f"{size:,} parameters",
            {
                "ASGLD": ours.step,
                "ASGLD, compensated": compensated.step,
                "ASGLD without noise": lambda o=ours: o.step(noise=False),
                "AdamW fused": fused.step,
                "AdamW foreach": adamw(size, device, foreach=True).step,
                "AdamW fused + randn_like + add_": with_noise(
                    adamw(size, device, fused=True), lambda n=normals: torch.randn_like(n)
                ),
                "philox_normal + AdamW fused": lambda s=size, o=fused: (
                    philox_normal(s, 0, 1, device=device),
                    o.step(),
                ),
                "eager expression with randn_like": eager_step(size, device),
                "the same, torch.compile": lambda c=compiled, s=state: c(*s),
            },
        )


if __name__ == "__main__":
    main("asgld", cases)
