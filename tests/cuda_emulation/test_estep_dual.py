"""The CUDA kernels of `estep_dual` on the host: the reference's steps, over part and lane edges, to a run's last."""

import pytest
import torch

from pyslsac.ops.reference import estep_dual as reference
from tests.cuda_emulation.emulation import Library, Output, build
from tests.ops.test_estep_dual import EPS, problems

CASES = [  # runs, states, actions, steps
    (1, 1, 2, 1),
    (3, 7, 31, 3),
    (2, 9, 33, 0),
    (2, 9, 32, 12),
    (1, 257, 5, 2),
    (2, 17, 65, 2),
]


def check(kernel: Library, runs: int, states: int, actions: int, steps: int, without: str = "") -> None:
    q = problems(runs, states, actions)
    eta, multiplier = torch.full((runs,), 3.0, dtype=torch.float64), torch.ones(runs, dtype=torch.float64)
    wanted = reference.estep_dual(q, eta, multiplier, EPS, 0.1, steps, 20.0)
    scratch = torch.empty(kernel.library.scratch(runs, states), dtype=torch.float64)
    numbers = runs, states, actions, steps, EPS, 0.1, 20.0
    kernel("run", q, eta, multiplier, *numbers, Output(scratch), seed=states, without=without)
    torch.testing.assert_close((eta, multiplier), wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("runs", "states", "actions", "steps"), CASES)
def test_the_steps_of_the_reference(runs: int, states: int, actions: int, steps: int) -> None:
    check(build("estep_dual"), runs, states, actions, steps)


def test_the_runs_beside_one_change_nothing() -> None:
    kernel, q = build("estep_dual"), problems(3, 20, 8)
    found = []
    for tables in (q, *q.split(1)):
        ends = torch.ones(2, len(tables), dtype=torch.float64)
        scratch = torch.empty(kernel.library.scratch(len(tables), 20), dtype=torch.float64)
        kernel("run", tables.contiguous(), ends[0], ends[1], len(tables), 20, 8, 15, EPS, 0.1, 20.0, Output(scratch))
        found.append(ends)
    assert torch.equal(found[0], torch.cat(found[1:], 1))
