"""The meaning of `implicit_quantiles`: three dense layers in plain torch, and what their derivatives are made of."""

import math

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, matmul, require

DTYPES = (torch.float32, torch.float64)


def implicit_quantiles(
    psi: Tensor,
    tau: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    head: Tensor,
    keep: bool = False,
    bf16: bool = False,
) -> tuple[Tensor, Tensor]:
    """ReLU((ReLU(psi) ⊙ ReLU(cosines phi_weight + phi_bias)) weight + bias) head [G, B, N], and with `keep` which of
    these features are above zero, int32 [G, B, N, ceil(H / 32)]: feature h is bit h % 32 of number h // 32. The cosines
    are those of `embedded`."""
    check("implicit_quantiles", psi, tau, phi_weight, phi_bias, weight)
    like("implicit_quantiles", "bias", bias, psi, [psi.shape[0], weight.shape[2]], "[G, H]")
    like("implicit_quantiles", "head", head, psi, [psi.shape[0], weight.shape[2]], "[G, H]")
    shape = tau.shape
    phi = layer(embedded(tau, phi_weight.shape[1]).flatten(1, 2), phi_weight, phi_bias, bf16)  # [G, B N, K]
    joint = phi.view(*shape, -1) * torch.relu(psi).unsqueeze(2)  # [G, B, N, K]
    features = layer(joint.flatten(1, 2), weight, bias, bf16)  # [G, B N, H]
    quantiles = (features @ head.unsqueeze(2)).view(shape)
    return quantiles, packed(features.view(*shape, -1)) if keep else psi.new_empty(*shape, 0, dtype=torch.int32)


def embedded(tau: Tensor, count: int) -> Tensor:
    """cos(pi i tau) [..., count], i = 0 .. count - 1."""
    return ((math.pi * tau).unsqueeze(-1) * torch.arange(count, dtype=tau.dtype, device=tau.device)).cos_()


def layer(x: Tensor, weight: Tensor, bias: Tensor, bf16: bool) -> Tensor:
    return torch.relu(matmul(x, weight, bf16) + bias.unsqueeze(1))


def packed(features: Tensor) -> Tensor:
    """A bit for each feature [..., H] that is not <= 0: int32 [..., ceil(H / 32)]."""
    padded = torch.nn.functional.pad(~(features <= 0), (0, -features.shape[-1] % 32))
    bits = torch.arange(32, device=features.device)
    return (padded.unflatten(-1, (padded.shape[-1] // 32, 32)).long() << bits).sum(-1).to(torch.int32)


def unpacked(active: Tensor, count: int) -> Tensor:
    """What `packed` was given, as booleans [..., count]."""
    bits = active.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32, device=active.device) & 1
    return bits.flatten(-2)[..., :count].bool()


def implicit_quantiles_backward(
    grad: Tensor,
    active: Tensor,
    psi: Tensor,
    tau: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    weights: bool,
    bf16: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The derivatives by psi, phi_weight and phi_bias, where `weight` is weight ⊙ head; and those by weight and bias
    as if head were 1. Without `weights` all but the first are empty."""
    op, shape = "implicit_quantiles_backward", [*tau.shape]
    check(op, psi, tau, phi_weight, phi_bias, weight)
    like(op, "grad", grad, psi, [*shape], "[G, B, N]")
    words = [*shape, -(-weight.shape[2] // 32)]
    fits = (active.dtype, active.device, [*active.shape]) == (torch.int32, psi.device, words) and active.is_contiguous()
    wanted = f"int32 [G, B, N, ceil(H / 32)], contiguous, beside psi: {describe(psi)}"
    require(fits, op, "active", active, wanted)
    positive = torch.relu(psi).unsqueeze(2)
    above, by_row = unpacked(active, weight.shape[2]).flatten(1, 2).to(psi), grad.flatten(1).unsqueeze(2)  # [G, B N, .]
    cosines = embedded(tau, phi_weight.shape[1]).flatten(1, 2)  # [G, B N, C]
    phi = layer(cosines, phi_weight, phi_bias, bf16)  # [G, B N, K]
    joint_grad = (matmul(above, weight.mT, bf16) * by_row).view(*shape, -1)  # [G, B, N, K]
    psi_grad = torch.where(psi <= 0, 0, (joint_grad * phi.view_as(joint_grad)).sum(2))
    if not weights:
        none = [psi.new_empty(0) for _ in range(4)]
        return psi_grad, none[0], none[1], none[2], none[3]
    joint = (phi.view_as(joint_grad) * positive).flatten(1, 2)
    phi_grad = torch.where(phi <= 0, 0, (joint_grad * positive).flatten(1, 2))
    return (
        psi_grad,
        matmul(cosines.mT, phi_grad, bf16),
        phi_grad.sum(1),
        matmul((joint * by_row).mT, above, bf16),
        (above * by_row).sum(1),
    )


def check(op: str, psi: Tensor, tau: Tensor, phi_weight: Tensor, phi_bias: Tensor, weight: Tensor) -> None:
    """Raise RuntimeError as csrc/bind/implicit_quantiles.cpp does (the reference takes every floating dtype)."""
    typed = psi.is_floating_point() and psi.dim() == 3
    require(typed, op, "psi", psi, "float32 or float64 [G, B, K], contiguous")
    runs, batch, width = psi.shape
    like(op, "psi", psi, psi, [runs, batch, width], "[G, B, K]")
    like(op, "tau", tau, psi, [runs, batch, None], "[G, B, N]")
    like(op, "phi_weight", phi_weight, psi, [runs, None, width], "[G, C, K]")
    like(op, "phi_bias", phi_bias, psi, [runs, width], "[G, K]")
    like(op, "weight", weight, psi, [runs, width, None], "[G, K, H]")


def like(op: str, argument: str, tensor: Tensor, psi: Tensor, shape: list[int | None], axes: str) -> None:
    fits = (tensor.dtype, tensor.device) == (psi.dtype, psi.device) and tensor.is_contiguous()
    fits = fits and tensor.dim() == len(shape)
    fits = fits and all(size in (None, came) for came, size in zip(tensor.shape, shape, strict=True))
    require(fits, op, argument, tensor, f"{axes}, contiguous, beside psi: {describe(psi)}")
