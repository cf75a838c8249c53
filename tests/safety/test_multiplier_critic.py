"""The critic-driven multiplier by hand: Adam's first two steps, its limit far below the budget, its state."""

import math

import pytest
import torch

from pyslsac.safety import CriticMultiplier


def test_two_steps_by_hand():
    multiplier = CriticMultiplier(2, lr=0.02)
    assert multiplier.value.tolist() == pytest.approx([math.log(2)] * 2, rel=1e-15)
    multiplier.ascend(torch.tensor([3.0, -0.01]))  # Adam's first step is its rate, whatever the violation
    assert multiplier.x.tolist() == pytest.approx([0.02, -0.02], abs=1e-7)
    assert multiplier.value.tolist() == pytest.approx([0.7031972, 0.6831972], abs=1e-6)
    # run 0: gradients -0.5 · 3 and sigmoid(0.02) = 0.5049998; m = -0.0845, v = 0.002502775, both over their bias
    multiplier.ascend(torch.tensor([-1.0, 0.0]))
    assert multiplier.x[0].item() == pytest.approx(0.02 + 0.02 * (0.0845 / 0.19) / math.sqrt(0.002502775 / 0.001999))


def test_it_stays_positive_and_runs_keep_apart():
    multiplier = CriticMultiplier(2, lr=0.02)
    for _ in range(1000):
        multiplier.ascend(torch.tensor([-1.0, 1.0]))
    low, high = multiplier.value.tolist()
    assert 0 < low < 0.01 and 20 < high < 22  # about 0.02 a move in x upwards, less where λ is small


def test_state_comes_back():
    one, two = (CriticMultiplier(2, 0.01) for _ in range(2))
    one.ascend(torch.tensor([3.0, 1.0]))
    state = one.state_dict()
    two.load_state_dict(state)
    for multiplier in (one, two):
        multiplier.ascend(torch.tensor([-1.0, 2.0]))
    assert torch.equal(one.value, two.value)
    assert not torch.equal(one.x, state["x"])  # a state is a copy


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="lr is"):
        CriticMultiplier(1, -0.1)
