"""Diffusion over actions: a variance-exploding schedule and its reverse chain.

Noise of level k has standard deviation σ_k, and p_k(x) = ∫ p(a) N(x; a, σ_k²) da. With the score φ(x, k) = ∇ log p_k(x)
one level's move takes a sample of p_k to one of p_(k-1), the better the smaller the gain σ_k² - σ_(k-1)² is. The
formulas are those of ALGD's released code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


def reverse_perceptron(
    obs: Tensor, noise: Tensor, levels: NoiseLevels, table: Tensor, layers: Sequence[Tensor], compute: torch.dtype
) -> list[Tensor]:
    """`reverse` in latent space for a score that is a ReLU perceptron of [obs, action, table[level]].

    Differentiable by table [R, K, embedding] and layers, W [R, in, out] and b [R, out] in turn; only the last action
    carries a gradient. The first layer's share of obs and table is computed once a call and not once a level, and every
    weight's gradient is one product over all levels. Hidden layers are computed in `compute`.
    """
    action, path = _LatentChain.apply(obs, noise, levels, compute, table, *layers)
    return [action, *path.unbind(1)[1:]]


class _LatentChain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, obs: Tensor, noise: Tensor, levels: NoiseLevels, compute: torch.dtype, table: Tensor, *layers: Tensor
    ) -> tuple[Tensor, Tensor]:
        wide, widths = obs.dtype, (obs.shape[-1], noise.shape[-1], table.shape[-1])
        weights = [w.to(compute) for w in layers[:-2:2]] + [layers[-2]]
        biases = [b.to(compute).unsqueeze(1) for b in layers[1:-2:2]] + [layers[-1].unsqueeze(1)]
        of_obs, of_action, of_level = weights[0].split(widths, 1)
        base = torch.baddbmm(biases[0], obs.to(compute), of_obs)  # [R, B, W]
        shift = torch.bmm(table.to(compute), of_level)  # [R, K, W]
        x, path, kept = noise[:, 0], [], []
        action = x.tanh()
        for k in reversed(range(len(levels.sigma))):
            hidden = [(base + shift[:, k].unsqueeze(1)).baddbmm_(action.to(compute), of_action).relu_()]
            for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
                hidden.append(torch.baddbmm(bias, hidden[-1], weight).relu_())
            kept.append((action, *hidden))
            score = torch.baddbmm(biases[-1], hidden[-1].to(wide), weights[-1])
            x = torch.add(x, score, alpha=levels.gain[k])
            if k:
                x.add_(noise[:, k], alpha=levels.gain[k] ** 0.5)
            action = x.tanh()
            path.append(action)
        ctx.levels, ctx.kept, ctx.weights = levels, kept[::-1], (of_action, of_level, *weights[1:])
        ctx.save_for_backward(obs, table, action)
        stacked = torch.stack(path[::-1], 1)  # [R, K, B, A]
        ctx.mark_non_differentiable(stacked)
        return action, stacked

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (obs, table, action), (of_action, of_level, *weights) = ctx.saved_tensors, ctx.weights
        wide, slopes = grad.dtype, []
        grad = grad * (1 - action.square())  # by x after level k
        for k, (action, *hidden) in enumerate(ctx.kept):  # from the last move back to the first
            back = [grad * ctx.levels.gain[k]]
            for weight, h in zip(reversed(weights), reversed(hidden), strict=True):
                back.append(torch.ops.aten.threshold_backward(torch.bmm(back[-1], weight.mT).to(h.dtype), h, 0))
            slopes.append(back[::-1])  # by the sums of layer 1, ..., by the score
            if k + 1 < len(ctx.kept):
                grad = grad + torch.bmm(back[-1], of_action.mT).to(wide) * (1 - action.square())
        inputs, sums = ([torch.cat(parts, 1) for parts in zip(*each, strict=True)] for each in (ctx.kept, slopes))
        first = torch.stack([back[0].sum(1) for back in slopes], 1)  # [R, K, W]
        over_levels = torch.stack([back[0] for back in slopes]).sum(0)
        parts = (obs, over_levels), (inputs[0], sums[0]), (table, first)
        by_first = torch.cat([torch.bmm(x.to(of_level.dtype).mT, y) for x, y in parts], 1)
        grads = [by_first.to(wide), first.sum(1).to(wide)]
        for x, y in zip(inputs[1:], sums[1:], strict=True):
            grads += [torch.bmm(x.to(y.dtype).mT, y).to(wide), y.sum(1).to(wide)]
        return None, None, None, None, torch.bmm(first, of_level.mT).to(wide), *grads
