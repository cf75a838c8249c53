"""States stacked by run: taking one run out, and putting runs together again."""

import torch

from pyslsac.data import map_runs, stack_runs


def test_single_runs_make_the_stack_again():
    state = {"net": torch.arange(6.0).view(3, 2), "step": torch.tensor(4.0), "deep": [{"x": torch.ones(3, 1, 2)}, 7]}
    single = [map_runs(state, lambda t, run=run: t[run : run + 1]) for run in range(3)]
    assert single[1]["net"].tolist() == [[2, 3]] and single[1]["step"] == 4 and single[1]["deep"][1] == 7
    again = stack_runs(single)
    assert again["net"].equal(state["net"]) and again["deep"][0]["x"].equal(state["deep"][0]["x"])
    assert again["step"] == 4 and again["deep"][1] == 7
    single[0]["step"] += 1
    assert state["step"] == 4  # a copy
