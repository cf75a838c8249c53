"""Means over the updates that reported a metric, and the runs whose numbers are lost."""

import math

import torch

from pyslsac.train.meter import Clock, Meter


def test_means_over_different_sets():
    meter = Meter()
    meter.add({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([10.0, 20.0])})
    meter.add({"a": torch.tensor([3.0, 4.0])})
    means = meter.read()
    assert (
        means["a"].tolist() == [2.0, 3.0] and means["b"].tolist() == [10.0, 20.0] and means["a"].dtype == torch.float64
    )
    assert meter.read() == {}


def test_bad_runs_are_named_with_their_metrics():
    meter = Meter()
    meter.add({"a": torch.tensor([1.0, math.nan, 0.0]), "b": torch.tensor([0.0, 1.0, math.inf])})
    meter.add({"a": torch.tensor([1.0, 1.0, 0.0]), "b": torch.tensor([0.0, 1.0, 1.0])})
    assert meter.bad_runs() == {1: ["a"], 2: ["b"]}
    meter.select([0])
    assert meter.bad_runs() == {} and meter.read()["a"].tolist() == [1.0]


def test_a_restored_meter_gives_the_same_bits():
    values = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, half = Meter(), Meter()
    for i, value in enumerate(values):
        metrics = {"a": value} if i % 2 else {"a": value, "b": 3 * value}
        whole.add(metrics)
        half.add(metrics)
        if i == 3:
            state, half = half.state_dict(), Meter()
            half.load_state_dict(state, torch.device("cpu"))
    one, two = whole.read(), half.read()
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_clock():
    clock = Clock()
    with clock.time("x"):
        pass
    with clock.time("x"):
        pass
    seconds, total = clock.read()
    assert 0 < seconds["x"] < total and clock.read()[0] == {}


def test_a_clock_says_where_the_time_went(monkeypatch):
    now = iter([0.0, 10.0, 70.0, 70.0, 72.0, 80.0, 80.0, 88.0, 100.0])
    monkeypatch.setattr("pyslsac.train.meter.time.perf_counter", lambda: next(now))
    clock = Clock()
    with clock.time("Time/Update"):
        pass
    with clock.time("Time/Act"):
        pass
    clock.read()  # an epoch ends: the split goes on
    with clock.time("Time/Update"):
        pass
    assert clock.split() == "Time 100.0 s: update 68 %, other 30 %, act 2 %"
