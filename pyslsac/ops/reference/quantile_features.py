"""The meaning of `quantile_features`: two dense layers in plain torch."""

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, matmul, require

DTYPES = (torch.float32, torch.float64)


def quantile_features(
    psi: Tensor,
    cosines: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    bf16: bool = False,
) -> Tensor:
    """ReLU((ReLU(psi) ⊙ ReLU(cosines phi_weight + phi_bias)) weight + bias) [G, B, N, H]."""
    check("quantile_features", psi, cosines, phi_weight, phi_bias, weight, bias)
    phi = layer(cosines.flatten(1, 2), phi_weight, phi_bias, bf16)  # [G, B N, K]
    joint = phi.view(*cosines.shape[:3], -1) * torch.relu(psi).unsqueeze(2)  # [G, B, N, K]
    return layer(joint.flatten(1, 2), weight, bias, bf16).view(*cosines.shape[:3], -1)


def layer(x: Tensor, weight: Tensor, bias: Tensor, bf16: bool) -> Tensor:
    return torch.relu(matmul(x, weight, bf16) + bias.unsqueeze(1))


def quantile_features_backward(
    grad: Tensor,
    features: Tensor,
    psi: Tensor,
    cosines: Tensor,
    phi_weight: Tensor,
    phi_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    weights: bool,
    bf16: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The derivatives by psi, phi_weight, phi_bias, weight and bias; without `weights` all but the first are empty."""
    op = "quantile_features_backward"
    check(op, psi, cosines, phi_weight, phi_bias, weight, bias)
    shape = [*cosines.shape[:3], weight.shape[2]]
    like(op, "features", features, psi, shape, "[G, B, N, H]")
    same = (grad.dtype, grad.device, grad.shape) == (features.dtype, features.device, features.shape)
    require(same and grad.is_contiguous(), op, "grad", grad, f"{describe(features)}, contiguous")
    active = torch.relu(psi)
    phi = layer(cosines.flatten(1, 2), phi_weight, phi_bias, bf16)  # [G, B N, K]
    sum_grad = torch.where(features <= 0, 0, grad).flatten(1, 2)  # [G, B N, H]
    joint_grad = matmul(sum_grad, weight.mT, bf16).view(*cosines.shape[:3], -1)  # [G, B, N, K]
    psi_grad = torch.where(psi <= 0, 0, (joint_grad * phi.view_as(joint_grad)).sum(2))
    if not weights:
        none = [psi.new_empty(0) for _ in range(4)]
        return psi_grad, none[0], none[1], none[2], none[3]
    joint = (phi.view_as(joint_grad) * active.unsqueeze(2)).flatten(1, 2)
    phi_grad = torch.where(phi <= 0, 0, (joint_grad * active.unsqueeze(2)).flatten(1, 2))
    return (
        psi_grad,
        matmul(cosines.flatten(1, 2).mT, phi_grad, bf16),
        phi_grad.sum(1),
        matmul(joint.mT, sum_grad, bf16),
        sum_grad.sum(1),
    )


def check(
    op: str, psi: Tensor, cosines: Tensor, phi_weight: Tensor, phi_bias: Tensor, weight: Tensor, bias: Tensor
) -> None:
    """Raise RuntimeError as csrc/bind/quantile_features.cpp does (the reference takes every floating dtype)."""
    typed = psi.is_floating_point() and psi.dim() == 3
    require(typed, op, "psi", psi, "float32 or float64 [G, B, K], contiguous")
    runs, batch, width = psi.shape
    like(op, "psi", psi, psi, [runs, batch, width], "[G, B, K]")
    like(op, "cosines", cosines, psi, [runs, batch, None, None], "[G, B, N, C]")
    like(op, "phi_weight", phi_weight, psi, [runs, cosines.shape[3], width], "[G, C, K]")
    like(op, "phi_bias", phi_bias, psi, [runs, width], "[G, K]")
    like(op, "weight", weight, psi, [runs, width, None], "[G, K, H]")
    like(op, "bias", bias, psi, [runs, weight.shape[2]], "[G, H]")


def like(op: str, argument: str, tensor: Tensor, psi: Tensor, shape: list[int | None], axes: str) -> None:
    fits = (tensor.dtype, tensor.device) == (psi.dtype, psi.device) and tensor.is_contiguous()
    fits = fits and tensor.dim() == len(shape)
    fits = fits and all(size in (None, came) for came, size in zip(tensor.shape, shape, strict=True))
    require(fits, op, argument, tensor, f"{axes}, contiguous, beside psi: {describe(psi)}")
