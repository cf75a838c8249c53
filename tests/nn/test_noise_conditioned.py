"""Noise-conditioned critics are plain networks on [s, a, embedding(level)], and `langevin_chain` climbs them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mish

from pyslsac.nn import NoiseConditioned
from pyslsac.nn.noise_conditioned import sinusoid
from pyslsac.ops import action_grad, langevin_chain

RUNS, MEMBERS, LEVELS, OBS, ACT, WIDTH = 2, 2, 5, 3, 2, 16


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def critics(levels: int = LEVELS, **options) -> NoiseConditioned:
    return NoiseConditioned((RUNS, MEMBERS), OBS + ACT, WIDTH, levels, generators(0, 1), **options)


def plainly(stack: NoiseConditioned, run: int, member: int, x: Tensor, level: Tensor) -> Tensor:
    """One network, its embedding made for every row [B] and written after [s, a]."""
    if stack.levels > 1:
        one, two = stack.embed
        y = mish(sinusoid(LEVELS).to(x)[level] @ one.weight[run, member] + one.bias[run, member])
        x = torch.cat([x, y @ two.weight[run, member] + two.bias[run, member]], dim=-1)
    for depth, layer in enumerate(stack.layers):
        x = x @ layer.weight[run, member] + layer.bias[run, member]
        x = mish(x) if depth < 3 else x
    return x.squeeze(-1)


def test_the_level_is_a_sinusoid() -> None:
    waves = sinusoid(4)
    assert waves.shape == (4, 16)
    assert waves[0].tolist() == [0.0] * 8 + [0.25] * 8
    assert waves[3, 0].item() == pytest.approx(math.sin(3) / 4)
    assert waves[3, 4].item() == pytest.approx(math.sin(3 / 100) / 4)  # 10000^(-4/8)
    assert waves[3, 15].item() == pytest.approx(math.cos(3 * 10000 ** (-7 / 8)) / 4)


@pytest.mark.parametrize("levels", [LEVELS, 1])
def test_members_are_separate_networks(levels: int) -> None:
    """Values, and the gradients of all weights, at a level a row and at one level for all."""
    stack, x = critics(levels).double(), torch.randn(RUNS, 9, OBS + ACT, dtype=torch.float64)
    each = torch.randint(levels, (RUNS, 9))
    assert levels == 1 or not torch.equal(stack(x, each), stack(x, 0))
    for level in (each, levels - 1):
        rows = level if isinstance(level, Tensor) else torch.full((RUNS, 9), level)
        out = stack(x, level)
        assert out.shape == (RUNS, MEMBERS, 9)
        wanted = torch.stack(
            [torch.stack([plainly(stack, r, m, x[r], rows[r]) for m in range(MEMBERS)]) for r in range(RUNS)]
        )
        torch.testing.assert_close(out, wanted)
        parameters = list(stack.parameters())
        assert len(parameters) == (12 if levels > 1 else 8)
        ours = torch.autograd.grad(out.square().sum(), parameters)
        for gradient, theirs in zip(ours, torch.autograd.grad(wanted.square().sum(), parameters), strict=True):
            torch.testing.assert_close(gradient, theirs)
            assert gradient.abs().max() > 0


def test_a_runs_weights_do_not_depend_on_the_others() -> None:
    both = critics()
    alone = NoiseConditioned((1, MEMBERS), OBS + ACT, WIDTH, LEVELS, generators(1))
    for ours, theirs in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours[1:], theirs)


def test_a_group_is_the_critics() -> None:
    """At every move's level the same values, and the gradient that autograd gives."""
    stack, levels = critics().double(), torch.tensor([0, 0, 3, 4])
    group = stack.group(levels, reduce="sum", coef=-0.5)
    assert group.step_bias is not None and not group.step_bias.requires_grad
    obs, action = torch.randn(RUNS, 7, OBS).double(), (2 * torch.rand(RUNS, 7, ACT) - 1).double().requires_grad_()
    for k, level in enumerate(levels.tolist()):
        q = stack(torch.cat([obs, action], -1), level)
        (expected,) = torch.autograd.grad(-0.5 * q.sum(), action)
        now = replace(group, step_bias=group.step_bias[:, k : k + 1])
        torch.testing.assert_close(action_grad(obs, action.detach(), [now]), expected)
    chain = langevin_chain(obs, action.detach(), [group], steps=4, step_size=0.01, values=True)
    end = torch.cat([obs, chain.action], -1)
    torch.testing.assert_close(chain.values[0], stack(end, 4).detach())


def test_a_group_follows_its_critics() -> None:
    """The compiled chain in float32, before and after the weights have moved, at the level of its last move."""
    stack, levels = NoiseConditioned((RUNS, MEMBERS), OBS + ACT, 64, LEVELS, generators(0, 1)), torch.tensor([0, 2])
    obs, action = torch.randn(RUNS, 7, OBS), 2 * torch.rand(RUNS, 7, ACT) - 1
    for _ in range(2):
        chain = langevin_chain(obs, action, [stack.group(levels)], steps=2, values=True)
        wanted = stack(torch.cat([obs, chain.action], -1), 2).detach()
        torch.testing.assert_close(chain.values[0], wanted, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            for parameter in stack.parameters():
                parameter.mul_(1.5)


def test_bfloat16_is_for_hidden_layers() -> None:
    exact, stack, x = critics(), critics(bf16=True), torch.randn(RUNS, 9, OBS + ACT)
    for level in (3, torch.randint(LEVELS, (RUNS, 9))):
        rounded = stack(x, level)
        assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact(x, level))
        torch.testing.assert_close(rounded, exact(x, level), rtol=0, atol=0.02)
