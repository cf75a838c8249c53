"""perceptron against the same layers in batched products, eager and compiled, and against networks one by one.

The passes of critics that learn (forward and backward), of critics that only hand a gradient on to the action (backward
to x alone) and of targets (forward alone): two critics and ten, of two hidden layers and one output, all on one input;
and two that judge many actions of a state, whose rows differ in their last columns alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import perceptron

PASSES = {  # do x and the parameters learn?
    "forward": (False, False),
    "forward + backward": (False, True),
    "forward + backward to x alone": (True, False),
}
NAMES = ("relu", "relu", None)


def ours(x: Tensor, params: Sequence[Tensor], bf16: int = 0) -> Tensor:
    return perceptron(x, params[::2], params[1::2], NAMES, bf16=bf16)


def batched(x: Tensor, params: Sequence[Tensor]) -> Tensor:
    """The layers of all networks at once, as stacks of critics are written."""
    x = x.expand(len(params[0]), -1, -1)
    for weight, bias, name in zip(params[::2], params[1::2], NAMES, strict=True):
        x = torch.baddbmm(bias.unsqueeze(1), x, weight)
        x = torch.relu(x) if name else x
    return x


def modules(params: Sequence[Tensor]) -> list[nn.Sequential]:
    """The networks apart, of torch's own layers."""
    networks = []
    for own in zip(*params, strict=True):
        layers: list[nn.Module] = []
        for weight, bias, name in zip(own[::2], own[1::2], NAMES, strict=True):
            linear = nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
            linear.weight.data, linear.bias.data = weight.detach().T.contiguous(), bias.detach().clone()
            layers += [linear, nn.ReLU()] if name else [linear]
        networks.append(nn.Sequential(*layers))
    return networks


def run(
    layers: Callable[..., Tensor], x: Tensor, params: Sequence[Tensor], learns: tuple[bool, bool], grad: Tensor
) -> list[Tensor]:
    """y [G, B, 1], and the gradients by x and the parameters, where these learn."""
    x, params = x.detach().requires_grad_(learns[0]), [p.detach().requires_grad_(learns[1]) for p in params]
    y = layers(x, params)
    return [y, *back(y, [x, *params], grad)]


def run_apart(networks: Sequence[nn.Sequential], x: Tensor, learns: tuple[bool, bool], grad: Tensor) -> list[Tensor]:
    """The same of networks apart, their weights' gradients as `run` has them."""
    x = x.detach().requires_grad_(learns[0])
    params = [p.requires_grad_(learns[1]) for network in networks for p in network.parameters()]
    y = torch.stack([network(x) for network in networks])
    return [y, *back(y, [x, *params], grad)]


def back(y: Tensor, inputs: Sequence[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    inputs = [t for t in inputs if t.requires_grad]
    return torch.autograd.grad(y, inputs, grad) if inputs else ()


def count(x: Tensor, params: Sequence[Tensor], learns: tuple[bool, bool]) -> tuple[int, int]:
    """The case's bytes and operations: two a multiply-add, of the products that each pass needs."""
    entries, batch = [weight.numel() for weight in params[::2]], x.shape[0]
    once = (
        x.numel() + sum(p.numel() for p in params) + len(params[0]) * batch * params[-1].shape[-1]
    )  # in, and y or grad
    made = x.numel() * learns[0] + sum(p.numel() for p in params) * learns[1]
    products = sum(entries) + any(learns) * sum(entries[1:]) + learns[0] * entries[0] + learns[1] * sum(entries)
    return 4 * (once + any(learns) * once + made), 2 * batch * products


def actions_of_states(states: int, actions: int, width: int, columns: int, device: torch.device) -> Tensor:
    """[states actions, width]: the last columns are an action's, the others its state's."""
    state = torch.randn(states, width - columns, device=device).repeat_interleave(actions, 0)
    return torch.cat([state, torch.tanh(torch.randn(states * actions, columns, device=device))], -1)


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    batch, sizes = (13, (5, 16, 16, 1)) if quick else (256, (23, 256, 256, 1))
    states, actions, columns = (32, 32, 2) if quick else (256, 32, 6)
    for networks in (2, 10):
        params = []
        for i, o in itertools.pairwise(sizes):
            params.append((2 * torch.rand(networks, i, o, device=device) - 1) / i**0.5)
            params.append((2 * torch.rand(networks, o, device=device) - 1) / i**0.5)
        rows = torch.randn(batch, sizes[0], device=device)
        passes = [(rows, name, learns) for name, learns in PASSES.items()]
        if networks == 2:
            rows = actions_of_states(states, actions, sizes[0], columns, device)
            passes.append((rows, f"forward, {actions} actions of a state", (False, False)))
        for x, name, learns in passes:
            grad = torch.randn(networks, len(x), 1, device=device)
            layers: dict[str, Callable[..., Tensor]] = {"perceptron": ours, "batched eager (baddbmm)": batched}
            if not quick:
                layers["torch.compile of batched"] = torch.compile(batched, dynamic=False)
            rivals: dict[str, Call] = {rival: partial(run, f, x, params, learns, grad) for rival, f in layers.items()}
            rivals["one nn.Sequential a network"] = partial(run_apart, modules(params), x, learns, grad)
            traffic, flops = count(x, params, learns)
            if not quick:
                rivals["hidden layers in bfloat16"] = partial(run, partial(ours, bf16=2), x, params, learns, grad)
            title = f"{networks} networks {' -> '.join(map(str, sizes))}, batch {len(x)}, {name}"
            yield Case(title, rivals, traffic=traffic, flops=flops, graph=True)
