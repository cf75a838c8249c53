"""CPO's step: each case by hand, and random problems against scipy and the optimality conditions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pyslsac.safety import solve_step


def solved(g, b, hessian, c, radius):
    """The step x, and what the dual says, for vectors g, b and a matrix."""
    inverse = np.linalg.inv(hessian)
    q, r, s = g @ inverse @ g, g @ inverse @ b, b @ inverse @ b
    found = solve_step(*(torch.tensor([value]) for value in (q, r, s, c)), radius)
    step = {name: value.item() for name, value in found._asdict().items()}
    return inverse @ (step["reward"] * g + step["cost"] * b), step


@pytest.mark.parametrize(
    ("c", "expected", "case"),
    [
        (-2.0, [0.6, 0.8], 3),  # the limit lies beyond the trust region
        (-0.8, [0.6, 0.8], 3),  # the trust region's own step just keeps it
        (-0.6, [0.8, 0.6], 2),  # x_2 <= 0.6 on the unit circle
        (0.0, [1.0, 0.0], 2),
        (0.6, [0.8, -0.6], 1),  # the limit is exceeded and within reach
        (1.5, [0.0, -1.0], 0),  # out of reach: down the cost as far as the trust region goes
    ],
)
def test_cases_by_hand(c, expected, case):
    """H = I, g = (3, 4), b = (0, 1), |x| <= 1."""
    step, dual = solved(np.array([3.0, 4.0]), np.array([0.0, 1.0]), np.eye(2), c, 0.5)
    np.testing.assert_allclose(step, expected, atol=1e-9)
    assert dual["case"] == case
    assert (dual["multiplier"] > 0) == (case in (1, 2)) and (dual["radius_multiplier"] > 0) == (case > 0)


def test_over_the_limit_where_the_return_leads_back_anyway():
    """g points away from the cost: the trust region's step keeps the limit although it is exceeded now."""
    step, dual = solved(np.array([3.0, -4.0]), np.array([0.0, 1.0]), np.eye(2), 0.5, 0.5)
    np.testing.assert_allclose(step, [0.6, -0.8], atol=1e-12)
    assert dual["case"] == 3 and dual["multiplier"] == 0


def test_degenerate_gradients_give_finite_steps():
    zero, one = torch.zeros(1), torch.ones(1)
    for q, r, s, c in [(one, zero, zero, -one), (one, zero, zero, one), (zero, zero, one, one), (one, one, one, zero)]:
        found = solve_step(q, r, s, c, 0.01)
        assert all(value.isfinite().all() for value in found)
    lost = solve_step(one, zero, zero, one, 0.01)  # nothing lowers the cost: H⁻¹b is zero, and so is the step
    assert lost.case == 0 and lost.reward == 0


VALUES = st.floats(-3, 3)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=6, max_size=6), VALUES, st.floats(0.005, 2.0), st.integers(0, 99))
def test_random_problems_meet_the_optimality_conditions(values, c, radius, seed):
    """Feasible, complementary, stationary: that is all it takes in a convex problem."""
    g, b = np.array(values[:3]), np.array(values[3:])
    if np.linalg.norm(g) < 0.1 or np.linalg.norm(b) < 0.1 or abs(g @ b) > 0.999 * np.linalg.norm(g) * np.linalg.norm(b):
        return
    root = np.random.default_rng(seed).normal(size=(3, 3))
    hessian = root @ root.T + 0.5 * np.eye(3)
    x, dual = solved(g, b, hessian, c, radius)
    reach = math.sqrt(2 * radius * b @ np.linalg.solve(hessian, b))
    assert x @ hessian @ x / 2 <= radius * (1 + 1e-6)
    assert (dual["case"] == 0) == (c > reach)
    if dual["case"] == 0:
        np.testing.assert_allclose(b @ x, -reach, rtol=1e-6)
        return
    rho, nu = dual["radius_multiplier"], dual["multiplier"]
    assert rho > 0 and nu >= 0 and c + b @ x <= 1e-6
    assert abs(nu * (c + b @ x)) <= 1e-5 * (1 + nu)
    np.testing.assert_allclose(x @ hessian @ x / 2, radius, rtol=1e-5)
    np.testing.assert_allclose(g - nu * b - rho * hessian @ x, 0, atol=1e-5 * (1 + nu + rho))


@pytest.mark.parametrize("seed", range(8))
def test_random_problems_against_scipy(seed):
    random = np.random.default_rng(seed)
    g, b, root = random.normal(size=4), random.normal(size=4), random.normal(size=(4, 4))
    hessian, c = root @ root.T + 0.3 * np.eye(4), random.normal() * 0.3
    x, dual = solved(g, b, hessian, c, 0.2)
    limits = [
        {"type": "ineq", "fun": lambda v: 0.2 - v @ hessian @ v / 2, "jac": lambda v: -hessian @ v},
        {"type": "ineq", "fun": lambda v: -(c + b @ v), "jac": lambda v: -b},
    ]
    aim, kept = (b, limits[:1]) if dual["case"] == 0 else (-g, limits)
    start = -0.01 * b
    best = minimize(lambda v: aim @ v, start, jac=lambda v: aim, constraints=kept, method="SLSQP", tol=1e-12)
    np.testing.assert_allclose(aim @ x, aim @ best.x, atol=1e-6)
