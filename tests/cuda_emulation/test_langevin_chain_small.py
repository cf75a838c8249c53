"""The fused chain for small batches, run on the host, against the reference."""

from __future__ import annotations

import pytest
import torch

from pyslsac.ops.reference import langevin_chain as reference
from tests.cuda_emulation.emulation import Library, Output, build

STEM = "langevin_chain_small"
LIMITS = {"none": 0, "normalize": 1, "cap": 2}


def run_chain(
    library, runs=1, batch=16, obs_dim=3, dim=2, steps=2, width=64, hidden=2, groups=((2, "mish", "min"),), *,
    limit="none", prior=False, step_bias=False, drift_only=False, extras=True, **how
):  # fmt: skip
    """What the kernel gives and what the reference gives: action, path, values."""
    random = torch.Generator().manual_seed(runs + batch + dim + width)

    def normal(*shape, scale=1.0):
        return torch.randn(shape, generator=random) * scale

    obs, start = normal(runs, batch, obs_dim), normal(runs, batch, dim).clamp(-1, 1)
    weights, biases = [], []
    for members, *_ in groups:
        for layer in range(hidden + 1):
            fan_in = width if layer else obs_dim + dim
            weights.append(normal(runs, members, fan_in, width if layer < hidden else 1, scale=fan_in**-0.5))
            biases.append(normal(runs, members, width if layer < hidden else 1, scale=0.1))
    extra = [normal(runs, steps, members, width, scale=0.3) if step_bias else torch.empty(0) for members, *_ in groups]
    schedules = [0.01 + torch.rand(steps, runs, generator=random) for _ in range(3)]
    coefs = [normal(steps, runs) for _ in groups]
    around = [normal(runs, batch, dim), 0.5 + torch.rand(runs, batch, dim, generator=random)] if prior else []
    cap = 0.7 if limit == "cap" else float("inf")
    kinds = [
        [members, list(reference.ACTIVATIONS).index(activation), reference.REDUCES.index(reduce), members - 1]
        for members, activation, reduce in groups
    ]
    seed, step = torch.arange(5, 5 + runs), torch.tensor([9])
    wanted = reference.langevin_chain(
        obs, start, weights, biases, extra, [hidden + 1] * len(groups), [k[1] for k in kinds], [k[2] for k in kinds],
        coefs, [torch.tensor(k[3]) for k in kinds], around, steps, *schedules, limit == "normalize", cap, False, -1.0,
        1.0, seed, step, 65536, True, drift_only, extras, extras,
    )  # fmt: skip
    members = sum(k[0] for k in kinds)
    action = Output(torch.empty_like(start))
    path, values = torch.empty(runs, steps, batch, dim), torch.empty(runs, members, batch)
    third = torch.empty(runs, members, width, width, dtype=torch.bfloat16)
    library(
        "run", obs, start, action, Output(path) if extras else None, Output(values) if extras else None,
        Output(third), *(around or (None, None)), weights, biases,
        [x if x.numel() else None for x in extra],
        [runs, batch, obs_dim, dim, steps, len(groups), hidden + 1, width, LIMITS[limit], 65536, int(drift_only)],
        [number for kind in kinds for number in kind],
        [*schedules, torch.tensor([cap]), torch.tensor([-1.0]), torch.tensor([1.0]), *coefs], seed, step, **how,
    )  # fmt: skip
    return (action.tensor, path, values), wanted


def assert_close(found, wanted):
    """To a tolerance: sums in another order flip last bits of bfloat16."""
    for mine, theirs in zip(found, wanted, strict=True):
        if theirs.numel():
            torch.testing.assert_close(mine, theirs, rtol=5e-3, atol=5e-3)


LAC = ((2, "mish", "min"), (2, "mish", "max"))


CASES = [
    (dict(batch=1, dim=1, groups=((1, "relu", "mean"),)),),
    (dict(batch=17, dim=3, runs=2, groups=((3, "silu", "mean"), (1, "tanh", "sum")), steps=3),),
    (dict(batch=16, dim=8, width=256, groups=LAC, prior=True, limit="cap"),),
    (dict(batch=15, dim=8, width=256, hidden=3, groups=LAC, prior=True, limit="cap"),),
    (dict(batch=3, dim=17, width=128, hidden=3, step_bias=True, limit="normalize"),),
    (dict(batch=5, dim=32, width=192, hidden=3, groups=((4, "gelu", "pair_min_mean"),), steps=3),),
    (dict(batch=4, dim=6, width=128, groups=((3, "relu", "member"),), drift_only=True, steps=1),),
]


def check(kernel: Library, case, **how):
    assert_close(*run_chain(kernel, **case, extras=not case.get("drift_only"), **how))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_reference(case):
    check(build(STEM), *case)


def test_without_what_nobody_asked_for():
    found, wanted = run_chain(build(STEM), groups=((2, "mish", "sum"),), extras=False)
    assert_close(found[:1], wanted[:1])
