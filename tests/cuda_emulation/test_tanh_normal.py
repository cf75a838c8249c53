"""The CUDA kernels of `tanh_normal` on the host: the reference's actions, densities and gradients."""

import pytest
import torch

from pyslsac.ops.reference import tanh_normal as reference
from tests.cuda_emulation.emulation import Library, Output, build

CASES = [(1, 1), (3, 6), (127, 2), (128, 17), (129, 5)]


def check(kernel: Library, rows: int, actions: int, without: str = "") -> None:
    params, noise = 2 * torch.randn(rows, 2 * actions), torch.randn(rows, actions)
    action_grad, log_prob_grad = torch.randn(rows, actions), torch.randn(rows)
    action, log_prob, grad = torch.empty(rows, actions), torch.empty(rows), torch.empty(rows, 2 * actions)
    outputs = Output(action), Output(log_prob), action_grad, log_prob_grad, Output(grad)
    kernel("run", params, noise, *outputs, rows, actions, seed=rows, without=without)
    wanted = reference.tanh_normal(params, noise)
    back = reference.tanh_normal_backward(params, noise, wanted[0], action_grad, log_prob_grad)
    for ours, theirs in zip((action, log_prob, grad), (*wanted, back), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("rows", "actions"), CASES)
def test_the_numbers_of_the_reference(rows: int, actions: int) -> None:
    check(build("tanh_normal"), rows, actions)
