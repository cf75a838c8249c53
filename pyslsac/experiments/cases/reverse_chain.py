"""reverse_chain against the same chain level by level: over `perceptron`, and over torch's own layers, also compiled.

The passes of ALGD's policy: forward alone where actions are drawn, forward and backward where the score learns. One
run, whose score has three hidden ReLU layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import perceptron, reverse_chain
from pyslsac.sampling import NoiseLevels, variance_exploding

NAMES = ("relu", "relu", "relu", None)
Score = Callable[[Tensor, Tensor], Tensor]  # of observations [R, B, S] and [action, table_k] [R, B, A + E]


def ours(obs: Tensor, noise: Tensor, gain: Tensor, params: Sequence[Tensor], bf16: int = 0) -> Tensor:
    table, *layers = params
    return reverse_chain(obs, noise, table, layers[::2], layers[1::2], NAMES, gain, gain.sqrt(), bf16)[0]


def loop(score: Score, obs: Tensor, noise: Tensor, table: Tensor, levels: NoiseLevels) -> Tensor:
    """The chain as one writes it."""
    x = noise[:, 0]
    for k in reversed(range(len(levels.gain))):
        embedded = table[:, k : k + 1].expand(-1, obs.shape[1], -1)
        x = x + levels.gain[k] * score(obs, torch.cat([x.tanh(), embedded], -1))
        if k:
            x = x + levels.gain[k] ** 0.5 * noise[:, k]
    return x.tanh()


def by_levels(obs: Tensor, noise: Tensor, levels: NoiseLevels, params: Sequence[Tensor]) -> Tensor:
    """The loop over the op that is a score alone."""
    table, *layers = params

    def score(obs: Tensor, rest: Tensor) -> Tensor:
        return perceptron(rest, layers[::2], layers[1::2], NAMES, obs)

    return loop(score, obs, noise, table, levels)


def modules(params: Sequence[Tensor]) -> nn.Sequential:
    """The score of one run, of torch's own layers."""
    layers: list[nn.Module] = []
    for weight, bias, name in zip(params[1::2], params[2::2], NAMES, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2], device=weight.device)
        linear.weight.data, linear.bias.data = weight[0].detach().T.contiguous(), bias[0].detach().clone()
        layers += [linear, nn.ReLU()] if name else [linear]
    return nn.Sequential(*layers)


def through(network: nn.Module, obs: Tensor, rest: Tensor) -> Tensor:
    return network(torch.cat([obs, rest], -1))


def run(chain: Callable[..., Tensor], params: Sequence[Tensor], grad: Tensor | None) -> list[Tensor]:
    """The actions [R, B, A], and with their gradient those by the table and the score's parameters."""
    params = [p.detach().requires_grad_(grad is not None) for p in params]
    end = chain(params)
    return [end, *(torch.autograd.grad(end, params, grad) if grad is not None else ())]


def run_modules(chain: Callable[..., Tensor], network: nn.Module, table: Tensor, grad: Tensor | None) -> list[Tensor]:
    """The same of torch's layers; the gradients are shaped as ours."""
    params = [p.requires_grad_(grad is not None) for p in (table.detach(), *network.parameters())]
    end = chain(params[0])
    grads = torch.autograd.grad(end, params, grad) if grad is not None else ()
    return [end, *grads[:1], *(g.mT.unsqueeze(0) if g.dim() == 2 else g.unsqueeze(0) for g in grads[1:])]


def count(obs: Tensor, noise: Tensor, params: Sequence[Tensor], learns: bool) -> tuple[int, int]:
    """The case's bytes and operations: two a multiply-add, those with observations once and not at every level."""
    (runs, batch, states), (_, levels, _, actions), learned = obs.shape, noise.shape, sum(p.numel() for p in params)
    hidden, embedding = params[1].shape[2], params[0].shape[2]
    entries = sum(weight[0].numel() for weight in params[3::2])
    products = batch * (states * hidden + levels * (actions * hidden + entries)) + levels * embedding * hidden
    once = obs.numel() + noise.numel() + learned  # and the path is as large as the noise
    if not learns:
        return 4 * (once + noise.numel()), 2 * runs * products
    both = 2 * once + noise.numel() + learned + runs * batch * actions  # the path once more, not the noise
    return 4 * both, 2 * runs * (3 * products - batch * (states + actions) * hidden)  # none by obs and the start


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    batch, states, actions, levels, embedding, width = (13, 5, 2, 3, 4, 16) if quick else (256, 17, 6, 5, 16, 128)
    sizes = (states + actions + embedding, width, width, width, actions)
    params = [torch.randn(1, levels, embedding, device=device)]
    for i, o in itertools.pairwise(sizes):
        params.append((2 * torch.rand(1, i, o, device=device) - 1) / i**0.5)
        params.append((2 * torch.rand(1, o, device=device) - 1) / i**0.5)
    obs, noise = torch.randn(1, batch, states, device=device), torch.randn(1, levels, batch, actions, device=device)
    moves, by_end = variance_exploding(levels), torch.randn(1, batch, actions, device=device)
    mine = partial(ours, obs, noise, torch.tensor(moves.gain, dtype=torch.float64))
    for name, grad in (("forward", None), ("forward + backward", by_end)):
        network = modules(params)
        plain = partial(loop, partial(through, network), obs, noise, levels=moves)
        rivals: dict[str, Call] = {
            "reverse_chain": partial(run, mine, params, grad),
            "perceptron, level by level": partial(run, partial(by_levels, obs, noise, moves), params, grad),
            "torch.nn layers, level by level": partial(run_modules, plain, network, params[0], grad),
        }
        if not quick:
            compiled = torch.compile(plain, dynamic=False)
            rivals["torch.compile of torch.nn layers"] = partial(run_modules, compiled, network, params[0], grad)
            rivals["hidden layers in bfloat16"] = partial(run, partial(mine, bf16=3), params, grad)
        traffic, flops = count(obs, noise, params, grad is not None)
        title = f"K {levels}, score {' -> '.join(map(str, sizes))}, batch {batch}, {name}"
        yield Case(title, rivals, traffic=traffic, flops=flops, graph=True)
