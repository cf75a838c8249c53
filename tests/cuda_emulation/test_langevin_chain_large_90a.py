"""The fused chain for large batches on the host, products of warp groups done by the layouts of csrc/wgmma.cuh.

What their descriptors, fences and proxies do on the device, this does not see.
"""

from __future__ import annotations

import pytest

from tests.cuda_emulation.emulation import build
from tests.cuda_emulation.test_langevin_chain_small import LAC, check

STEM = "langevin_chain_large_90a"

CASES = [
    (dict(batch=1, dim=1, groups=((1, "relu", "mean"),)),),
    (dict(batch=65, dim=3, runs=2, groups=((2, "silu", "mean"), (1, "tanh", "sum")), steps=3),),
    (dict(batch=64, dim=8, width=256, groups=LAC, prior=True, limit="cap"),),
    (dict(batch=63, dim=17, width=128, step_bias=True, limit="normalize", groups=((2, "gelu", "sum"),)),),
    (dict(batch=4, dim=6, width=128, groups=((3, "relu", "member"),), drift_only=True, steps=1),),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_reference(case):
    check(build(STEM), *case)
