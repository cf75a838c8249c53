"""The memory of what an op makes: large blocks go round, and nothing that is still held is given away."""

import ctypes
import threading

import pytest
import torch

from pyslsac.ops import asgld_, backend, perceptron

pytestmark = pytest.mark.skipif(backend("perceptron", "cpu") == "reference", reason="torch's own without the core")

WIDTH = 256  # 512 rows of it: half a megabyte


def layer(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(1, *shape, generator=draw) for shape in ((512, WIDTH), (WIDTH, WIDTH), (WIDTH,)))


def apply(arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
    x, weight, bias = arguments
    with torch.no_grad():
        return perceptron(x, [weight], [bias], [None])


def test_a_block_goes_to_the_next_tensor_of_its_size_and_never_to_two() -> None:
    arguments = layer(0)
    held = [apply(arguments) for _ in range(3)]
    places = {y.data_ptr() for y in held}
    assert len(places) == 3 and all(torch.equal(y, held[0]) for y in held)
    view = held.pop()[:, 1:]  # its storage is held on
    held.clear()
    again = [apply(arguments) for _ in range(2)]
    assert {y.data_ptr() for y in again} == places - {view.data_ptr() - 4 * WIDTH}
    assert torch.equal(view, again[0][:, 1:])


def test_a_small_tensor_leaves_large_blocks_alone() -> None:
    x, weight, bias = layer(1)
    place = apply((x, weight, bias)).data_ptr()
    small = apply((x[:, :4], weight, bias))
    assert small.data_ptr() != place and apply((x, weight, bias)).data_ptr() == place


def test_threads_share_the_blocks() -> None:
    wrong = []

    def work(seed: int) -> None:
        arguments = layer(seed)
        expected = apply(arguments).clone()
        kept: list[torch.Tensor] = []
        for i in range(60):
            kept = [*kept[i % 3 :], apply(arguments)]
            if not all(torch.equal(y, expected) for y in kept):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_a_tensor_was_given_serves_its_gradient_and_its_copy_in_a_file(tmp_path) -> None:
    x, weight, bias = layer(2)
    y = perceptron(x.requires_grad_(), [weight], [bias], [None])
    y.sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(2)[:, None].expand_as(x))
    torch.save(y.detach(), tmp_path / "y.pt")
    assert torch.equal(torch.load(tmp_path / "y.pt", weights_only=True), y)


HEAP = getattr(ctypes.CDLL(None), "mallinfo2", None)  # glibc's: ten numbers, the eighth what is in use of its own heap


@pytest.mark.skipif(HEAP is None, reason="needs glibc 2.33")
def test_a_call_with_text_leaves_nothing_behind() -> None:
    """torch's own conversion leaves 48 bytes for each of `variant` and `clip`."""
    HEAP.restype = type("Heap", (ctypes.Structure,), {"_fields_": [(f"n{i}", ctypes.c_size_t) for i in range(10)]})
    params, lists = [torch.zeros(3)], [[torch.zeros(3)] for _ in range(3)]

    def steps(times: int) -> int:
        for _ in range(times):
            asgld_(params, *lists, steps=[torch.zeros((), dtype=torch.int64)], seed=0, lr=1e-4)
        return HEAP().n7

    before = steps(500)
    assert steps(2_000) - before < 2_000 * 10
