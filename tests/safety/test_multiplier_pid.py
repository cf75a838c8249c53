"""The PID multiplier by hand, and what it is when two of its gains are 0."""

import math

import pytest
import torch

from pyslsac.safety import Multiplier, PIDMultiplier


def test_by_hand():
    """kp 0.5, ki 0.1, kd 2, both averages 0.5, limit 10, delay 2; costs 14, 20, 8, 2 are e = 4, 10, -2, -8.

    I: 0.3 + 0.4 = 0.7, 1.7, 1.5, 0.7.      P: 2, 6, 2, -3.      S: 7, 13.5, 10.75, 6.375, before 0, 0.
    D: 7, 13.5, 10.75 - 7 = 3.75, and 0 for 6.375 - 13.5.
    λ: 0.7 + 1 + 14, 1.7 + 3 + 27, 1.5 + 1 + 7.5, and 0 for 0.7 - 1.5.
    """
    multiplier = PIDMultiplier(1, 0.3, kp=0.5, ki=0.1, kd=2.0, cost_limit=10.0, p_ema=0.5, d_ema=0.5, delay=2)
    assert multiplier.value.item() == 0.3
    for cost, expected in ((14.0, 15.7), (20.0, 31.7), (8.0, 10.0), (2.0, 0.0)):
        multiplier.ascend(torch.tensor([cost - 10.0]))
        assert multiplier.value.item() == pytest.approx(expected)
    assert multiplier.integral.item() == pytest.approx(0.7)


def test_omnisafes_numbers():
    """What OmniSafe 0.5.0's PIDLagrangian said at these costs, with its averages and its delay of ten."""
    costs = (60, 60, 80, 80, 80, 30, 10, 10, 0, 0, 0, 0, 0, 40, 40)
    said = (
        0.221, 0.43175, 0.7237125, 1.003826875, 1.272685531, 1.305851255, 1.247608692, 1.191528257, 1.092501844,
        0.997176752, 0.755367915, 0.524399519, 0.253729543, 0.175343066, 0.154863468,
    )  # fmt: skip
    multiplier = PIDMultiplier(1, 1e-3, kp=0.02, ki=0.001, kd=0.05, cost_limit=25.0)
    for cost, expected in zip(costs, said, strict=True):
        multiplier.ascend(torch.tensor([cost - 25.0]))
        assert multiplier.value.item() == pytest.approx(expected, abs=1e-9)


def test_with_the_integral_alone_it_is_plain_ascent():
    generator = torch.Generator().manual_seed(0)
    for maximum in (None, 0.4):
        pid = PIDMultiplier(3, 0.1, kp=0.0, ki=0.02, kd=0.0, cost_limit=25.0, maximum=maximum)
        plain = Multiplier(3, 0.1, 0.02, maximum=maximum)
        seen = []
        for _ in range(60):
            violation = 10 * torch.randn(3, generator=generator)
            violation[torch.rand(3, generator=generator) < 0.2] = math.nan
            for multiplier in (pid, plain):
                multiplier.ascend(violation, steps=2)
            torch.testing.assert_close(pid.value, plain.value, rtol=1e-12, atol=1e-12)
            seen.append(plain.value.clone())
        assert (torch.stack(seen) == 0).any()  # the floor was met


def test_several_steps_are_as_many_moves():
    one, two = (PIDMultiplier(2, 0.0, kp=0.1, ki=0.01, kd=0.1, cost_limit=5.0) for _ in range(2))
    one.ascend(torch.tensor([3.0, -1.0]), steps=3)
    for _ in range(3):
        two.ascend(torch.tensor([3.0, -1.0]))
    assert torch.equal(one.value, two.value) and one.value[0] > 0


def test_a_run_that_knows_nothing_stays():
    """It is as if the moves without a violation had not been."""
    gains = dict(kp=0.1, ki=0.01, kd=0.1, cost_limit=5.0)
    both, alone = PIDMultiplier(2, 0.2, **gains), PIDMultiplier(1, 0.2, **gains)
    for cost in (math.nan, 9.0, math.nan, 30.0):
        both.ascend(torch.tensor([cost - 5.0, 1.0]))
        if not math.isnan(cost):
            alone.ascend(torch.tensor([cost - 5.0]))
    assert both.value[0] == alone.value[0] != both.value[1]


def test_the_state_comes_back_and_is_a_copy():
    one, two = (PIDMultiplier(2, 0.2, kp=0.1, ki=0.01, kd=0.1, cost_limit=5.0) for _ in range(2))
    one.ascend(torch.tensor([4.0, 70.0]), steps=12)
    state = one.state_dict()
    two.load_state_dict(state)
    for multiplier in (one, two):
        multiplier.ascend(torch.tensor([9.0, -3.0]), steps=5)
    assert torch.equal(one.value, two.value) and not torch.equal(one.value, state["value"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kd=-1.0), "may be negative"),
        (dict(p_ema=1.0), "p_ema is 1.0"),
        (dict(delay=0), "delay is 0"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        PIDMultiplier(1, 0.0, **(dict(kp=0.0, ki=0.1, kd=0.0, cost_limit=1.0) | options))
