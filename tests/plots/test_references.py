"""Reference numbers: whole, unique, and where they were measured here as the measurement has them."""

import json
from pathlib import Path

from pyslsac.plots.references import published, random_returns, scale_of

MEASURED = Path(__file__).resolve().parents[2] / "bench" / "results" / "random"


def test_every_published_number_has_source_steps_and_kind():
    rows = published()
    assert len({(row.task, row.algorithm) for row in rows}) == len(rows) == 96
    assert all(row.source and row.env_steps >= 1_000_000 for row in rows)
    assert {row.spread_kind for row in rows} == {"standard error, 5 seeds", "standard deviation, 5 seeds"}
    (ours,) = (row for row in rows if (row.task, row.algorithm) == ("SafetyAntVelocity-v1", "sl-sac"))
    assert (ours.return_mean, ours.return_spread, ours.cost_mean, ours.cost_spread) == (3104.49, 19.6, 3.57, 0.45)
    assert (ours.source, ours.spread_kind) == ("SL-SAC paper, Table 1", "standard error, 5 seeds")


def test_random_returns_are_the_measured_ones():
    measured = {}
    for path in MEASURED.glob("*.json"):
        found = json.loads(path.read_text("utf-8"))
        measured[found["task"]] = round(found["return"]["mean"], 2)
    assert random_returns() == measured
    assert random_returns().keys() == {row.task for row in published()}


def test_a_published_tasks_scale_does_not_depend_on_the_report():
    scale = scale_of("SafetyPointGoal1-v0", [1.0, 99.0])
    assert scale == scale_of("SafetyPointGoal1-v0", [5.0])
    assert (scale.zero, scale.one) == (0.22, 27.04)
    assert scale.normalised(0.22) == 0.0 and scale.normalised(27.04) == 1.0
    assert "unconstrained SAC, OmniSafe benchmark, 3,000,000 steps" in scale.one_is


def test_another_tasks_scale_is_the_reports_own_or_none():
    scale = scale_of("Other-v0", [-3.0, 5.0, 1.0])
    assert (scale.zero, scale.one, scale.normalised(1.0)) == (-3.0, 5.0, 0.5)
    assert (scale.zero_is, scale.one_is) == ("lowest mean here", "highest mean here")
    assert scale_of("Other-v0", [5.0]) is None
