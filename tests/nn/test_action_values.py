"""Many actions a state through the critics: the same numbers as one row after another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyslsac.nn import Ensemble, action_values

SIZES = (5, 24, 24, 1)  # observations of 3, actions of 2


def critics_of(members: tuple[int, int], sizes=SIZES, dtype=torch.float64, **options) -> Ensemble:
    generators = [torch.Generator().manual_seed(run) for run in range(members[0])]
    return Ensemble(members, sizes, generators, **options).to(dtype)


def by_rows(critics: Ensemble, obs: Tensor, action: Tensor) -> Tensor:
    around = obs.unsqueeze(2).expand(-1, -1, action.shape[2], -1)
    q = critics(torch.cat([around, action], dim=-1).flatten(1, 2))
    return q.detach().view(*critics.members, *action.shape[1:3])


@pytest.mark.parametrize("activation", ["relu", "mish"])
@pytest.mark.parametrize(
    ("members", "states", "actions"), [((1, 1), 1, 1), ((1, 2), 16, 4), ((3, 2), 37, 5), ((2, 4), 15, 1)]
)
def test_equals_the_critics_row_by_row(members, states, actions, activation):
    critics = critics_of(members, activation=activation)
    obs, action = (
        torch.randn(members[0], states, 3).double(),
        torch.rand(members[0], states, actions, 2).double() * 2 - 1,
    )
    q = action_values(critics, obs, action)
    assert not q.requires_grad
    torch.testing.assert_close(q, by_rows(critics, obs, action), rtol=1e-12, atol=1e-12)


def test_depth_does_not_matter():
    obs, action = torch.randn(1, 20, 3).double(), torch.rand(1, 20, 3, 2).double()
    for sizes in ((5, 8, 1), (5, 8, 8, 8, 1)):
        critics = critics_of((1, 2), sizes)
        torch.testing.assert_close(action_values(critics, obs, action), by_rows(critics, obs, action))


def test_hidden_layers_may_be_bfloat16():
    critics = critics_of((1, 2), dtype=torch.float32, compute=torch.bfloat16)
    obs, action = torch.randn(1, 20, 3), torch.rand(1, 20, 3, 2)
    q = action_values(critics, obs, action)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q, by_rows(critics, obs, action), rtol=0.02, atol=0.02)
