"""The augmented Lagrangian's price and the pessimistic estimate: by hand, and their slopes against autograd."""

import pytest
import torch

from pyslsac.safety import augmented_penalty, effective_multiplier, penalty_and_slope, pessimistic


def test_the_penalty_by_hand():
    cost, multiplier = torch.tensor([3.0, 2.0, 1.0, -1.0]), torch.tensor(0.5)
    slope = effective_multiplier(cost, 2.0, multiplier, rho=0.4)
    torch.testing.assert_close(slope, torch.tensor([0.9, 0.5, 0.1, 0.0]))
    penalty = augmented_penalty(cost, 2.0, multiplier, rho=0.4)
    torch.testing.assert_close(penalty, torch.tensor([0.7, 0.0, -0.3, -0.3125]))  # (0.81 - 0.25) / 0.8, ...


@pytest.mark.parametrize("rho", [0.1, 1.0, 4.0, None])
def test_the_slope_is_the_penaltys_derivative(rho):
    cost = torch.linspace(-3, 6, 200, dtype=torch.float64).expand(2, -1).clone().requires_grad_()
    multiplier = torch.tensor([[0.0], [1.3]], dtype=torch.float64)
    penalty, slope = penalty_and_slope(cost, 1.0, multiplier, rho)
    torch.testing.assert_close(torch.autograd.grad(penalty.sum(), cost)[0], slope.detach())
    if rho is None:
        torch.testing.assert_close(penalty, multiplier * (cost - 1.0))
    else:
        assert (slope >= 0).all() and (penalty.diff(dim=1) >= 0).all()
        near = penalty_and_slope(cost, 1.0, multiplier + 1, 1e-7)[0]
        torch.testing.assert_close(near, (multiplier + 1) * (cost - 1.0), rtol=1e-5, atol=1e-5)


def test_without_a_multiplier_it_is_a_quadratic_penalty():
    cost = torch.tensor([0.0, 1.0, 3.0])
    torch.testing.assert_close(augmented_penalty(cost, 1.0, torch.tensor(0.0), 2.0), torch.tensor([0.0, 0.0, 4.0]))


def test_pessimism_by_hand():
    q = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]]).unsqueeze(0)  # [R, E, B]
    value, slope = pessimistic(q, 0.5)
    torch.testing.assert_close(value, torch.tensor([[4.0, 2.0]]))  # 3 + 0.5 * 2; equal members have no spread
    torch.testing.assert_close(slope[0, :, 0], torch.tensor([1 / 3 - 0.25, 1 / 3, 1 / 3 + 0.25]))
    torch.testing.assert_close(slope[0, :, 1], torch.full((3,), 1 / 3))
    _, slope = pessimistic(torch.full((1, 3, 1), 0.1), 1.5)  # whose sum of three is not three times as much
    torch.testing.assert_close(slope, torch.full((1, 3, 1), 1 / 3))
    single, slope = pessimistic(q[:, :1], 2.0)
    assert torch.equal(single, q[:, 0]) and torch.equal(slope, torch.ones(1, 1, 2))


def test_the_slope_is_the_pessimisms_derivative():
    q = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    value, slope = pessimistic(q, 1.5)
    torch.testing.assert_close(value, q.mean(1) + 1.5 * q.std(1))
    torch.testing.assert_close(torch.autograd.grad(value.sum(), q)[0], slope.detach())
