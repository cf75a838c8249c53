"""Sharded parameters on two processes: the noise and the clip of the whole, and checkpoints of what each rank holds."""

import socket

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from pyslsac.optim import ASGLD
from pyslsac.optim.shards import offset_of

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
SHAPES = ((7, 5), (4, 3), (1, 6), (9,))


def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def train(params: list[nn.Parameter], **fields: object) -> ASGLD:
    optimizer = ASGLD(params, lr=0.1, temperature=1e-2, seed=3, compensated=True, **fields)
    for k in range(3):
        for p in params:
            p.grad = p.detach() * (k + 1.0)
        optimizer.step()
    return optimizer


def worker(rank: int, port: int) -> None:
    from torch.distributed.tensor import init_device_mesh

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://localhost:{port}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    for clip in ("grad_norm", "drift_value"):
        shards_move_as_the_whole(mesh, clip)
    columns_have_their_own_noise(mesh, rank)
    torch.distributed.destroy_process_group()


def shards_move_as_the_whole(mesh: object, clip: str) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    whole = [nn.Parameter(w) for w in weights()]
    train(whole, clip=clip)
    for placement in (Shard(0), Replicate()):
        shards = [nn.Parameter(distribute_tensor(w, mesh, [placement])) for w in weights()]
        optimizer = train(shards, clip=clip)
        for shard, full in zip(shards, whole, strict=True):
            torch.testing.assert_close(shard.full_tensor(), full, rtol=1e-5, atol=1e-6)
            assert isinstance(optimizer.state[shard]["exp_avg"], DTensor)
        again = ASGLD(shards, seed=0, compensated=True)
        again.load_state_dict(optimizer.state_dict())
        for shard in shards:
            ours, loaded = (o.state[shard]["residual"].to_local() for o in (optimizer, again))
            assert torch.equal(ours, loaded)


def columns_have_their_own_noise(mesh: object, rank: int) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    columns = nn.Parameter(distribute_tensor(torch.zeros(6, 8), mesh, [Shard(1)]))
    columns.grad = columns.detach() * 0
    ASGLD([columns], temperature=1.0, seed=0).step()
    noise = columns.full_tensor().flatten()
    assert offset_of(columns) == 48 * rank and noise.unique().numel() == 48


def test_two_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    mp.spawn(worker, args=(port,), nprocs=2)
