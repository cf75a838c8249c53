"""What every op means, in plain torch, and the checks that the compiled bindings make too."""

import torch


def describe(tensor: torch.Tensor) -> str:
    """`float32 [2, 3] on cpu`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} on {tensor.device.type}"


def require(ok: bool, op: str, argument: str, came: object, wanted: str) -> None:
    """Raise RuntimeError `op: argument is CAME; wanted WANTED` unless ok (csrc/bind/checks.h says the same)."""
    if not ok:
        raise RuntimeError(
            f"{op}: {argument} is {describe(came) if isinstance(came, torch.Tensor) else came}; wanted {wanted}"
        )


def require_per_run(
    op: str, argument: str, value: torch.Tensor, runs: int, like: torch.Tensor, dtype: torch.dtype
) -> None:
    """Refuse a value that is not one number (which may stay on the CPU) or [runs] beside `like`, of this dtype."""
    name = str(dtype).removeprefix("torch.")
    fits = value.dtype == dtype and (
        (value.numel() == 1 and value.device.type == "cpu")
        or (value.device == like.device and (value.numel() == 1 or list(value.shape) == [runs]))
    )
    require(fits, op, argument, value, f"{name} of one element or [{runs}] on {like.device.type}")


def matmul(left: torch.Tensor, right: torch.Tensor, bf16: bool) -> torch.Tensor:
    """left @ right, of factors rounded to bfloat16 where asked for; the sums have the factors' own dtype."""
    if not bf16:
        return torch.bmm(left, right)
    rounded = left.bfloat16(), right.bfloat16()
    if left.is_cuda and left.dtype == torch.float32:  # what tensor cores do
        return torch.bmm(*rounded, out_dtype=torch.float32)
    return torch.bmm(*(x.to(left.dtype) for x in rounded))
