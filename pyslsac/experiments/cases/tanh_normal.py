"""tanh_normal against a squashed normal in torch: its own reference, that compiled, and torch.distributions'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import tanh_normal
from pyslsac.ops.reference import tanh_normal as reference

Law = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
ELEMENT = 40  # flops of an action: two exponentials, a logarithm, a division and some twenty more


def of_distributions(params: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """As many programs write it; the transform's cache spares the inverse of tanh."""
    mean, log_std = params.chunk(2, -1)
    normal, squash = Normal(mean, log_std.clamp(*reference.LOG_STD_RANGE).exp()), TanhTransform(cache_size=1)
    action = squash(normal.loc + normal.scale * noise)
    return action, TransformedDistribution(Independent(normal, 1), [squash]).log_prob(action)


def both(law: Law, params: Tensor, noise: Tensor) -> Tensor:
    """Forward and backward: the gradient by params of Σ action + Σ log density."""
    action, log_prob = law(params, noise)
    return torch.autograd.grad(action.sum() + log_prob.sum(), params)[0]


def forward(law: Law, params: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return law(params, noise)


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for rows, actions in ((64, 2),) if quick else ((256, 6), (256, 17), (8192, 6)):
        params = torch.randn(rows, 2 * actions, device=device, requires_grad=True)
        noise = torch.randn(rows, actions, device=device)
        laws: dict[str, Law] = {
            "tanh_normal": tanh_normal,
            "reference": reference.tanh_normal,
            "torch.distributions": of_distributions,
        }
        if not quick and rows == 256 and actions == 6:  # compiling takes a minute: of one size
            laws["torch.compile of the reference"] = torch.compile(reference.tanh_normal, dynamic=False)
        for title, run, share in (("forward + backward", both, 2), ("forward", forward, 1)):
            rivals: dict[str, Call] = {name: partial(run, law, params, noise) for name, law in laws.items()}
            traffic = share * 4 * rows * (4 * actions + 1)
            yield Case(f"{rows} x {actions}, {title}", rivals, traffic=traffic, flops=share * ELEMENT * rows * actions)
