"""The CUDA kernels of `asgld_` on the host: the reference's bits, over chunk edges, long lists, odd alignments."""

import pytest
import torch
from torch import Tensor

from pyslsac.ops import asgld_
from pyslsac.ops.reference.asgld import CLIPS, VARIANTS, wide
from tests.cuda_emulation.emulation import Library, build

EDGES = [1, 3, 4, 31, 33, 2047, 2049, 4095, 4096, 4097]
MANY = [0] * 256 + [1, 5, 0, 3]  # two launches, the first of them without an element
LONG = [1] * 250 + [4097, 4099, 4097, 2]  # one launch, whose sums are too many for every block to add
NUMBERS = dict(bias=2.0, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1, clip_threshold=0.7, polyak=0.25)
STORAGES = [torch.float32, torch.float64, torch.bfloat16]
CASES = [  # networks of both runs, sizes, variant, clip, dtype, extras: residual, target, grad_scale, maximize
    *((6, [5, 4097], "asgld", clip, torch.float32, True) for clip in CLIPS),
    *((2, [33, 2], variant, "drift_norm", torch.float32, False) for variant in VARIANTS),
    *((2, [31, 4097], "asgld", "grad_norm", dtype, extras) for dtype in STORAGES for extras in (False, True)),
    *((2, [size], "asgld", "grad_norm", torch.float32, False) for size in EDGES),
    *((2, sizes, "asgld", clip, torch.float32, False) for sizes in (MANY, LONG) for clip in ("grad_norm", "none")),
]


def misaligned(tensor: Tensor) -> Tensor:
    """A copy that begins one element behind an aligned address."""
    base = torch.empty(tensor.numel() + 1, dtype=tensor.dtype)
    return base[1:].view(tensor.shape).copy_(tensor)


def table(written: dict, grads: list[Tensor], steps: list[Tensor], networks: int) -> list:
    """The rows that asgld.cpp reads."""
    rows: list = []
    for i, param in enumerate(written["params"]):
        entries = [written[k][i] if written[k] else None for k in ("exp_avgs", "exp_avg_sqs", "residuals", "targets")]
        size = param.numel() // networks
        rows += [param, grads[i], *entries, steps[i], size, 3 * i, i, STORAGES.index(param.dtype)]
    return rows


def check(
    kernel: Library,
    networks: int,
    sizes: list[int],
    variant: str,
    clip: str,
    dtype: torch.dtype,
    extras: bool,
    without: str = "",
) -> None:
    params = [torch.randn(networks, size).to(dtype) for size in sizes]
    real = [torch.rand(4, *p.shape).to(wide(p)) for p in params]
    written = {
        "params": params,
        "exp_avgs": [x[0] for x in real] if VARIANTS[variant] == 2 else [],
        "exp_avg_sqs": [x[1] for x in real] if VARIANTS[variant] else [],
        "residuals": [x[2] * 1e-9 for x in real] if extras else [],
        "targets": [x[3].to(dtype) for x in real] if extras else [],
    }
    written = {name: [misaligned(x) for x in tensors] for name, tensors in written.items()}
    wanted = {name: [x.clone() for x in tensors] for name, tensors in written.items()}
    grads, steps = [torch.randn_like(p) for p in params], [torch.tensor(2**33 + i) for i in range(len(sizes))]
    seed, lr, temperature = torch.tensor([3, 4]), torch.tensor(1e-2).double(), torch.tensor(1e-3).double()
    scale, found = (torch.tensor(3.0), torch.tensor(0.0)) if extras else (None, None)
    numbers = torch.tensor([NUMBERS["bias"], *NUMBERS["betas"], *list(NUMBERS.values())[2:]], dtype=torch.float64)
    sums = torch.zeros(networks * (sum(-(-size // 4096) for size in sizes) + 1), dtype=torch.float64)
    asgld_(
        **wanted,
        grads=grads,
        steps=steps,
        seed=seed,
        lr=lr,
        temperature=temperature,
        variant=variant,
        clip=None if clip == "none" else clip,
        networks=networks,
        streams=list(range(len(sizes))),
        offsets=[3 * i for i in range(len(sizes))],
        grad_scale=scale,
        found_inf=found,
        maximize=extras,
        fused=False,
        **NUMBERS,
    )
    number = {"asgld": 0, "asgld-preconditioned": 1, "psgld": 2, "sgld": 3}[variant]
    rows = table(written, grads, steps, networks)
    given = rows, len(sizes), networks, 2, seed, lr, temperature, scale, found, numbers, number, CLIPS.index(clip)
    kernel("run", *given, int(extras), sums, seed=networks, without=without)
    tolerance = 1e-13 if dtype == torch.float64 else 0.0
    torch.testing.assert_close(written, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("networks", "sizes", "variant", "clip", "dtype", "extras"), CASES)
def test_the_bits_of_the_reference(
    networks: int, sizes: list[int], variant: str, clip: str, dtype: torch.dtype, extras: bool
) -> None:
    check(build("asgld"), networks, sizes, variant, clip, dtype, extras)


def test_found_inf_leaves_everything_alone() -> None:
    kernel, before = build("asgld"), torch.randn(2, 5)
    for found in (0.0, 1.0):
        param = before.clone()
        rows = [param, torch.ones(2, 5), None, None, None, None, torch.tensor(1), 5, 0, 0, 0]
        single = torch.tensor([7]), torch.tensor(0.1).double(), torch.tensor(0.0).double(), None, torch.tensor(found)
        kernel("run", rows, 1, 2, 1, *single, torch.ones(7).double(), 3, 0, 0, torch.zeros(4).double())
        assert torch.equal(param, before) == bool(found)
