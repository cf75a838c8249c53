"""One step on stacked losses: only the optimizer's parameters, one clip a run; targets; the entropy coefficient."""

import copy
import math

import torch
from torch import nn

from pyslsac.optim import EntropyCoefficient, clip_runs, minimise, polyak_update


def test_only_the_optimizers_parameters_move_and_metrics_come_back():
    a, b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0, 4.0]))
    metrics = minimise(((a * b), {"Loss/Loss_pi": a.detach()}), torch.optim.SGD([a], lr=0.1))
    torch.testing.assert_close(a.detach(), torch.tensor([0.7, 1.6]))
    assert b.grad is None and list(metrics) == ["Loss/Loss_pi"]


def test_each_run_is_clipped_by_its_own_norm():
    torch.manual_seed(0)
    grads = [torch.randn(3, 4, 5), torch.randn(3, 5)]
    grads[0][1] *= 100
    before = [g.clone() for g in grads]
    norms = clip_runs(grads, 4.0)
    for run in range(3):
        parameters = [nn.Parameter(torch.zeros_like(g[run])) for g in before]
        for parameter, g in zip(parameters, before, strict=True):
            parameter.grad = g[run].clone()
        torch.testing.assert_close(norms[run], nn.utils.clip_grad_norm_(parameters, 4.0))
        for parameter, g in zip(parameters, grads, strict=True):
            torch.testing.assert_close(g[run], parameter.grad)


def test_a_clipped_step_has_the_clipped_length():
    weight = nn.Parameter(torch.zeros(2, 9))
    minimise(((weight * 100).sum(1), {}), torch.optim.SGD([weight], lr=1.0), grad_norm=2.0)
    torch.testing.assert_close(weight.detach().norm(dim=1), torch.tensor([2.0, 2.0]))


def test_polyak_moves_targets_by_the_rate():
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    before = copy.deepcopy(target)
    polyak_update(target, source, 0.25)
    for new, old, goal in zip(target.parameters(), before.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * goal)


def test_alpha_falls_where_entropy_is_above_its_target_and_rises_below():
    alpha = EntropyCoefficient("auto", 2, act_dim=3, lr=0.1)
    assert alpha.value.tolist() == [1.0, 1.0]
    alpha.adapt(torch.tensor([5.0, -5.0]))  # target -3
    torch.testing.assert_close(alpha.value, torch.tensor([math.exp(-0.1), math.exp(0.1)]))
    other = EntropyCoefficient("auto", 2, act_dim=3, lr=0.1)
    other.load_state_dict(alpha.state_dict())
    for coefficient in (alpha, other):
        coefficient.adapt(torch.tensor([1.0, 1.0]))
    assert torch.equal(alpha.value, other.value)


def test_a_constant_alpha_stays():
    alpha = EntropyCoefficient(0.2, 2, act_dim=3)
    alpha.adapt(torch.tensor([5.0, -5.0]))
    torch.testing.assert_close(alpha.value, torch.tensor([0.2, 0.2]))
