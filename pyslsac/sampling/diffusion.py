"""Diffusion over actions: a variance-exploding schedule and its reverse chain.

Noise of level k has standard deviation σ_k, and p_k(x) = ∫ p(a) N(x; a, σ_k²) da. With the score φ(x, k) = ∇ log p_k(x)
one level's move takes a sample of p_k to one of p_(k-1), the better the smaller the gain σ_k² - σ_(k-1)² is. The
formulas are those of ALGD's released code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class NoiseLevels(NamedTuple):
    """The levels of noise, the weakest first."""

    sigma: tuple[float, ...]  # σ_k
    gain: tuple[float, ...]  # σ_k² - σ_(k-1)²; the first is σ_0²


def variance_exploding(levels: int = 5, weakest: float = 0.01, strongest: float = 1.0) -> NoiseLevels:
    """σ_k = weakest (strongest / weakest)^(k / (levels - 1)); a single level is the strongest. Defaults: ALGD's."""
    last = max(levels - 1, 1)
    sigma = tuple(strongest * (weakest / strongest) ** ((levels - 1 - k) / last) for k in range(levels))
    below = (0.0, *sigma[:-1])
    return NoiseLevels(sigma, tuple(here**2 - there**2 for here, there in zip(sigma, below, strict=True)))


def reverse(
    score: Callable[[Tensor, int], Tensor], noise: Tensor, levels: NoiseLevels, *, boxed: bool = False
) -> list[Tensor]:
    """The actions [R, B, A] after every level's move: element k after level k's, element 0 the chain's end.

    From x = z_0, for k = K - 1 .. 0, with z = noise [R, K, B, A] ~ N(0, 1), or zeros for the chain without noise:

        x <- x + gain_k φ(tanh x, k) + √gain_k z_k [k > 0],  action tanh x                      (ALGD: latent space)
        x <- x + gain_k within_box(x, φ(x, k), σ_k) + √gain_k σ_(k-1)/σ_k z_k [k > 0],  action x  (boxed: action space)

    The boxed noise is that of x at level k - 1 given x at level k and the action beneath both: few levels lead exactly
    to a law of one action, and to one narrower than a wide law. The other noise is the reverse equation's, which is
    exact for many levels; where there are few, the weak last ones cannot undo it. Differentiable through `score`.
    """
    x, path = noise[:, 0], []
    action = x if boxed else x.tanh()
    for k in reversed(range(len(levels.sigma))):
        pull, spread = score(action, k), levels.gain[k] ** 0.5
        if boxed:
            pull = within_box(x, pull, levels.sigma[k])
            spread *= levels.sigma[k - 1] / levels.sigma[k]
        x = torch.add(x, pull, alpha=levels.gain[k])
        if k:
            x = torch.add(x, noise[:, k], alpha=spread)
        action = x if boxed else x.tanh()
        path.append(action)
    return path[::-1]


def within_box(x: Tensor, score: Tensor, sigma: Tensor | float) -> Tensor:
    """The score nearest to `score` that a density on [-1, 1] can have under noise: its mean must lie in the box.

    E[a | x] = x + σ² φ (Tweedie), hence (clamp(x + σ² φ, -1, 1) - x) / σ². x and score [..., A]; sigma broadcasts.
    """
    variance = sigma**2
    return ((x + variance * score).clamp(-1.0, 1.0) - x) / variance
