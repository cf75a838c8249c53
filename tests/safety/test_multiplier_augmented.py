"""ALGD's multiplier by hand: Adam on its logarithm."""

import math

import pytest
import torch

from pyslsac.safety import LogMultiplier


def test_moves_by_hand():
    """Adam's first step is its rate; the second weighs the gradients g = -λ (J - d) of both."""
    multiplier = LogMultiplier(2, init=0.5, lr=0.1)
    multiplier.ascend(torch.tensor([2.0, -4.0]))
    torch.testing.assert_close(multiplier.value, 0.5 * torch.tensor([0.1, -0.1]).double().exp())
    first, value = -0.5 * 2.0, 0.5 * math.exp(0.1)
    second = -value * -1.0
    multiplier.ascend(torch.tensor([-1.0, 0.0]))
    mean = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    square = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    assert multiplier.value[0].item() == pytest.approx(value * math.exp(-0.1 * mean / math.sqrt(square)), rel=1e-6)


def test_it_stays_positive():
    multiplier = LogMultiplier(1, init=1e-3, lr=0.5)
    for _ in range(50):
        multiplier.ascend(torch.tensor([-100.0]))
    assert 0 < multiplier.value.item() < 1e-5


def test_state_comes_back():
    one, two = (LogMultiplier(2, 0.6931, 3e-4) for _ in range(2))
    one.ascend(torch.tensor([3.0, 1.0]))
    two.load_state_dict(one.state_dict())
    for multiplier in (one, two):
        multiplier.ascend(torch.tensor([-1.0, 2.0]))
    assert torch.equal(one.value, two.value) and not torch.equal(one.value[0], one.value[1])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="init is 0"):
        LogMultiplier(1, 0.0, 0.1)


def test_a_state_of_an_earlier_version_is_refused():
    multiplier = LogMultiplier(1, 0.5, 0.1)
    with pytest.raises(ValueError, match="an earlier version's"):
        multiplier.load_state_dict({"log": torch.zeros(1), "optimizer": {}})
    assert multiplier.value.item() == pytest.approx(0.5)
