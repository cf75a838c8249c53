"""Stacks of perceptrons as one node of the graph: every layer of every network in one call, forward and back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyslsac.ops import _library
from pyslsac.ops.reference import describe
from pyslsac.ops.reference import perceptron as reference
from pyslsac.ops.reference.langevin_chain import ACTIVATIONS

KINDS: dict[str | None, int] = {None: -1} | {name: kind for kind, name in enumerate(ACTIVATIONS)}


def _fake(
    x: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    activations: list[int],
    keep: bool,
    learned: bool = True,
    bf16: int = 0,
) -> tuple[Tensor, list[Tensor]]:
    outs = [x.new_empty(weight.shape[0], x.shape[1], weight.shape[2]) for weight in weights]
    wanted = reference.wanted(activations, learned)
    kept = [torch.empty_like(outs[i]) if some else x.new_empty(0) for i, some in wanted]
    return outs[-1], kept if keep else []


def _fake_backward(
    grad: Tensor,
    x: Tensor,
    y: Tensor,
    kept: list[Tensor],
    weights: list[Tensor],
    activations: list[int],
    input: int,
    learned: bool,
    bf16: int = 0,
) -> tuple[Tensor, list[Tensor]]:
    pairs = ((torch.empty_like(w), w.new_empty(w.shape[0], w.shape[2])) for w in weights if learned)
    return x.new_empty(*grad.shape[:2], input), [made for pair in pairs for made in pair]


_forward = _library.define(
    "perceptron(Tensor x, Tensor[] weights, Tensor[] biases, int[] activations, bool keep, bool learned=True, "
    "int bf16=0) -> (Tensor, Tensor[])",
    reference.perceptron,
    _fake,
)
_backward = _library.define(
    "perceptron_backward(Tensor grad, Tensor x, Tensor y, Tensor[] kept, Tensor[] weights, int[] activations, "
    "int input, bool learned, int bf16=0) -> (Tensor, Tensor[])",
    reference.perceptron_backward,
    _fake_backward,
)


class _Perceptron(torch.autograd.Function):
    """The op's two halves, between tensors of the callers' shapes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, given: Tensor | None, kinds: list[int], bf16: int, *params: Tensor) -> Tensor:
        rows, weights, biases = _flat(_joined(given, x), *params)
        op = _forward if is_compiled(x, bf16) else reference.perceptron
        y, kept = op(rows, weights, biases, kinds, True, any(ctx.needs_input_grad[4:]), bf16)
        ctx.kinds, ctx.bf16, ctx.shapes = kinds, bf16, [x.shape, *(p.shape for p in params)]
        ctx.save_for_backward(rows, y, *weights, *kept)
        return y.view(*params[0].shape[:-2], *y.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *saved = ctx.saved_tensors
        layers, (input, _, _, _, *needed), (mine, *shapes) = len(ctx.kinds), ctx.needs_input_grad, ctx.shapes
        op = _backward if is_compiled(x, ctx.bf16) else reference.perceptron_backward
        args = grad.reshape(y.shape).contiguous(), x, y, saved[layers:], saved[:layers], ctx.kinds
        x_grad, grads = op(*args, mine[-1] if input else 0, any(needed), ctx.bf16)
        if input and len(x_grad) != len(x):
            x_grad = x_grad.view(len(x), len(x_grad) // len(x), *x_grad.shape[1:]).sum(1)
        shaped = (g.view(shape) for g, shape in zip(grads, shapes, strict=True)) if grads else [None] * len(needed)
        return x_grad.view(mine) if input else None, None, None, None, *shaped


def _fits_before(given: Tensor, x: Tensor) -> bool:
    alike = given.shape[:-1] == x.shape[:-1] and given.dtype == x.dtype and given.device == x.device
    return alike and not (given.requires_grad and torch.is_grad_enabled())


def _joined(given: Tensor | None, x: Tensor) -> Tensor:
    return x if given is None else torch.cat([given, x], dim=-1)


def is_compiled(x: Tensor, bf16: int) -> bool:
    return x.dtype == torch.float32 and not (bf16 and x.is_cuda)


def kinds_of(
    op: str, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], activations: Sequence[str | None]
) -> list[int]:
    """The activations as the op takes them, where number, names and leading axes fit."""
    members, axes = (weights[0].shape[:-2] if weights else x.shape[:-2]), x.shape[:-2]
    if members[: len(axes)] != axes or any(weight.shape[:-2] != members for weight in weights):
        came = ", ".join(map(describe, weights))
        raise RuntimeError(f"{op}: weights is {came}; wanted [*members, in, out] beside {describe(x)}")
    if len(biases) != len(weights):
        raise RuntimeError(f"{op}: biases is {len(biases)}; wanted one a layer")
    if unknown := [name for name in activations if name not in KINDS]:
        raise RuntimeError(f"{op}: activations is {unknown[0]!r}; wanted None or one of {list(ACTIVATIONS)}")
    return [KINDS[name] for name in activations]


def _flat(x: Tensor, *params: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """x [G / E, B, in], weights [G, in, out] and biases [G, out] of what has any number of axes before."""
    return _led(x, 2), [_led(weight, 2) for weight in params[::2]], [_led(bias, 1) for bias in params[1::2]]


def _led(tensor: Tensor, axes: int) -> Tensor:
    """The tensor with one axis before its last `axes`."""
    more = tensor.dim() - axes
    return tensor if more == 1 else tensor.flatten(0, more - 1) if more > 1 else tensor.unsqueeze(0)


def perceptron(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    activations: Sequence[str | None],
    given: Tensor | None = None,
    bf16: int = 0,
) -> Tensor:
    """Perceptrons of one shape, layer after layer x <- activation(x W + b): y [*members, B, out].

    weights [*members, in, out] and biases [*members, out] of 1 to 8 layers, an activation a layer: "relu", "silu",
    "gelu", "mish", "tanh" or None. x [*members, B, in], or with fewer of the last members' axes: those networks share
    their input. given [as x but for the last axis]: columns before those of x that take no gradient, such as
    observations before actions; no work goes into one. All of one floating dtype (RuntimeError where something does
    not fit, and where `given` wants a gradient).

    bf16: how many layers, the first, multiply in bfloat16: both factors of each product are rounded to it, there and
    back, and its sums are float32, as everything else is. A layer with one output is never rounded. Matrix tiles (AMX)
    or instructions do it where the processor has them.

    In float32 on the CPU a block of rows goes through all layers while it is in the cache, there and back; on CUDA the
    products are torch's, with passes between them; other dtypes, and bfloat16 on CUDA, run on the reference. Only the
    gradients that are asked for are made, but those of the parameters together. No second derivative. On the CPU the
    sums of a network's gradients have a fixed order, so that neither threads nor the networks beside it change its
    numbers.
    """
    kinds = kinds_of("perceptron", x, weights, biases, activations)
    if given is not None and not _fits_before(given, x):
        came = describe(given) + " with a gradient" * given.requires_grad
        raise RuntimeError(f"perceptron: given is {came}; wanted {describe(x)} but for the last axis, and no gradient")
    x, params = x.contiguous(), [p.contiguous() for pair in zip(weights, biases, strict=True) for p in pair]
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *params)):
        return _Perceptron.apply(x, given, kinds, bf16, *params)
    op = _forward if is_compiled(x, bf16) else reference.perceptron
    y, _ = op(*_flat(_joined(given, x), *params), kinds, False, False, bf16)
    return y.view(*params[0].shape[:-2], *y.shape[1:])
