"""The reverse chain of a diffusion policy as one node of the graph: all levels in one call, forward and back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.perceptron import is_compiled, kinds_of
from pyslsac.ops.reference import reverse_chain as reference


def _fake(
    obs: Tensor,
    noise: Tensor,
    table: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    activations: list[int],
    gain: Tensor,
    spread: Tensor,
    keep: bool,
    bf16: int = 0,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    runs, levels, batch, actions = noise.shape
    path, inputs, y = (
        obs.new_empty(slabs, runs, batch, columns)
        for slabs, columns in ((levels, actions), (levels if keep else 1, weights[0].shape[1]), (levels, actions))
    )
    kept = [obs.new_empty(levels, runs, batch, w.shape[2]) for w in reference.kept_of(weights, activations) if keep]
    return path, inputs, y if keep else y[:1], kept


def _fake_backward(
    grad: Tensor,
    path: Tensor,
    inputs: Tensor,
    y: Tensor,
    kept: list[Tensor],
    table: Tensor,
    weights: list[Tensor],
    activations: list[int],
    gain: Tensor,
    bf16: int = 0,
) -> tuple[Tensor, list[Tensor]]:
    pairs = ((torch.empty_like(w), w.new_empty(w.shape[0], w.shape[2])) for w in weights)
    return torch.empty_like(table), [made for pair in pairs for made in pair]


_forward = _library.define(
    "reverse_chain(Tensor obs, Tensor noise, Tensor table, Tensor[] weights, Tensor[] biases, int[] activations, "
    "Tensor gain, Tensor spread, bool keep, int bf16=0) -> (Tensor, Tensor, Tensor, Tensor[])",
    reference.reverse_chain,
    _fake,
)
_backward = _library.define(
    "reverse_chain_backward(Tensor grad, Tensor path, Tensor inputs, Tensor y, Tensor[] kept, Tensor table, "
    "Tensor[] weights, int[] activations, Tensor gain, int bf16=0) -> (Tensor, Tensor[])",
    reference.reverse_chain_backward,
    _fake_backward,
)


class _ReverseChain(torch.autograd.Function):
    """The op's two halves; the actions of the path take no gradient but for the last."""

    @staticmethod
    def forward(ctx: Any, bf16: int, kinds: list[int], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        obs, noise, gain, spread, table, *params = tensors
        weights, op = params[::2], _forward if is_compiled(obs, bf16) else reference.reverse_chain
        path, *seen, kept = op(obs, noise, table, weights, params[1::2], kinds, gain, spread, True, bf16)
        ctx.bf16, ctx.kinds = bf16, kinds
        ctx.save_for_backward(gain, table, path, *seen, *weights, *kept)
        ctx.mark_non_differentiable(path)
        return path[0].clone(), path

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gain, table, *seen = ctx.saved_tensors
        (path, inputs, y), weights, kept = seen[:3], seen[3 : 3 + len(ctx.kinds)], seen[3 + len(ctx.kinds) :]
        op = _backward if is_compiled(path, ctx.bf16) else reference.reverse_chain_backward
        table_grad, grads = op(grad.contiguous(), path, inputs, y, kept, table, weights, ctx.kinds, gain, ctx.bf16)
        return *[None] * 6, table_grad, *grads


def reverse_chain(
    obs: Tensor,
    noise: Tensor,
    table: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    activations: Sequence[str | None],
    gain: Tensor,
    spread: Tensor,
    bf16: int = 0,
) -> tuple[Tensor, Tensor]:
    """K moves of a policy led by a score network φ, x <- x + gain_k φ([obs, tanh x, table_k]) + spread_k z_k [k > 0].

    From x = z_0, for k = K - 1 .. 0; the action of an x is tanh x. The chain of ALGD's released code. Returns the last
    actions [R, B, A] and, without gradients, those after each level's move [K, R, B, A], element 0 the last.

    obs [R, B, S]; noise z [R, K, B, A], of which row 0 is the start and row k the noise of level k; table [R, K, E],
    what stands for a level; weights [R, in, out] and biases [R, out] of φ's 1 to 8 layers from S + A + E columns to A,
    with activations and `bf16` as `perceptron` has them. gain, spread: float64 [K] on the CPU, read when
    called, of a captured graph when captured. All
    else of one floating dtype (RuntimeError where something does not fit).

    Derivatives go to table, weights and biases, through the whole chain; obs and noise take none, and there is no
    second derivative. On the CPU in float32 a block of rows goes through all levels, and a weight's gradient is summed
    over them in place, in a fixed order: neither threads nor other runs change a run's numbers. Other dtypes, and
    bfloat16 on CUDA, run on the reference.
    """
    kinds = kinds_of("reverse_chain", table, weights, biases, activations)
    obs, noise, table = obs.detach().contiguous(), noise.detach().contiguous(), table.contiguous()
    params = [p.contiguous() for pair in zip(weights, biases, strict=True) for p in pair]
    if torch.is_grad_enabled() and any(t.requires_grad for t in (table, *params)):
        return _ReverseChain.apply(bf16, kinds, obs, noise, gain, spread, table, *params)
    op = _forward if is_compiled(obs, bf16) else reference.reverse_chain
    path = op(obs, noise, table, params[::2], params[1::2], kinds, gain, spread, False, bf16)[0]
    return path[0].clone(), path
