"""The meaning of `reverse_chain`: level after level through a score perceptron in plain torch."""

import torch
from torch import Tensor

from pyslsac.ops.reference import describe, require
from pyslsac.ops.reference import perceptron as layers


def reverse_chain(
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
    """The actions after each level's move [K, R, B, A]; what enters φ, what it makes, and what derivatives need of it.

    All of it has the levels as its first axis, of which only the last level's is there without `keep`.
    """
    check(obs, noise, table, weights, biases, activations, gain, spread, bf16)
    x, path, seen = noise[:, 0], [noise[:, 0].tanh()], []
    for k in reversed(range(table.shape[1])):
        inputs = torch.cat([obs, path[-1], table[:, k : k + 1].expand(-1, obs.shape[1], -1)], -1)
        y, kept = layers.perceptron(inputs, weights, biases, activations, keep, True, bf16)
        x = x + gain[k] * y + (spread[k] * noise[:, k] if k else 0)
        path.append(x.tanh())
        seen.append((inputs, y, *kept))
    inputs, y, *kept = (torch.stack(each[::-1]) for each in zip(*seen[0 if keep else -1 :], strict=True))
    return torch.stack(path[:0:-1]), inputs, y, kept


def kept_of(weights: list[Tensor], activations: list[int]) -> list[Tensor]:
    """The weights of the layer behind each tensor in `kept`."""
    return [weights[i] for i, _ in layers.wanted(activations, True)]


def reverse_chain_backward(
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
    """The derivatives by table, and by weight, bias, weight, ..., given that by path[0]."""
    check_backward(grad, path, inputs, y, kept, table, weights, activations, gain, bf16)
    actions, rows = grad.shape[2], list[Tensor]()
    x, grads = grad * (1 - path[0].square()), list[Tensor]()  # by x after level 0's move
    for k in range(len(path)):
        seen = inputs[k], y[k], [tensor[k] for tensor in kept], weights, activations, actions + table.shape[2]
        by_inputs, made = layers.perceptron_backward(gain[k] * x, *seen, True, bf16)
        grads = [total + more for total, more in zip(grads, made, strict=True)] if k else made
        rows.append(by_inputs[:, :, actions:].sum(1))
        if k + 1 < len(path):
            x = x + by_inputs[:, :, :actions] * (1 - path[k + 1].square())
    return torch.stack(rows, 1), grads


def check(
    obs: Tensor,
    noise: Tensor,
    table: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    activations: list[int],
    gain: Tensor,
    spread: Tensor,
    bf16: int,
) -> None:
    """Raise RuntimeError as csrc/bind/reverse_chain.cpp does."""
    op = "reverse_chain"
    require(obs.is_floating_point() and obs.dim() == 3, op, "obs", obs, "[R, B, S]")
    require(noise.dim() == 4 and noise.shape[3] > 0, op, "noise", noise, "[R, K, B, A]")
    runs, batch, states = obs.shape
    check_score(op, obs, states, table, weights, activations, gain, noise.shape[3], bf16)
    layers.like(op, "obs", obs, obs, [table.shape[0], batch, states])
    layers.like(op, "noise", noise, obs, [runs, table.shape[1], batch, noise.shape[3]])
    fits = spread.dtype == gain.dtype and spread.shape == gain.shape and spread.device == gain.device
    require(fits and spread.is_contiguous(), op, "spread", spread, describe(gain) + ", contiguous")
    require(len(biases) == len(weights), op, "biases", len(biases), "one a layer")
    for weight, bias in zip(weights, biases, strict=True):
        layers.like(op, "biases", bias, obs, [table.shape[0], weight.shape[2]])


def check_score(
    op: str,
    like: Tensor,
    states: int,
    table: Tensor,
    weights: list[Tensor],
    activations: list[int],
    gain: Tensor,
    actions: int,
    bf16: int,
) -> None:
    require(0 < len(weights) <= layers.LAYERS, op, "weights", len(weights), f"1 to {layers.LAYERS} layers")
    check_table(op, table)
    layers.like(op, "table", table, like, list(table.shape))
    (runs, levels, embedding), first = table.shape, weights[0]
    if first.dim() != 3 or first.shape[0] != runs:
        require(False, op, "weights", first, f"[R, in, out] beside table, {describe(table)}")
    entering = like.new_empty(runs, 0, states + actions + embedding)
    layers.check(op, entering, weights, None, activations, bf16)
    if weights[-1].shape[-1] != actions:
        require(False, op, "weights", weights[-1], f"as many outputs as actions have columns, {actions}")
    fits = gain.device.type == "cpu" and gain.dtype == torch.float64 and gain.shape == (levels,)
    require(fits and gain.is_contiguous(), op, "gain", gain, f"float64 [{levels}] on cpu, contiguous")


def check_table(op: str, table: Tensor) -> None:
    require(table.dim() == 3 and table.shape[1] > 0, op, "table", table, "[R, K, E]")


def check_backward(
    grad: Tensor,
    path: Tensor,
    inputs: Tensor,
    y: Tensor,
    kept: list[Tensor],
    table: Tensor,
    weights: list[Tensor],
    activations: list[int],
    gain: Tensor,
    bf16: int,
) -> None:
    op = "reverse_chain_backward"
    require(grad.is_floating_point() and grad.dim() == 3 and grad.shape[2] > 0, op, "grad", grad, "[R, B, A]")
    require(inputs.dim() == 4, op, "inputs", inputs, "[K, R, B, S + A + E]")
    check_table(op, table)
    runs, batch, actions = grad.shape
    states = inputs.shape[3] - actions - table.shape[2]
    check_score(op, grad, states, table, weights, activations, gain, actions, bf16)
    slab = [table.shape[1], runs, batch]
    layers.like(op, "grad", grad, grad, [table.shape[0], batch, actions])
    for name, tensor, columns in (("path", path, actions), ("inputs", inputs, inputs.shape[3]), ("y", y, actions)):
        layers.like(op, name, tensor, grad, [*slab, columns])
    wanted = kept_of(weights, activations)
    require(len(kept) >= len(wanted), op, "kept", len(kept), "all that reverse_chain kept")
    for tensor, weight in zip(kept, wanted, strict=False):
        layers.like(op, "kept", tensor, grad, [*slab, weight.shape[2]])
