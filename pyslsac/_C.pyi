"""Build facts and NumPy helpers of the compiled core; absent where it was not built."""

import numpy as np
from numpy.typing import NDArray

def build_info() -> dict[str, str]:
    """What this build was made of: version, compiler, flags, simd (of this machine), cuda_version, cuda_architectures,
    torch_target. Empty strings for what it was built without."""

def philox_normal(count: int, seed: int = 0, step: int = 0, stream: int = 0, first: int = 0) -> NDArray[np.float32]:
    """Standard normals of elements first .. first + count - 1: the bits of `pyslsac.ops.philox_normal`."""
