"""The registry of ops: a schema, the reference for every device, compiled twins laid over it where they were built.

The reference of an op is registered as CompositeExplicitAutograd, so it serves every device; a kernel for CPU or CUDA
in `pyslsac/lib/` overrides it there. Which one runs is the dispatcher's choice, never an `if` in a wrapper.
"""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

Number = float | torch.Tensor
LIBRARY = torch.library.Library("pyslsac", "DEF")
OPS: list[str] = []
FOLDER = Path(__file__).parent.parent / "lib"
MENDING = (
    "install a C++17 compiler (and nvcc for CUDA) and torch >= 2.11 in this environment, then, in the checkout, run "
    "`pip install --force-reinstall --no-deps .` (or `make build` when you run from the checkout)"
)


def _load(device_type: str) -> str | None:
    """Load the compiled twins for a device; None, or the reason why there are none."""
    if device_type == "cuda" and torch.version.cuda is None:
        return "this torch was built without CUDA"
    path = FOLDER / f"libpyslsac_{device_type}.so"
    if not path.exists():
        return f"{path} is not there: pyslsac was installed where the compiler or torch was not found"
    try:
        torch.ops.load_library(path)
    except OSError as error:
        return f"{path} does not load into torch {torch.__version__}: {error}"
    return None


MISSING: dict[str, str | None] = {device_type: _load(device_type) for device_type in ("cpu", "cuda")}


@functools.cache
def _warn_once(device_type: str) -> None:
    if reason := MISSING.get(device_type):
        warnings.warn(
            f"pyslsac runs on its slow reference implementations on {device_type}: {reason}. To mend it, {MENDING}.",
            RuntimeWarning,
            stacklevel=3,
        )


def define(schema: str, reference: Callable, fake: Callable) -> torch._ops.OpOverload:
    """The op `pyslsac::<schema>`: `reference` serves every device without a compiled twin, `fake` gives shapes only."""
    name = schema[: schema.index("(")]
    tags = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order)
    LIBRARY.define(schema, tags=tags)

    @functools.wraps(reference)
    def fallback(*args, **kwargs):
        _warn_once(next((arg.device.type for arg in args if isinstance(arg, torch.Tensor)), "cpu"))
        return reference(*args, **kwargs)

    LIBRARY.impl(name, fallback, "CompositeExplicitAutograd")
    torch.library.register_fake(f"pyslsac::{name}", fake, lib=LIBRARY)
    OPS.append(name)
    return getattr(torch.ops.pyslsac, name).default


def autograd(op: torch._ops.OpOverload, backward: Callable, setup_context: Callable) -> None:
    """Give an op of `define` its derivative (the arguments of `torch.library.register_autograd`)."""
    torch.library.register_autograd(op.name(), backward, setup_context=setup_context, lib=LIBRARY)


def backend(op_name: str, device_type: str) -> str:
    """What an op, named as in `OPS` or by its stem, runs on on this type of device: "compiled" or "reference"."""
    name = op_name if op_name in OPS else f"{op_name}_"
    if name not in OPS:
        raise ValueError(f"backend: op_name is {op_name!r}; wanted one of {OPS}")
    compiled = torch._C._dispatch_has_kernel_for_dispatch_key(f"pyslsac::{name}", device_type.upper())
    return "compiled" if compiled else "reference"


def per_run(value: Number, dtype: torch.dtype) -> torch.Tensor:
    """`value` as the tensor an op takes: a number becomes a 0-dim CPU tensor, read without a copy to the device."""
    return value.to(dtype) if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=dtype)


def schedule(op: str, name: str, value: Number, steps: int, runs: int, dtype: torch.dtype) -> torch.Tensor:
    """`value` of each move and run as [1 or K, 1 or R], K = steps; a number becomes a CPU tensor."""
    value = per_run(value, dtype)
    if value.dim() == 2:
        return value.contiguous()
    if steps == runs > 1 and value.shape == (runs,):
        raise ValueError(
            f"{op}: {name} is [{runs}], which may count moves or runs; give it two axes: "
            f"[{steps}, 1] changes with the move, [1, {runs}] with the run"
        )
    return value.reshape((-1, 1) if value.shape == (steps,) else (1, -1)).contiguous()


def seed_tensor(seed: int | torch.Tensor) -> torch.Tensor:
    """The 64-bit noise seed as int64 [1] or [R]; ints up to 2^64 - 1 keep their bits."""
    if isinstance(seed, torch.Tensor):
        return seed
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed is {seed}; wanted an integer of 64 bits")
    return torch.tensor([seed - 2**64 if seed >= 2**63 else seed])
