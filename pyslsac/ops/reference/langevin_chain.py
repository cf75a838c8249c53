"""A chain of Langevin moves up ensembles of Q-perceptrons in plain torch, gradients layer by layer."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pyslsac.ops.reference import describe, require, require_per_run
from pyslsac.ops.reference.langevin_step import check as check_move
from pyslsac.ops.reference.langevin_step import langevin_step_

OP = "langevin_chain"
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "mish": F.mish,
    "tanh": torch.tanh,
}
aten = torch.ops.aten
BACKWARD: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (  # (gradient by the value, argument)
    lambda grad, x: aten.threshold_backward(grad, x, 0),
    lambda grad, x: aten.silu_backward(grad, x),
    lambda grad, x: aten.gelu_backward(grad, x),
    lambda grad, x: aten.mish_backward(grad, x),
    lambda grad, x: grad * (1 - torch.tanh(x).square()),
)
REDUCES = ("mean", "sum", "min", "max", "pair_min_mean", "member")
Group = tuple[list[Tensor], list[Tensor], Tensor, int, int, Tensor, Tensor]  # weights .. member of one group


def check_schedule(name: str, value: Tensor, steps: int, like: Tensor) -> None:
    """Refuse what is neither one number nor [1 or K, 1 or R] beside `like`, of its dtype."""
    runs, ok = like.size(0), value.dtype == like.dtype and value.is_contiguous() and value.dim() == 2
    one = value.numel() == 1 and value.device.type == "cpu"
    ok = ok and value.size(0) in (1, steps) and value.size(1) in (1, runs) and (one or value.device == like.device)
    wanted = f"{describe(like).split()[0]} [1 or {steps}, 1 or {runs}] on {like.device.type}, contiguous"
    require(ok, OP, name, value, wanted)


def check_group(obs: Tensor, action: Tensor, group: Group, steps: int) -> None:
    """Refuse a group whose tensors do not fit each other, the observations or the actions."""
    weights, biases, step_bias, activation, reduce, coef, member = group
    require(len(weights) in (3, 4), OP, "layers", len(weights), "2 or 3 hidden layers and an output layer")
    require(0 <= activation < len(ACTIVATIONS), OP, "activations", activation, f"an index into {list(ACTIVATIONS)}")
    require(0 <= reduce < len(REDUCES), OP, "reduces", reduce, f"an index into {list(REDUCES)}")
    first = weights[0]
    require(first.dim() == 4 and first.size(1) > 0, OP, "weights", first, "[R, E, in, out]")
    members, width, inputs = first.size(1), first.size(3), obs.size(2) + action.size(2)
    require(
        REDUCES[reduce] != "pair_min_mean" or members % 2 == 0,
        OP,
        "members",
        members,
        "an even number of them in pairs",
    )
    hidden = len(weights) - 1
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        sizes = [action.size(0), members, width if layer else inputs, width if layer < hidden else 1]
        require_beside("weights", weight, sizes, obs)
        require_beside("biases", bias, sizes[:2] + sizes[3:], obs)
    if step_bias.numel():
        require_beside("step_biases", step_bias, [action.size(0), steps, members, width], obs)
    check_schedule("coefs", coef, steps, obs)
    require_per_run(OP, "members", member, action.size(0), obs, torch.int64)
    inside = member.device.type != "cpu" or bool(((member >= 0) & (member < members)).all())
    require(inside, OP, "members", member.tolist() if not inside else 0, f"numbers of {members} members")


def require_beside(name: str, tensor: Tensor, sizes: list[int], like: Tensor) -> None:
    fits = tensor.dtype == like.dtype and tensor.device == like.device and list(tensor.shape) == sizes
    wanted = f"{describe(like).split()[0]} {sizes} on {like.device.type}, contiguous"
    require(fits and tensor.is_contiguous(), OP, name, tensor, wanted)


def values_of(obs: Tensor, action: Tensor, group: Group, move: int, bf16: bool) -> tuple[Tensor, list[Tensor]]:
    """Q of a group's members [R, E, B] at `action`, and the sums that enter each hidden layer's activation.

    bf16: products between hidden layers in bfloat16.
    """
    weights, biases, step_bias, activation = group[:4]
    bias = biases[0] + step_bias[:, move] if step_bias.numel() else biases[0]
    sums = [torch.cat((obs, action), -1).unsqueeze(1) @ weights[0] + bias.unsqueeze(2)]  # [R, E, B, W]
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        hidden = list(ACTIVATIONS.values())[activation](sums[-1])
        sums.append(product(hidden, weight, bf16 and weight.size(3) > 1) + bias.unsqueeze(2))
    return sums.pop().squeeze(3), sums


def product(x: Tensor, y: Tensor, bf16: bool) -> Tensor:
    return (x.bfloat16() @ y.bfloat16()).to(x.dtype) if bf16 else x @ y


def reduce_weights(q: Tensor, reduce: str, member: Tensor) -> Tensor:
    """d reduce(Q) / dQ [R, E, B] of q [R, E, B]. At ties the first member counts."""
    if reduce in ("mean", "sum"):
        return torch.full_like(q, 1 / q.size(1) if reduce == "mean" else 1.0)
    if reduce == "member":
        chosen = member.to(q.device).reshape(-1, 1, 1).expand(q.size(0), 1, q.size(2))
    elif reduce == "pair_min_mean":
        pairs = q.unflatten(1, (-1, 2))  # [R, E / 2, 2, B]
        chosen = pairs.argmin(2, keepdim=True)
        return torch.zeros_like(pairs).scatter(2, chosen, 2 / q.size(1)).flatten(1, 2)
    else:
        chosen = q.argmin(1, keepdim=True) if reduce == "min" else q.argmax(1, keepdim=True)
    return torch.zeros_like(q).scatter(1, chosen, 1.0)


def check(
    obs: Tensor, action: Tensor, groups: list[Group], prior: list[Tensor], steps: int, numbers: dict[str, Tensor]
) -> None:
    """The checks of csrc/bind/langevin_chain.cpp beyond those of one move."""
    wide = obs.dtype in (torch.float32, torch.float64) and obs.dim() == 3 and obs.is_contiguous()
    require(wide, OP, "obs", obs, "float32 or float64 [R, B, S], contiguous")
    fits = action.dtype == obs.dtype and action.device == obs.device and action.shape[:-1] == obs.shape[:-1]
    require(fits and action.is_contiguous(), OP, "action", action, f"[R, B, A] beside obs, {describe(obs)}, contiguous")
    require(0 < len(groups) <= 8, OP, "groups", len(groups), "1 to 8 of them")
    require(steps > 0, OP, "steps", steps, "a positive number")
    for group in groups:
        check_group(obs, action, group, steps)
    for tensor in prior:
        require_beside("prior", tensor, list(action.shape), obs)
    for name, value in numbers.items():
        check_schedule(name, value, steps, obs)


def drift_at(obs: Tensor, action: Tensor, groups: list[Group], prior: list[Tensor], move: int, bf16: bool) -> Tensor:
    """The drift [R, B, A], before limits and scale: layer by layer back, so that it works below autograd too."""
    drift = (prior[0] - action) / prior[1].square() if prior else torch.zeros_like(action)
    for group in groups:
        weights, activation = group[0], group[3]
        q, sums = values_of(obs, action, group, move, bf16)
        coef = group[5].to(obs.device)[move if group[5].size(0) > 1 else 0].reshape(-1, 1, 1)  # [1 or R, 1, 1]
        grad = (coef * reduce_weights(q, REDUCES[group[4]], group[6])).unsqueeze(3)  # [R, E, B, 1]
        for weight, x in zip(reversed(weights[1:]), reversed(sums), strict=True):
            grad = BACKWARD[activation](product(grad, weight.mT, bf16 and weight.size(3) > 1), x)
        drift = drift + (grad @ weights[0][:, :, obs.size(2) :].mT).sum(1)
    return drift


def langevin_chain(
    obs: Tensor,
    action: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    step_biases: list[Tensor],
    layers: list[int],
    activations: list[int],
    reduces: list[int],
    coefs: list[Tensor],
    members: list[Tensor],
    prior: list[Tensor],
    steps: int,
    step_size: Tensor,
    temperature: Tensor,
    drift_scale: Tensor,
    normalize: bool,
    grad_cap: float,
    cap_per_run: bool,
    low: float,
    high: float,
    seed: Tensor,
    step: Tensor,
    stream: int,
    bf16: bool,
    drift_only: bool,
    path: bool,
    values: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """(the last action [R, B, A] or the first drift, path [R, K, B, A] or [0], values [R, M, B] or [0])."""
    ends = list(itertools.accumulate(layers))
    slices = [slice(end - n, end) for end, n in zip(ends, layers, strict=True)]
    parts = (step_biases, activations, reduces, coefs, members)
    groups: list[Group] = [(weights[s], biases[s], *rest) for s, *rest in zip(slices, *parts, strict=True)]
    numbers = {"step_size": step_size, "temperature": temperature, "drift_scale": drift_scale}
    check(obs, action, groups, prior, steps, numbers)
    check_move(action, action, normalize, grad_cap, low, high, stream, OP)
    require_per_run(OP, "seed", seed, action.size(0), action, torch.int64)
    require_per_run(OP, "step", step, 1, action, torch.int64)
    moved, after = action.clone(), []
    for k in range(steps):
        drift = drift_at(obs, moved, groups, prior, k, bf16)
        if drift_only:
            break
        eps, level, scale = (row.select(0, k if row.size(0) > 1 else 0) for row in numbers.values())
        limits = (normalize, grad_cap, cap_per_run, low, high)
        langevin_step_(moved, drift, eps, level, scale, *limits, seed, step.reshape(()) + k, stream)
        after.append(moved.clone())
    last = [values_of(obs, moved, group, steps - 1, bf16)[0] for group in groups] if values else []
    none = obs.new_empty(0)
    result = drift if drift_only else moved
    return result, torch.stack(after, 1) if path else none, torch.cat(last, 1) if values else none
