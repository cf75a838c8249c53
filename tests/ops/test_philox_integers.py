"""philox_integers: numbers by hand from the known answers, one result for every backend and thread count, the law."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyslsac.ops import backend, philox_integers
from pyslsac.ops.reference import philox_integers as reference
from tests.ops.threads import on_threads


def from_reference(runs: int, count: int, high: int, seed: torch.Tensor, step: int, stream: int) -> torch.Tensor:
    out = torch.full((runs, count), -1)
    reference.philox_integers_(out, seed, torch.tensor(step), torch.tensor(high), stream)
    return out


def test_known_answers() -> None:
    """Of the words 6627e8d5 e169c58d bc57ac4c 9b00dbd8 for zeros, published with Random123, in Python's integers."""
    for high in (1, 2, 10, 1_000_003, 2**31):
        wanted = [w * high >> 64 for w in (0x6627E8D5_E169C58D, 0xBC57AC4C_9B00DBD8)]
        assert philox_integers(1, 2, high).tolist() == [wanted]


@pytest.mark.skipif(backend("philox_integers", "cpu") == "reference", reason="the compiled core is not built")
@given(
    runs=st.integers(1, 3),
    count=st.integers(0, 300),
    high=st.integers(1, 2**31),
    seed=st.integers(-(2**63), 2**63 - 4),
    step=st.integers(0, 2**63 - 1),
    stream=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_compiled_is_the_reference(runs: int, count: int, high: int, seed: int, step: int, stream: int) -> None:
    seeds = torch.tensor([seed + run for run in range(runs)])
    got = philox_integers(runs, count, high, seeds, step, stream=stream)
    assert torch.equal(got, from_reference(runs, count, high, seeds, step, stream))


def test_threads_runs_and_counts_do_not_matter() -> None:
    seeds = torch.tensor([5, -3, 2**62])
    results = on_threads(lambda: philox_integers(3, 33_333, 999, seeds, 9))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    for run, seed in enumerate(seeds.tolist()):
        assert torch.equal(results[0][run, :100], philox_integers(1, 100, 999, seed, 9)[0])


def test_the_law() -> None:
    n, high = 1 << 20, 1000
    drawn = philox_integers(1, n, high, seed=3)[0]
    assert stats.chisquare(np.bincount(drawn.numpy(), minlength=high)).pvalue > 1e-4
    assert drawn.min() == 0 and drawn.max() == high - 1
    wide = philox_integers(1, n, 2**31, seed=4)[0]
    assert stats.kstest(wide.numpy() / 2**31, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(wide[:-1], wide[1:])[0, 1]) < 4.5 / n**0.5


@pytest.mark.parametrize("other", [dict(seed=1), dict(step=1), dict(stream=1)])
def test_draws_are_independent(other: dict[str, int]) -> None:
    n = 1 << 18
    a, b = philox_integers(1, n, 2**31), philox_integers(1, n, 2**31, **other)
    assert abs(np.corrcoef(a[0], b[0])[0, 1]) < 4.5 / n**0.5


def test_what_changes_may_be_a_tensor_of_one_element() -> None:
    got = philox_integers(1, 9, torch.tensor([50]), 1, torch.tensor([2]))
    assert torch.equal(got, philox_integers(1, 9, 50, 1, 2)) and got.dtype == torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(high=0), "philox_integers: high is 0; wanted 1 .. 2147483648"),
        (dict(high=2**31 + 1), "high is 2147483649"),
        (dict(high=torch.zeros(2, dtype=torch.int64)), r"high is int64 \[2\] on cpu"),
        (dict(stream=-1), "stream is -1; wanted an integer of 32 bits"),
        (dict(seed=torch.zeros(3)), r"seed is float32 \[3\] on cpu; wanted int64 of one element or \[5\]"),
        (dict(step=torch.zeros(2, dtype=torch.int64)), r"step is int64 \[2\] on cpu"),
    ],
)
def test_refuses(arguments: dict, message: str) -> None:
    given = dict(high=7, seed=0, step=0, stream=0) | arguments
    with pytest.raises(RuntimeError, match=message):
        philox_integers(5, 2, given["high"], given["seed"], given["step"], stream=given["stream"])
    seed, step, high = (torch.as_tensor(given[name]) for name in ("seed", "step", "high"))
    with pytest.raises(RuntimeError, match=message):
        reference.philox_integers_(torch.empty(5, 2, dtype=torch.int64), seed, step, high, given["stream"])


def test_refuses_other_outputs() -> None:
    one = torch.ones(1, dtype=torch.int64)
    for out in (torch.empty(4, dtype=torch.int64), torch.empty(2, 2), torch.empty(4, 4, dtype=torch.int64).T[1:]):
        with pytest.raises(RuntimeError, match="out is"):
            torch.ops.pyslsac.philox_integers_(out, one, one, one, 0)


def test_opcheck() -> None:
    out, seed, one = torch.empty(3, 5, dtype=torch.int64), torch.arange(3), torch.tensor(1)
    torch.library.opcheck(torch.ops.pyslsac.philox_integers_.default, (out, seed, one, one, 0))


def test_compiles_into_a_graph() -> None:
    def index(step: torch.Tensor) -> torch.Tensor:
        return philox_integers(2, 4, torch.tensor([9]), 1, step) + 1

    step = torch.tensor(3)
    assert torch.equal(torch.compile(index, fullgraph=True, backend="aot_eager")(step), index(step))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_draws_the_same_numbers() -> None:
    assert backend("philox_integers", "cuda") == "compiled"
    high, step = (torch.tensor([number], device="cuda") for number in (2**31, 7))
    seeds = torch.tensor([3, 4])
    got = philox_integers(2, 1 << 20, high, seeds.cuda(), step, device="cuda")
    assert torch.equal(got.cpu(), philox_integers(2, 1 << 20, 2**31, seeds, 7))
