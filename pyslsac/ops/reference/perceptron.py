"""The meaning of `perceptron`: batched matrix products in plain torch."""

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, matmul, require
from pyslsac.ops.reference.langevin_chain import ACTIVATIONS, BACKWARD

LAYERS = 8  # at most
FUNCTIONS = tuple(ACTIVATIONS.values())


def perceptron(
    x: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    activations: list[int],
    keep: bool,
    learned: bool = True,
    bf16: int = 0,
) -> tuple[Tensor, list[Tensor]]:
    """y [G, B, out], and with `keep` what the derivatives need, in the order of the layers: see `wanted`.

    The first `bf16` layers multiply in bfloat16. ReLU is done in place on the product and found again in its value; of
    other activations the argument is kept too. learned: derivatives by the parameters may be asked for.
    """
    check("perceptron", x, weights, biases, activations, bf16)
    x = spread(x, weights)
    kept: list[Tensor] = []
    for layer, (weight, bias, kind) in enumerate(zip(weights, biases, activations, strict=True)):
        z = product(x, weight, layer < bf16).add_(bias.unsqueeze(1))
        x = z if kind < 0 else z.relu_() if kind == 0 else FUNCTIONS[kind](z)
        if keep:
            kept += [x] * (layer + 1 < len(weights)) + [z] * (kind > 0)
    pairs = zip(kept, wanted(activations, learned), strict=keep)
    return x, [tensor if some else x.new_empty(0) for tensor, (_, some) in pairs]


def wanted(activations: list[int], learned: bool) -> list[tuple[int, bool]]:
    """The layer of each tensor in `kept`, and whether it is there: of no elements it is where nothing needs it.

    Each layer has its value there, but for the last one, whose value is y, and behind it its activation's argument (the
    compiled op: slope), but for None and ReLU. Where nothing is learned no value is needed but a ReLU's.
    """
    last = len(activations) - 1
    values = [[(i, learned or kind == 0)] if i < last else [] for i, kind in enumerate(activations)]
    return [one for i, value in enumerate(values) for one in [*value, *[(i, True)] * (activations[i] > 0)]]


def perceptron_backward(
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
    """The derivatives by the last `input` columns of each network's own x, and by weight, bias, weight, ..."""
    check_backward(grad, x, y, kept, weights, activations, learned, bf16)
    require(0 <= input <= x.shape[2], "perceptron_backward", "input", input, f"at most x's columns, {x.shape[2]}")
    outs, arguments = unpack(y, kept, activations)
    inputs, grads = [spread(x, weights), *outs[:-1]], list[Tensor]()
    for layer in reversed(range(len(weights))):
        if (kind := activations[layer]) >= 0:
            grad = BACKWARD[kind](grad, outs[layer] if kind == 0 else arguments[layer])
        if learned:
            grads = [weight_grad(inputs[layer], grad, layer < bf16), grad.sum(1), *grads]
        if layer or input:
            weight = weights[layer] if layer else weights[0][:, x.shape[2] - input :]
            grad = matmul(grad, weight.mT, layer < bf16) if grad.shape[-1] > 1 else grad * weight.mT
    return grad if input else grad.new_empty(*grad.shape[:2], 0), grads


def spread(x: Tensor, weights: list[Tensor]) -> Tensor:
    """x for each network [G, B, in]."""
    return x.repeat_interleave(weights[0].shape[0] // x.shape[0], 0) if x.shape[0] != weights[0].shape[0] else x


def product(left: Tensor, right: Tensor, bf16: bool) -> Tensor:
    """left @ right; one column is a product and a sum, of which CPUs make less work than of a matrix product."""
    return matmul(left, right, bf16) if right.shape[-1] > 1 else (left * right.mT).sum(-1, keepdim=True)


def weight_grad(left: Tensor, grad: Tensor, bf16: bool) -> Tensor:
    """left^T grad, contiguous."""
    return matmul(left.mT, grad, bf16) if grad.shape[-1] > 1 else torch.bmm(grad.mT, left).mT.contiguous()


def unpack(y: Tensor, kept: list[Tensor], activations: list[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Each layer's values, and its activation's arguments (y stands in where these are not kept)."""
    rest, last = iter(kept), len(activations) - 1
    pairs = [(next(rest) if i < last else y, next(rest) if kind > 0 else y) for i, kind in enumerate(activations)]
    return [value for value, _ in pairs], [argument for _, argument in pairs]


def check(
    op: str, x: Tensor, weights: list[Tensor], biases: list[Tensor] | None, activations: list[int], bf16: int
) -> None:
    """Raise RuntimeError as csrc/bind/perceptron.cpp does (the reference takes every floating dtype and device)."""
    require(0 < len(weights) <= LAYERS, op, "weights", len(weights), f"1 to {LAYERS} layers")
    require(len(activations) == len(weights), op, "activations", len(activations), "one a layer")
    require(0 <= bf16 <= len(weights), op, "bf16", bf16, "at most as many as there are layers")
    require(x.is_floating_point() and x.dim() == 3 and x.shape[2] > 0, op, "x", x, "[G / shared, B, in]")
    first = weights[0]
    if first.dim() != 3 or x.shape[0] == 0 or first.shape[0] % x.shape[0]:
        wanted = f"[G, in, out], G a multiple of x's first axis, {describe(x)}"
        require(False, op, "weights", first, wanted)
    like(op, "x", x, x, list(x.shape))
    width = x.shape[2]
    for weight, kind in zip(weights, activations, strict=True):
        require(weight.dim() == 3 and weight.shape[2] > 0, op, "weights", weight, "[G, in, out]")
        require(-1 <= kind < len(FUNCTIONS), op, "activations", kind, f"-1 or an index below {len(FUNCTIONS)}")
        like(op, "weights", weight, x, [first.shape[0], width, weight.shape[2]])
        width = weight.shape[2]
    if biases is not None:
        require(len(biases) == len(weights), op, "biases", len(biases), "one a layer")
        for weight, bias in zip(weights, biases, strict=True):
            like(op, "biases", bias, x, [first.shape[0], weight.shape[2]])


def check_backward(
    grad: Tensor,
    x: Tensor,
    y: Tensor,
    kept: list[Tensor],
    weights: list[Tensor],
    activations: list[int],
    learned: bool,
    bf16: int,
) -> None:
    op = "perceptron_backward"
    check(op, x, weights, None, activations, bf16)
    outs = [[weight.shape[0], x.shape[1], weight.shape[2]] for weight in weights]
    like(op, "grad", grad, x, outs[-1])
    like(op, "y", y, x, outs[-1])
    layers = wanted(activations, learned)
    require(len(kept) >= len(layers), op, "kept", len(kept), "all that perceptron kept")
    for tensor, (layer, some) in zip(kept, layers, strict=False):
        if some:
            like(op, "kept", tensor, x, outs[layer])


def like(op: str, argument: str, tensor: Tensor, x: Tensor, shape: list[int]) -> None:
    fits = tensor.dtype == x.dtype and tensor.device == x.device and list(tensor.shape) == shape
    if not (fits and tensor.is_contiguous()):
        require(False, op, argument, tensor, f"{describe(x).split()[0]} {shape} on {x.device.type}, contiguous")
