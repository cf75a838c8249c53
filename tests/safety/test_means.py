"""Means since the last take, by hand."""

import torch

from pyslsac.safety import Means


def test_each_run_has_its_own_mean_of_what_came_since_the_last_take():
    means = Means(3)
    for run, cost in ((0, 4.0), (2, 1.0), (0, 8.0)):
        means.add(cost, run)
    taken = means.take().squeeze(-1)
    assert taken[[0, 2]].tolist() == [6.0, 1.0] and taken[1].isnan()
    assert means.take().isnan().all()
    means.add(5.0, 1)
    assert means.take()[1].item() == 5.0


def test_columns_stay_apart_and_the_state_comes_back():
    means, other = Means(2, 2), Means(2, 2)
    means.add(torch.tensor([[1.0, 10.0], [2.0, 20.0]]))
    other.load_state_dict(means.state_dict())
    for m in (means, other):
        m.add(torch.tensor([[3.0, 30.0], [4.0, 40.0]]))
        assert m.take().tolist() == [[2.0, 20.0], [3.0, 30.0]]
