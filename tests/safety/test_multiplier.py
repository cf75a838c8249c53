"""Multipliers by hand: plain ascent, Adam, projection, cap, windows."""

import math

import pytest
import torch

from pyslsac.safety import CostWindow, Multiplier


def test_plain_ascent_by_hand():
    multiplier = Multiplier(3, init=0.5, lr=0.1, maximum=1.0)
    multiplier.ascend(torch.tensor([2.0, -10.0, math.nan]), steps=3)
    torch.testing.assert_close(multiplier.value, torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64))  # 1.1 is capped
    multiplier.ascend(torch.tensor([-1.0, 3.0, 1.0]))
    torch.testing.assert_close(multiplier.value, torch.tensor([0.9, 0.3, 0.6], dtype=torch.float64))


def test_the_cap_moves_with_each_run_and_comes_back():
    multiplier = Multiplier(3, init=0.0, lr=1.0, maximum=2.0)
    multiplier.ascend(torch.tensor([9.0, 1.0, 5.0]))
    assert multiplier.value.tolist() == [2.0, 1.0, 2.0]
    multiplier.move_maximum(torch.tensor([3.0, math.nan, math.inf]))  # the last two know nothing new
    assert multiplier.maximum.tolist() == [3.0, 2.0, 2.0]
    other = Multiplier(3, init=0.0, lr=1.0, maximum=2.0)
    other.load_state_dict(multiplier.state_dict())
    for m in (multiplier, other):
        m.ascend(torch.tensor([9.0, 9.0, math.nan]))
        assert m.value.tolist() == [3.0, 2.0, 2.0]
    multiplier.move_maximum(torch.tensor([0.5, 0.5, 0.5]))
    assert multiplier.value.tolist() == [3.0, 2.0, 2.0]  # until the next move
    multiplier.ascend(torch.full((3,), math.nan))
    assert multiplier.value.tolist() == [0.5, 0.5, 0.5]
    assert other.maximum.tolist() == [3.0, 2.0, 2.0]  # a state is a copy


def test_adams_first_step_is_its_rate_whatever_the_violation():
    multiplier = Multiplier(2, init=1e-3, lr=1e-5, optimizer="adam")
    multiplier.ascend(torch.tensor([500.0, -0.2]))
    expected = torch.tensor([1e-3 + 1e-5, 1e-3 - 1e-5], dtype=torch.float64)
    torch.testing.assert_close(multiplier.value, expected, rtol=1e-6, atol=0)


def test_adams_second_step_by_hand():
    """m 0.1 · 0.9 · 2 - 0.1, v 0.001 (0.999 · 4 + 1), corrected by 0.19 and 0.001999: 0.4210526 and 1.5809015²."""
    multiplier = Multiplier(1, init=1.0, lr=0.1, optimizer="adam")
    multiplier.ascend(torch.tensor([2.0]))
    assert multiplier.value.item() == pytest.approx(1.1)
    multiplier.ascend(torch.tensor([-1.0]))
    assert multiplier.value.item() == pytest.approx(1.1 + 0.1 * 0.4210526 / 1.5809015, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_rate_of_zero_fixes_it(optimizer):
    multiplier = Multiplier(2, init=0.7, lr=0.0, optimizer=optimizer)
    multiplier.ascend(torch.tensor([500.0, -30.0]), steps=5)
    assert multiplier.value.tolist() == [0.7, 0.7]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_state_comes_back(optimizer):
    one, two = (Multiplier(2, 0.1, 0.01, optimizer=optimizer) for _ in range(2))
    one.ascend(torch.tensor([3.0, 1.0]))
    two.load_state_dict(one.state_dict())
    for multiplier in (one, two):
        multiplier.ascend(torch.tensor([-1.0, 2.0]))
    assert torch.equal(one.value, two.value)


def test_the_window_keeps_the_newest_episodes():
    window = CostWindow(2, length=4)
    assert window.cvar(0.5).isnan().all()
    for cost in (90.0, 1.0, 8.0, 3.0, 6.0):
        window.append(0, cost)
    window.append(1, 7.0)
    assert window.cvar(0.5).tolist() == [7.0, 7.0]  # (8 + 6) / 2, the 90 has left; the only one
    assert window.cvar(1.0).tolist() == [4.5, 7.0]
    other = CostWindow(2, length=4)
    other.load_state_dict(window.state_dict())
    for w in (window, other):
        w.append(0, 100.0)
    assert window.costs == other.costs


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="must not be negative"):
        Multiplier(1, -1.0, 0.1)
    with pytest.raises(ValueError, match="'sgd' or 'adam'"):
        Multiplier(1, 1.0, 0.1, optimizer="rmsprop")
    with pytest.raises(ValueError, match="length"):
        CostWindow(1, 0)
