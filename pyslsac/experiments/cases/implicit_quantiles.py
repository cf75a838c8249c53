"""implicit_quantiles against the dense layers, in eager torch and compiled.

The passes of a critic that learns (forward and backward), of one that only hands a gradient on (backward to psi alone)
and of a target (forward alone). psi is the output of a ReLU on random numbers: half of its entries are zero, and their
columns are not counted as arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import implicit_quantiles

PASSES = {  # which of the arguments learn
    "forward + backward": (0, 2, 3, 4, 5, 6),
    "forward + backward, weights frozen": (0,),
    "forward": (),
}


def dense(
    psi: Tensor,
    tau: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    head: Tensor,
) -> Tensor:
    """The layers the way implementations of IQN write them, batched over runs."""
    cosines = ((math.pi * tau).unsqueeze(-1) * torch.arange(float(phi_weight.shape[1]), device=tau.device)).cos_()
    phi = torch.relu(torch.baddbmm(phi_bias.unsqueeze(1), cosines.flatten(1, 2), phi_weight))  # [G, B N, K]
    joint = phi.unflatten(1, tau.shape[1:]) * psi.unsqueeze(2)  # [G, B, N, K]
    features = torch.relu(torch.baddbmm(bias.unsqueeze(1), joint.flatten(1, 2), weight))
    return torch.bmm(features, head.unsqueeze(2)).view(tau.shape)


def run(layers: Callable[..., Tensor], args: Sequence[Tensor], learns: tuple[int, ...], grad: Tensor) -> list[Tensor]:
    """The quantiles, and the gradients by what learns."""
    args = [x.requires_grad_(i in learns) for i, x in enumerate(x.detach() for x in args)]
    quantiles = layers(*args)
    return [quantiles, *(torch.autograd.grad(quantiles, [args[i] for i in learns], grad) if learns else ())]


def count(args: Sequence[Tensor], learns: tuple[int, ...], grad: Tensor) -> tuple[int, int]:
    """The case's bytes and operations: two a multiply-add, of the active columns alone."""
    psi, tau, phi_weight, *_ = args
    quantiles, inputs, outputs = tau.shape[2], phi_weight.shape[1], args[-1].shape[-1]
    read = sum(x.numel() for x in args) + grad.numel()
    back = read + grad.numel() + sum(args[i].numel() for i in learns) if learns else 0
    column = 2 * quantiles * int((psi > 0).sum())  # of one multiply-add for every quantile of every active column
    forward = column * (inputs + outputs) + 2 * grad.numel() * outputs
    backward = column * (outputs * bool(learns) + (inputs + outputs) * (len(learns) > 1))
    return 4 * (read + back), forward + backward


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    cosines, width = (8, 32) if quick else (64, 256)
    for states, quantiles in ((16, 8),) if quick else ((256, 32), (128, 8)):
        args = (
            torch.randn(1, states, width, device=device).relu(),
            torch.rand(1, states, quantiles, device=device),
            torch.randn(1, cosines, width, device=device) / cosines**0.5,
            torch.zeros(1, width, device=device),
            torch.randn(1, width, width, device=device) / width**0.5,
            torch.zeros(1, width, device=device),
            torch.randn(1, width, device=device) / width**0.5,
        )
        grad = torch.randn(1, states, quantiles, device=device)
        for name, learns in PASSES.items():
            layers: dict[str, Callable[..., Tensor]] = {"implicit_quantiles": implicit_quantiles, "dense layers": dense}
            if not quick:
                layers["torch.compile of dense layers"] = torch.compile(dense, dynamic=False)
            rivals: dict[str, Call] = {rival: partial(run, f, args, learns, grad) for rival, f in layers.items()}
            if not quick:
                rivals["bfloat16"] = partial(run, partial(implicit_quantiles, bf16=True), args, learns, grad)
            title = f"{states} states x {quantiles} quantiles, width {width}, {name}"
            traffic, flops = count(args, learns, grad)
            yield Case(title, rivals, traffic=traffic, flops=flops, graph=True)
