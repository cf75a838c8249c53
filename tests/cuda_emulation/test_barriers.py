"""No barrier of any kernel can go: with one left out, the kernel's own cases fail. No kernel goes without them."""

import importlib
import re

import pytest

from tests.cuda_emulation.emulation import HERE, ROOT, KernelFault, barriers, build, closure

KERNELS = sorted(path.stem for path in (ROOT / "csrc" / "cuda").glob("*.cu"))
TESTED = [stem for stem in KERNELS if (HERE / f"{stem}.cpp").is_file()]
TOGETHER = re.compile(
    r"__sync|_sync\(|\bmma_|\bload_matrix|\bcopy_async|\bcluster_sync|\batomic[A-Z]"
)  # what threads do with others
BARRIERS = [(stem, barrier) for stem in [*TESTED, "tile_product"] for barrier in barriers(stem)]


@pytest.mark.parametrize("stem", KERNELS)
def test_threads_that_work_together_are_emulated(stem: str) -> None:
    texts = [text for name, text in closure(f"csrc/cuda/{stem}.cu").items() if name.startswith("csrc/")]
    alone = not any(TOGETHER.search(text) for text in texts)
    for name in (f"{stem}.cpp", f"test_{stem}.py"):
        # Files for sm_90a alone hold instructions of whole warp groups, which nothing here emulates.
        assert alone or stem.endswith("_90a") or (HERE / name).is_file(), f"tests/cuda_emulation/{name} is missing"


@pytest.mark.parametrize(("stem", "barrier"), BARRIERS)
def test_no_barrier_is_superfluous(stem: str, barrier: str) -> None:
    tests = importlib.import_module(f"tests.cuda_emulation.test_{stem}")
    kernel = build(stem)
    with pytest.raises((KernelFault, AssertionError)):
        for case in tests.CASES:
            tests.check(kernel, *case, without=barrier)
