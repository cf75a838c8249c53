"""Bars over tasks: return, and cost against its limit, that runs came to in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyslsac.plots.curves import STYLE, column_grid, draw_limits, legend_below, looks_of, save, seeds_in_words
from pyslsac.plots.results import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (("Return per episode", "return"), ("Cost per episode", "cost"))
HATCHES = {"-": "", ":": "///", "-.": "..."}  # where colours come again, as lines do in curves


def plot_bars(groups: Sequence[Group], out: str | Path) -> Path:
    """Draw a column per task, return above cost, a bar per label, into the image `out`; returns its path.

    A bar is the mean over seeds, its line the 95 % bootstrap interval, dots are the seeds; one seed has no interval.
    The dashed line is the cost limit.
    """
    return save(bars_of(groups), out)


def bars_of(groups: Sequence[Group]) -> Figure:
    """The figure that `plot_bars` saves."""
    import matplotlib
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    looks = looks_of(group.label for group in groups)
    with matplotlib.rc_context(STYLE):
        figure, grid = column_grid(sorted({group.task for group in groups}), [title for title, _ in PANELS])
        for task, panels in grid.items():
            for axes, (_, quantity) in zip(panels, PANELS, strict=True):
                _panel(axes, quantity, [group for group in groups if group.task == task], looks)
        handles: list[Any] = []
        for label, look in looks.items():
            counts = seeds_in_words(len(group.results) for group in groups if group.label == label)
            handles.append(Patch(**_filled(look), label=f"{label} ({counts})"))
        handles.append(Line2D([], [], color="#222222", marker="o", markersize=4, linestyle="", label="one seed"))
        if any(len(group.results) > 1 for group in groups):
            handles.append(Line2D([], [], color="#222222", label="95 % bootstrap interval"))
        legend_below(figure, handles, [group.cost_limit for group in groups])
    return figure


def _panel(axes: Axes, quantity: str, groups: Sequence[Group], looks: Mapping[str, dict[str, Any]]) -> None:
    """Draw one quantity of one task: every label in its place, those without runs here left out."""
    for place, group in enumerate(groups):
        values, estimate = group.values(quantity), group.estimate(quantity)
        assert estimate is not None
        axes.bar(place, estimate.value, width=0.8, **_filled(looks[group.label]))
        if estimate.low is not None and estimate.high is not None:
            axes.plot([place, place], [estimate.low, estimate.high], color="#222222", linewidth=1.6, zorder=4)
        across = place + np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.array([place])
        axes.plot(across, values, "o", color="#222222", markersize=4, markeredgecolor="white", zorder=5)
    if quantity == "cost":
        draw_limits(axes, (group.cost_limit for group in groups))
    axes.axhline(0.0, color="#666666", linewidth=0.8)
    axes.set_xticks([])


def _filled(look: Mapping[str, Any]) -> dict[str, Any]:
    """How a label's bars look."""
    return {"facecolor": look["color"], "edgecolor": "white", "hatch": HATCHES[look["linestyle"]], "linewidth": 0}
