"""estep_dual against its steps in plain torch, and SciPy's SLSQP on the host as CVPO's authors call it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from pyslsac.experiments.cases import Case
from pyslsac.experiments.timing import Call
from pyslsac.ops import estep_dual
from pyslsac.ops.reference import estep_dual as reference

EPS, BUDGET, STEPS, MAXIMUM = 0.1, 0.0, 15, 20.0
BYTES, FLOPS = 16, 18  # of an action: read once; g and its derivatives at one point, and a solution needs several


def tables(runs: int, states: int, actions: int, device: torch.device) -> Tensor:
    """Q_r and Q_c [R, 2, B, K] that gain and cost about as much, some of the costs over the budget."""
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(runs, 2, states, actions, generator=draw, dtype=torch.float64)
    q[:, 1] += 0.5 * q[:, 0] + 0.3
    return q.to(device)


def slsqp(q: Tensor) -> Call:
    """One problem a run, as the authors' code solves it: finite differences, ten iterations."""
    problems = [(reward.double().cpu().numpy(), cost.double().cpu().numpy()) for reward, cost in q]

    def solve() -> list[np.ndarray]:
        return [one(*problem) for problem in problems]

    def one(reward: np.ndarray, cost: np.ndarray) -> np.ndarray:
        def g(x: np.ndarray) -> float:
            z = reward - x[1] * cost
            most = z.max(1, keepdims=True)
            log_mean = np.log(np.exp((z - most) / x[0]).mean(1)) + most[:, 0] / x[0]
            return x[0] * (EPS + log_mean.mean()) + x[1] * BUDGET

        bounds, options = ((1e-6, 1e5), (1e-6, 1e5)), {"maxiter": 10}
        return scipy.optimize.minimize(g, np.ones(2), method="SLSQP", bounds=bounds, tol=1e-3, options=options).x

    return solve


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for runs, states, actions in ((1, 8, 4),) if quick else ((1, 256, 32), (4, 256, 32), (1, 1024, 64)):
        q = tables(runs, states, actions, device)
        eta, multiplier = torch.ones(runs, dtype=torch.float64, device=device), q.new_zeros(runs)
        start = q, eta, multiplier, EPS, BUDGET
        rivals: dict[str, Call] = {
            "estep_dual": functools.partial(estep_dual, *start, steps=STEPS, maximum=MAXIMUM),
            "its steps in torch": functools.partial(reference.estep_dual, *start, STEPS, MAXIMUM),
            "SLSQP of SciPy, 10 iterations": slsqp(q),
        }
        size = runs * states * actions
        title = f"{runs} x {states} states x {actions} actions"
        yield Case(title, rivals, traffic=BYTES * size, flops=FLOPS * size)
