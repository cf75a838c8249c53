"""What a score network learns: noisy actions, samples around them, and scores of energies by Monte Carlo (iDEM).

The score of p_σ(x) = ∫ p(a) N(x; a, σ²) da with p ∝ exp(-L / temperature) is the mean of -∇L(a) / temperature over the
law of a given x, which samples a_i ~ N(x, σ²) have when weighted by exp(-L(a_i) / temperature) (Akhound-Sadegh et al.
2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyslsac.sampling.diffusion import within_box


class DiffusionDraws(NamedTuple):
    """Every random number of one update of a diffusion policy, so that two implementations can share them."""

    next_chain: Tensor  # [R, K, B, A] standard normals of the chain at s': row 0 its start, row k the noise of level k
    chain: Tensor  # [R, K, B, A] the same of the chain at s
    level: Tensor  # [R, B] int64, the level at which a row's score is learned
    forward: Tensor  # [R, B, A] standard normals, the forward noise (boxed)
    samples: Tensor  # [R, B, n, A] standard normals, or uniforms (boxed), behind the samples of the target


def score_points(path: Sequence[Tensor], draws: DiffusionDraws, sigma: Tensor, boxed: bool) -> tuple[Tensor, Tensor]:
    """Noisy actions x [R, B, A], and n samples around each of the target, ~ N(x, σ²) [R, B, n, A].

    x is the action of the chain itself after the row's level, as ALGD has it; boxed: the action at the chain's end
    under forward noise, with samples that lie in the box. path: as `reverse` has it; sigma: of each row [R, B, 1].
    """
    if boxed:
        noisy = path[0].detach() + sigma * draws.forward
        return noisy, truncated_normal(noisy.unsqueeze(2), sigma.unsqueeze(2), draws.samples)
    level = draws.level[..., None, None].expand(-1, -1, 1, path[0].shape[-1])
    noisy = torch.stack([action.detach() for action in path], 2).gather(2, level)  # [R, B, 1, A]
    return noisy.squeeze(2), noisy + sigma.unsqueeze(2) * draws.samples


def score_target(energy: Tensor, grad: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """φ* = -1/temperature Σ_i w_i ∇L_i, w = softmax_i(-L_i / temperature): scores [..., A] of exp(-L / temperature).

    energy [..., n] and its gradients [..., n, A] at a_i ~ N(x, σ²): φ* estimates the score of p_σ at x, with a bias of
    order 1 / n. temperature: a number, or as energy with an axis of length 1 for n.
    """
    weight = torch.softmax(-energy / temperature, -1).unsqueeze(-1)  # [..., n, 1]
    return -(weight * grad).sum(-2) / temperature


def boxed_score_target(
    x: Tensor, sigma: Tensor, samples: Tensor, energy: Tensor, grad: Tensor, temperature: float
) -> Tensor:
    """φ* [R, B, A] at noisy x [R, B, A] of exp(-L / T) on [-1, 1], T being `temperature` mean magnitudes of ∇L.

    Two estimates aim at it: -Σ_i w_i ∇L_i / T, exact where σ is small, and (Σ_i w_i a_i - x) / σ², better where σ is
    large (Tweedie). They are mixed by temperature² : σ², the first held to the box. A run's T is measured on its
    samples, so that the scale of Q no longer matters. sigma [R, B, 1]; samples, grad [R, B, n, A]; energy [R, B, n].
    """
    scale = temperature * grad.abs().mean((1, 2, 3)).view(-1, 1, 1)
    by_gradient = within_box(x, score_target(energy, grad, scale), sigma)
    weight = torch.softmax(-energy / scale, -1).unsqueeze(-1)
    by_samples = ((weight * samples).sum(-2) - x) / sigma.square()
    return torch.lerp(by_samples, by_gradient, temperature**2 / (temperature**2 + sigma.square()))


def truncated_normal(mean: Tensor, std: Tensor, uniform: Tensor) -> Tensor:
    """Samples of N(mean, std²) given that they lie in [-1, 1], by the inverse of its distribution function.

    uniform: on (0, 1), shaped as the result; mean and std broadcast to it. What lies left of 0 is mirrored, for the
    normal's lower tail is the one that floating point resolves.
    """
    low, high = (torch.special.ndtr((edge - mean.abs()) / std) for edge in (-1.0, 1.0))
    limits = torch.finfo(uniform.dtype)
    share = (low + uniform * (high - low)).clamp(limits.tiny, 1 - limits.eps)
    inside = (mean.abs() + std * torch.special.ndtri(share)).clamp(-1.0, 1.0)
    return torch.where(mean < 0, -inside, inside)
