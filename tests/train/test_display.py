"""What a person sees: a line an epoch without a terminal, a table on one, nothing when quiet."""

import io

import numpy as np
import pytest
from rich.console import Console

from pyslsac.train.display import Display, clock

VALUES = {
    "Metrics/EpRet": np.array([-1.25, np.nan]),
    "Metrics/EpCost": np.array([7.5, 3.0]),
    "Metrics/LagrangeMultiplier": np.array([0.001, 0.25]),
    "Metrics/Episodes": np.array([3.0, 0.0]),
}


def show(terminal, quiet=False):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None, _environ={})
    with Display("sl-sac on Task", 1000, 5.0, quiet=quiet, console=console) as display:
        display.tick(10)
        display.epoch(400, [0, 1], VALUES)
        display.say("seed 1 failed")
    return out.getvalue()


def test_one_line_an_epoch():
    lines = show(terminal=False).splitlines()
    assert len(lines) == 2 and lines[1] == "seed 1 failed"
    for part in ("400/1,000", "return -1.2 -", "cost 7.5 3.0 (limit 5)", "multiplier 0.001 0.25", "steps/s", "left"):
        assert part in lines[0]


def test_a_table_on_a_terminal():
    shown = show(terminal=True)
    for part in ("sl-sac on Task", "cost (limit 5)", "-1.2", "7.5", "0.25", "400/1,000 steps", "left"):
        assert part in shown


def test_quiet():
    assert show(terminal=False, quiet=True) == show(terminal=True, quiet=True) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.9, "0:00:59"), (3661, "1:01:01"), (90000, "25:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
