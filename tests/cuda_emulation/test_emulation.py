"""The emulation itself: what passes, what it refuses and why, and bugs planted into copies of the real kernels."""

import importlib

import pytest
import torch

from tests.cuda_emulation.emulation import Change, KernelFault, build, compiler

FOUND_BY_NUMBERS = "not (equal|close)|assert"
PLANTED: dict[str, tuple[str, str, Change]] = {  # kernel, what is said of it, the change
    "missing barrier": (
        "implicit_quantiles",
        r"race|nobody has written",
        ("csrc/cuda/implicit_quantiles.cu", "] = value;\n          __syncthreads();\n", "] = value;\n"),
    ),
    "overlapping tiles of two blocks": (
        "philox_normal",
        r"race: .* of another block wrote",
        ("csrc/cuda/philox_normal.cu", "(blockIdx.x) * kThreads", "(blockIdx.x) * (kThreads - 1)"),
    ),
    "overlapping cells of shared memory": (
        "implicit_quantiles",
        r"race: .* of shared memory",
        ("csrc/cuda/implicit_quantiles.cu", "[threadIdx.x % kQuantiles] = value", "[threadIdx.x % 7] = value"),
    ),
    "wrong lane mask": (
        "quantile_huber",
        r"waits in __shfl_sync .* for lanes 7fffffff, itself not among them",
        ("csrc/cuda/quantile_huber.cu", "kAll = 0xFFFFFFFF", "kAll = 0x7FFFFFFF"),
    ),
    "off-by-one row": (
        "quantile_huber",
        r"outside every buffer, .* at quantile_huber.cu",
        ("csrc/cuda/quantile_huber.cu", "if (row >= args.rows) return", "if (row > args.rows) return"),
    ),
    "uninitialised shared memory": (
        "langevin_step",
        r"of shared memory at reduce.cuh:\d+.*, which nobody has written",
        (
            "csrc/reduce.cuh",
            "  lane[threadIdx.x] = value;\n",
            "  if (threadIdx.x < count) lane[threadIdx.x] = value;\n",
        ),
    ),
    "scratch that was not written": (
        "implicit_quantiles",
        r"which nobody has written",
        ("csrc/cuda/implicit_quantiles.cu", "|| lane != 0) continue;", "|| lane != 0 || n == 5) continue;"),
    ),
    "transposed fragment": (
        "tile_product",
        FOUND_BY_NUMBERS,
        ("tests/cuda_emulation/tile_product.cu", "load_matrix_transposed(b,", "load_matrix(b,"),
    ),
    "wrong edge predicate": (
        "implicit_quantiles",
        r"outside every buffer",
        ("csrc/cuda/implicit_quantiles.cu", "active && n < args.fractions", "active && n <= args.fractions"),
    ),
    "lanes that leave before a shuffle": (
        "quantile_huber",
        r"waits in __shfl_sync .* has left the kernel",
        (
            "csrc/cuda/quantile_huber.cu",
            "    Real loss = 0, slopes = 0;\n",
            "    if (!valid) return;\n    Real loss = 0, slopes = 0;\n",
        ),
    ),
    "barrier in a branch": (
        "implicit_quantiles",
        r"waits in __syncthreads .*, but thread",
        (
            "csrc/cuda/implicit_quantiles.cu",
            "          __syncthreads();\n          const int count",
            "          if (h < args.outputs) __syncthreads();\n          const int count",
        ),
    ),
    "sum of half a warp": (
        "quantile_huber",
        FOUND_BY_NUMBERS,
        ("csrc/cuda/quantile_huber.cu", "offset = kWarp / 2", "offset = kWarp / 4"),
    ),
    "wide access where nothing is aligned": (
        "asgld",
        r"not aligned, at four.cuh",
        ("csrc/four.cuh", "high == 4 && reinterpret_cast<uintptr_t>(data) % sizeof(Four<S>) == 0", "high == 4"),
    ),
    "copies awaited too late": (
        "tile_product",
        r"copy_async has not brought yet",
        ("tests/cuda_emulation/tile_product.cu", "copy_async_wait<1>", "copy_async_wait<2>"),
    ),
    "a result written by a whole warp": (
        "langevin_step",
        r"race: .* wrote it at langevin_step.cu",
        (
            "csrc/cuda/langevin_step.cu",
            "if (threadIdx.x == 0) args.chunk_sums",
            "if (threadIdx.x < 32) args.chunk_sums",
        ),
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    stem, says, change = PLANTED[bug]
    tests, kernel = importlib.import_module(f"tests.cuda_emulation.test_{stem}"), build(stem, change)
    with pytest.raises(AssertionError if says == FOUND_BY_NUMBERS else KernelFault, match=says):
        for case in tests.CASES:
            tests.check(kernel, *case)


def launch(
    name: str, blocks: int = 1, threads: int = 64, shared_bytes: int = 0, seed: int = 0, spare: int = 0
) -> torch.Tensor:
    out = torch.zeros(max(blocks * threads + spare, 4), dtype=torch.int32)
    build("primitives")(name, out, blocks, threads, shared_bytes, seed=seed)
    return out


T = torch.arange(64, dtype=torch.int32)
NEXT = T // 32 * 32 + (T + 1) % 32
SHUFFLED = (
    (T - 1).where(T % 32 > 0, T) + 100 * (T + 1).where(T % 32 < 31, T) + 10000 * (T ^ 1) + 1000000 * (T // 32 * 32)
)
RIGHT = {
    "warp_barrier": NEXT,
    "warp_barriers_in_turn": NEXT[NEXT.long()],
    "warp_barrier_of_halves": T ^ 1,
    "shuffles": SHUFFLED,
    "votes": torch.full_like(T, 5),
    "atomics": torch.tensor([64, 63], dtype=torch.int32),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name: str, seed: int) -> None:
    assert torch.equal(launch(name, seed=seed)[: len(RIGHT[name])], RIGHT[name])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["ring", "ring_twice", "cluster_turns"])
def test_clusters_that_are_right_pass(name: str, seed: int) -> None:
    out = launch(name, blocks=8 if name != "cluster_turns" else 4, shared_bytes=256, seed=seed, spare=1)
    told = torch.tensor([3, 0, 1, 2], dtype=torch.int32).repeat_interleave(64).repeat(2)
    assert torch.equal(out[:-1], told) if name != "cluster_turns" else out.tolist() == [0] * 256 + [1]


TWO = dict(blocks=2)
CLUSTER = dict(blocks=4, shared_bytes=256)


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("warp_barrier_of_the_wrong_half", {}, "race|nobody has written"),
        ("atomic_and_plain", {}, "race: .* (reads|adds to)"),
        ("shuffle_orders_nothing", {}, "race|nobody has written"),
        ("barrier_of_a_warp_for_a_block", {}, "race|nobody has written"),
        ("write_after_read", {}, "race: .* (reads .* wrote|writes .* read) it"),
        ("two_blocks_one_cell", TWO, "race: .* writes .* of another block wrote it"),
        ("read_by_one_block_written_by_another", TWO, "race: .* of another block"),
        ("what_another_block_left", TWO, "which nobody has written"),
        ("source_not_in_the_mask", {}, "takes from lane 20, not in the mask"),
        ("two_places", {}, "waits in __syncwarp .* waits in __syncwarp"),
        ("one_leaves", {}, "thread (5|37) of block 0 has left the kernel"),
        ("half_a_block", {}, "waits in __syncthreads .* has left the kernel"),
        ("two_barriers", {}, "waits in __syncthreads .* waits in __syncthreads"),
        ("two_places", dict(threads=8), "more than the warp has"),
        ("array_bounds", {}, "beyond the bounds of an array at primitives.cpp"),
        ("dynamic", dict(shared_bytes=100), "outside every buffer, .* of dynamic shared memory, which has 100 bytes"),
        ("dynamic", dict(shared_bytes=230 * 1024), "which no device takes"),
        ("dynamic", dict(threads=1025), "which no device takes"),
        ("crooked_copy", dict(shared_bytes=1024), "no 16 bytes are aligned"),
        ("told_too_early", CLUSTER, "stores into block . of its cluster, which may not have begun"),
        ("read_too_early", CLUSTER, "race|nobody has written"),
        ("told_again_too_early", CLUSTER, "race: .* of another block"),
        ("told_who_leaves", CLUSTER, "which may not have stayed|may be under way"),
        ("cluster_of_variables", CLUSTER, "uses a __shared__ variable in a cluster"),
        ("ring", dict(blocks=6, shared_bytes=256), "which no device takes"),
        ("copy_never_awaited", dict(shared_bytes=1024), "leaves before its copy_async has come"),
    ],
)
def test_what_is_wrong_is_named(name: str, how: dict[str, int], says: str) -> None:
    with pytest.raises(KernelFault, match=says):
        launch(name, **how)


def test_a_host_address_is_no_buffer() -> None:
    with pytest.raises(KernelFault, match="outside every buffer"):
        build("primitives")("atomics", [0] * 64, 1, 64, 0)


def test_a_wide_launch_runs() -> None:
    assert torch.equal(launch("dynamic", threads=1024, shared_bytes=4096), torch.arange(1024, dtype=torch.int32))


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_no_compiler_is_a_failure_under_ci(ci: str, outcome: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(outcome, match=r"g\+\+ on PATH: None"):
        compiler.__wrapped__()
