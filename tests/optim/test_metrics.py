"""Means of metrics."""

import torch

from pyslsac.optim import mean_metrics


def test_means_are_of_each_metric_and_run():
    rows = [
        {"a": torch.tensor([1.0, 5.0]), "b": torch.tensor([0.0, 1.0])},
        {"a": torch.tensor([3.0, 5.0]), "b": torch.ones(2)},
    ]
    found = mean_metrics(rows)
    assert found["a"].tolist() == [2, 5] and found["b"].tolist() == [0.5, 1]
