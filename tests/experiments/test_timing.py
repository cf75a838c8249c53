"""Rounds: who is timed when, and what medians and ratios are made of."""

import pytest
import torch

from pyslsac.experiments import timing

CPU = torch.device("cpu")


def test_summary_takes_ratios_round_by_round():
    found = timing.summary({"ours": [1.0, 2.0, 4.0], "slow": [3.0, 4.0, 4.0], "fast": [0.5, 2.0, 1.0]})
    assert found["us"]["ours"] == {"median": 2e6, "q1": 1.5e6, "q3": 3e6}
    assert found["ratio"]["slow"] == {"median": 2.0, "q1": 1.5, "q3": 2.5}
    assert found["ratio"]["fast"] == {"median": 0.5, "q1": 0.375, "q3": 0.75}
    assert "ours" not in found["ratio"]


def test_rivals_take_turns_and_divide_by_their_calls(monkeypatch: pytest.MonkeyPatch):
    order, each = [], {"a": 8.0, "b": 2.0, "c": 4.0}

    def sample(call, repeats, device):
        order.append(call)
        return each[call]

    monkeypatch.setattr(timing, "sample", sample)
    found = timing.compare({name: name for name in each}, CPU, calls=2)
    assert order[:6] == ["a", "a", "b", "b", "c", "c"]  # warm-up, and how long a call takes
    turns = ["".join(order[i : i + 3]) for i in range(6, len(order), 3)]
    assert turns == (["abc", "bca", "cab"] * timing.FEWEST)[: timing.FEWEST]  # 14 s a round: as few as there may be
    assert found["us"]["a"]["median"] == 4e6
    assert found["ratio"]["b"]["median"] == 0.25


@pytest.mark.parametrize(("seconds", "rounds"), [(1e-4, timing.ROUNDS), (1.0, 20), (100.0, timing.FEWEST)])
def test_rounds_end_before_a_case_takes_too_long(seconds, rounds, monkeypatch: pytest.MonkeyPatch):
    taken = []
    monkeypatch.setattr(timing, "sample", lambda call, repeats, device: taken.append(repeats) or seconds)
    timing.compare({"ours": None}, CPU)
    assert len(taken) - 2 == rounds
    assert taken[-1] == max(1, round(timing.LEAST["cpu"] / seconds))


def test_sample_is_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    assert timing.sample(lambda: clock.__setitem__(0, clock[0] + 3.0), 5, CPU) == 3.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_makes_its_calls():
    count = torch.zeros((), device="cuda")
    replay = timing.graphed(lambda: count.add_(1), torch.device("cuda"))
    before = count.item()
    replay()
    assert count.item() == before + timing.CAPTURED
