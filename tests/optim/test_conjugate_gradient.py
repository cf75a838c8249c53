"""Conjugate gradients against dense solves."""

import pytest
import torch

from pyslsac.optim import conjugate_gradient


def systems(runs: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    root = torch.randn(runs, size, size, generator=generator, dtype=torch.float64)
    right = torch.randn(runs, size, generator=generator, dtype=torch.float64)
    return root @ root.mT / size + 0.1 * torch.eye(size, dtype=torch.float64), right


@pytest.mark.parametrize("size", [1, 5, 40])
def test_as_many_steps_as_unknowns_solve_it(size):
    matrix, right = systems(3, size)
    found = conjugate_gradient(lambda v: (matrix @ v.unsqueeze(-1)).squeeze(-1), right, 4 * size, tolerance=1e-24)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right), rtol=1e-8, atol=1e-10)


def test_fewer_steps_are_the_best_of_their_krylov_space():
    """After k steps x minimises xᵀMx / 2 - bᵀx over the span of b, Mb, ..., M^(k-1) b."""
    matrix, right = systems(1, 12)
    found = conjugate_gradient(lambda v: v @ matrix[0], right, 4)[0]
    powers = [right[0]]
    for _ in range(3):
        powers.append(matrix[0] @ powers[-1])
    basis = torch.linalg.qr(torch.stack(powers, dim=1)).Q
    best = basis @ torch.linalg.solve(basis.T @ matrix[0] @ basis, basis.T @ right[0])
    torch.testing.assert_close(found, best, rtol=1e-7, atol=1e-9)


def test_a_run_that_is_done_stands_still():
    """One run is solved by its first step, another asks for nothing; both stay finite while the third goes on."""
    matrix, right = systems(3, 6)
    matrix[0], right[1] = torch.eye(6), 0.0
    found = conjugate_gradient(lambda v: (matrix @ v.unsqueeze(-1)).squeeze(-1), right, 30)
    torch.testing.assert_close(found[0], right[0])
    assert not found[1].any()
    torch.testing.assert_close(found[2], torch.linalg.solve(matrix[2], right[2]), rtol=1e-4, atol=1e-5)
