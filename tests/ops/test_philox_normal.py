"""philox_normal: known answers, the committed bits, one result for every backend, width and thread count, the law."""

import hashlib
import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyslsac.ops import backend, philox_normal
from pyslsac.ops.reference import philox_normal as reference
from tests.ops.threads import on_threads

CSRC = Path(__file__).parents[2] / "csrc"
# sha256 of elements 0 .. 2^20 - 1 for seed = step = stream = 0: noise of another version of this file is other noise
BITS = "b6e194753fee9341a32d2e6438c9538c1b8861d1fc5141114909a5804679d8d4"
DRIVER = """
#include <cstdio>
#include <vector>
#include "philox.h"
int main() {
  std::vector<float> normal(1 << 20);
  pyslsac::philox_normal_fill(normal.data(), normal.size(), 0, 0, 0, 0);
  std::fwrite(normal.data(), sizeof(float), normal.size(), stdout);
}
"""
needs_core = pytest.mark.skipif(backend("philox_normal", "cpu") == "reference", reason="the compiled core is not built")


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(torch.int32)


def from_reference(count: int, seed: int, step: int, stream: int, first: int) -> torch.Tensor:
    out = torch.empty(1, count)
    reference.philox_normal_(out, torch.tensor([seed]), torch.tensor(step), stream, first)
    return out[0]


@pytest.mark.parametrize(
    ("seed", "step", "stream", "block", "words"),
    [  # zeros, ones and the digits of π: the known answers published with Random123
        (0, 0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (-1, -1, 0xFFFFFFFF, 0xFFFFFFFF, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (0x299F31D0A4093822, 0x13198A2E85A308D3, 0x03707344, 0x243F6A88, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(seed: int, step: int, stream: int, block: int, words: str) -> None:
    got = reference.philox_words(torch.tensor([seed]), torch.tensor(step), stream, torch.tensor([block]))
    assert " ".join(f"{int(word):08x}" for word in got) == words


def test_bits_are_the_committed_ones() -> None:
    normal = philox_normal(1 << 20)
    assert hashlib.sha256(normal.numpy().tobytes()).hexdigest() == BITS


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_every_instruction_set_makes_the_same_bits(level: str, tmp_path: Path) -> None:
    cpu = Path("/proc/cpuinfo").read_text()
    if (level == "x86-64-v3" and "avx2" not in cpu) or (level == "x86-64-v4" and "avx512vl" not in cpu):
        pytest.skip(f"this machine has no {level}")
    (tmp_path / "driver.cpp").write_text(DRIVER)
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-DPYSLSAC_ONE_CLONE"]
    sources = [tmp_path / "driver.cpp", CSRC / "cpu" / "philox_normal.cpp"]
    subprocess.run(["g++", *flags, f"-march={level}", f"-I{CSRC}", *sources, "-o", tmp_path / "driver"], check=True)
    out = subprocess.run([tmp_path / "driver"], check=True, capture_output=True).stdout
    assert hashlib.sha256(out).hexdigest() == BITS


@needs_core
@given(
    count=st.integers(0, 700),
    seed=st.integers(-(2**63), 2**63 - 1),
    step=st.integers(0, 2**63 - 1),
    stream=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**34 - 700),
)
@settings(max_examples=40, deadline=None)
def test_compiled_is_the_reference_bit_for_bit(count: int, seed: int, step: int, stream: int, first: int) -> None:
    got = philox_normal(count, seed, step, stream=stream, first=first)
    assert torch.equal(bits(got), bits(from_reference(count, seed, step, stream, first)))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 31, 32, 33, 127, 128, 129, 255, 256, 257, 4095, 4096, 4097])
def test_edges_of_tiles(count: int) -> None:
    whole = philox_normal(8192, 7, 11, stream=5)
    for first in (0, 1, 2, 3, 255, 4093):
        assert torch.equal(philox_normal(count, 7, 11, stream=5, first=first), whole[first : first + count])


def test_threads_do_not_matter() -> None:
    results = on_threads(lambda: philox_normal((3, 33333), seed=torch.tensor([1, 2, 3]), step=9))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_runs_count_from_zero_and_do_not_leak() -> None:
    seeds = torch.tensor([5, -3, 2**62])
    stacked = philox_normal((3, 5, 7), seed=seeds, step=2, stream=65536)
    for run, seed in enumerate(seeds.tolist()):
        assert torch.equal(stacked[run], philox_normal((5, 7), seed=seed, step=2, stream=65536))


def test_step_may_be_a_tensor_and_seeds_are_64_bits() -> None:
    assert torch.equal(philox_normal(9, step=torch.tensor(2**40)), philox_normal(9, step=2**40))
    assert torch.equal(philox_normal(9, seed=2**64 - 1), philox_normal(9, seed=-1))
    assert not torch.equal(philox_normal(9, step=2**40), philox_normal(9, step=0))


def test_shapes_and_dtypes() -> None:
    assert philox_normal(()).shape == () and philox_normal((0, 3)).shape == (0, 3) and philox_normal(0).shape == (0,)
    assert torch.equal(philox_normal((2, 3), dtype=torch.float64), philox_normal((2, 3)).double())


def test_log_and_turn_against_float64() -> None:
    k = torch.arange(0, 1 << 23, 37)
    log = torch.log((2 * k + 1).double() * 2.0**-24)
    assert ((reference.log_uniform(k).double() / log) - 1).abs().max() < 1e-7
    turn = torch.arange(0, 1 << 24, 61)
    cosine, sine = reference.cos_sin_turn(turn)
    angle = turn.double() * (2 * math.pi * 2.0**-24)
    assert (cosine.double() - angle.cos()).abs().max() < 1e-7 and (sine.double() - angle.sin()).abs().max() < 1e-7


def test_moments_and_distribution() -> None:
    n = 1 << 22
    z = philox_normal(n, seed=3).double()
    powers = [(z**k).mean().item() for k in (1, 2, 3, 4)]
    for got, wanted, variance in zip(powers, (0, 1, 0, 3), (1, 2, 15, 96), strict=True):
        assert abs(got - wanted) < 4.5 * math.sqrt(variance / n)
    assert stats.kstest(z[: 1 << 18].numpy(), "norm").pvalue > 1e-4
    assert z.abs().max() < 5.78


@pytest.mark.parametrize("other", [dict(seed=1), dict(step=1), dict(stream=1), dict(first=1), dict(first=4)])
def test_streams_are_uncorrelated(other: dict[str, int]) -> None:
    n = 1 << 18
    a, b = philox_normal(n), philox_normal(n, **other)
    for f in (lambda z: z, torch.square):
        assert abs(torch.corrcoef(torch.stack((f(a), f(b))))[0, 1].item()) < 4.5 / math.sqrt(n)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(stream=-1), "philox_normal: stream is -1; wanted an integer of 32 bits"),
        (dict(first=2**34), "philox_normal: first is 17179869184; wanted elements below 17179869184"),
        (
            dict(seed=torch.zeros(3, dtype=torch.int64)),
            r"seed is int64 \[3\] on cpu; wanted int64 of one element or \[5\]",
        ),
        (dict(seed=torch.zeros(5)), r"seed is float32 \[5\] on cpu"),
        (dict(step=torch.zeros(2, dtype=torch.int64)), r"step is int64 \[2\] on cpu"),
    ],
)
def test_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        philox_normal((5, 2), **arguments)
    tensors = dict(seed=torch.zeros(1, dtype=torch.int64), step=torch.tensor(0), stream=0, first=0) | arguments
    with pytest.raises(RuntimeError, match=message):
        reference.philox_normal_(torch.empty(5, 2), *(tensors[name] for name in ("seed", "step", "stream", "first")))


def test_refuses_long_seeds_and_other_outputs() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        philox_normal(3, seed=2**64)
    one, zero = torch.zeros(1, dtype=torch.int64), torch.tensor(0)
    for out in (torch.empty(4), torch.empty(2, 2, dtype=torch.float64), torch.empty(4, 4).T[1:]):
        with pytest.raises(RuntimeError, match="out is"):
            torch.ops.pyslsac.philox_normal_(out, one, zero, 0, 0)


def test_opcheck() -> None:
    seed = torch.arange(3)
    torch.library.opcheck(torch.ops.pyslsac.philox_normal_.default, (torch.empty(3, 5), seed, torch.tensor(1), 0, 0))


def test_compiles_into_a_graph() -> None:
    def noise(step: torch.Tensor) -> torch.Tensor:
        return philox_normal((4, 4), 1, step) + 1

    step = torch.tensor(3)
    assert torch.equal(torch.compile(noise, fullgraph=True, backend="aot_eager")(step), noise(step))


@needs_core
def test_numpy_gets_the_same_bits() -> None:
    core = pytest.importorskip("pyslsac._C")
    assert (core.philox_normal(77, 5, 6, 7, 8) == philox_normal(77, 5, 6, stream=7, first=8).numpy()).all()
    with pytest.raises(ValueError, match=r"2\^34"):
        core.philox_normal(5, first=2**34)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_makes_the_same_bits() -> None:
    assert backend("philox_normal", "cuda") == "compiled"
    count = 1 << 24
    assert torch.equal(bits(philox_normal(count, 1, 2, device="cuda").cpu()), bits(philox_normal(count, 1, 2)))
