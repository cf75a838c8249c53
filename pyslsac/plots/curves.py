"""Learning curves: return, cost against its limit, and multiplier over environment steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyslsac.plots.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (  # title, training column, evaluation column
    ("Return per episode", "Metrics/EpRet", "Metrics/TestEpRet"),
    ("Cost per episode", "Metrics/EpCost", "Metrics/TestEpCost"),
    ("Lagrange multiplier", "Metrics/LagrangeMultiplier", None),
)
# Okabe and Ito's colours, which the colour-blind can tell apart, and two more
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B", "#8C564B")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#E5E5E5",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "font.size": 10,
    "legend.frameon": False,
}
DASHES = ("-", ":", "-.")  # past the last colour the first comes again, with other lines
ACROSS = 5  # tasks beside each other, before the next go below


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds [T] and half the width of its 95 % confidence interval, t · s / √n [T], of `values` [n, T]."""
    seeds = len(values)
    if seeds < 2:
        raise ValueError("an interval over seeds needs at least 2 seeds, got 1")
    from scipy.special import stdtrit

    t = float(stdtrit(seeds - 1, 0.975))
    return values.mean(axis=0), t * values.std(axis=0, ddof=1) / math.sqrt(seeds)


def on_common_steps(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [T] that all seeds cover and their interpolated values [n, T]."""
    start, stop = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    every = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = every[(every >= start) & (every <= stop)]
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in curves])


def looks_of(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and line of every label: eight colours that the colour-blind can tell apart, then again in other lines."""
    looks = {}
    for i, label in enumerate(sorted(set(labels))):
        again, colour = divmod(i, len(COLOURS))
        looks[label] = {"color": COLOURS[colour], "linestyle": DASHES[again % len(DASHES)]}
    return looks


def plot_curves(runs: Sequence[Run], out: str | Path, *, columns: bool = False) -> Path:
    """Draw one row of three panels per task, one colour per label, into the image `out`; returns its path.

    With `columns`, as in papers: one column per task, return above cost. The line is the mean over seeds and the band
    its 95 % t-interval; a single seed is labelled as such and has no band. Dots are deterministic evaluations, one per
    seed; the dashed line is the cost limit.
    """
    return save(figure_of(runs, columns=columns), out)


def save(figure: Figure, out: str | Path) -> Path:
    """Write a figure into the image `out`, the same bytes whenever; returns its path."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    stamps = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "pyslsac"}):
        figure.savefig(out, dpi=150, metadata=stamps.get(out.suffix))
    return out


def figure_of(runs: Sequence[Run], *, columns: bool = False) -> Figure:
    """The figure that `plot_curves` saves."""
    import matplotlib
    from matplotlib.figure import Figure

    tasks = sorted({run.task for run in runs})
    looks = looks_of(run.label for run in runs)
    with matplotlib.rc_context(STYLE):
        if columns:
            figure, grid = column_grid(tasks, [title for title, _, _ in PANELS[:2]])
        else:
            figure = Figure(figsize=(13, 0.9 + 3.3 * len(tasks)), layout="constrained")
            grid = dict(zip(tasks, figure.subplots(len(tasks), len(PANELS), squeeze=False), strict=True))
            for task, row in grid.items():
                for axes, (title, _, _) in zip(row, PANELS, strict=True):
                    axes.set_title(title)
                if len(tasks) > 1:
                    row[0].set_ylabel(task, fontweight="bold")
            if len(tasks) == 1:
                figure.suptitle(tasks[0], x=0.006, ha="left", fontsize=13, color="#444444")
        for task, panels in grid.items():
            for axes, panel in zip(panels, PANELS, strict=False):
                _panel(axes, panel, [run for run in runs if run.task == task], looks)
        _legend(figure, runs, looks)
    return figure


def column_grid(tasks: Sequence[str], quantities: Sequence[str]) -> tuple[Figure, dict[str, list[Axes]]]:
    """A figure with a column per task, named at its top, and every task's panels, one below the other."""
    from matplotlib.figure import Figure

    blocks = math.ceil(len(tasks) / ACROSS)
    across = math.ceil(len(tasks) / blocks)
    figure = Figure(figsize=(1.0 + 3.6 * across, 0.9 + 2.6 * len(quantities) * blocks), layout="constrained")
    grid = figure.subplots(len(quantities) * blocks, across, squeeze=False)
    panels = {}
    for i in range(across * blocks):
        block, place = divmod(i, across)
        column = list(grid[block * len(quantities) : (block + 1) * len(quantities), place])
        if i >= len(tasks):
            for axes in column:
                axes.set_visible(False)
            continue
        column[0].set_title(tasks[i], fontsize=10)
        if place == 0:
            for axes, quantity in zip(column, quantities, strict=True):
                axes.set_ylabel(quantity)
        panels[tasks[i]] = column
    return figure, panels


def _panel(
    axes: Axes, panel: tuple[str, str, str | None], runs: Sequence[Run], looks: Mapping[str, dict[str, Any]]
) -> None:
    """Draw one quantity of one task: every label's mean, interval and evaluations."""
    _, training, evaluation = panel
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(_short_steps)
    seen = []  # every value of every seed: the axis shows these, however wide a band is
    for label in sorted({run.label for run in runs}):
        curves = [run.curve(training) for run in runs if run.label == label]
        _curve(axes, [curve for curve in curves if len(curve[0])], looks[label])
        evaluations = [run.curve(evaluation) for run in runs if run.label == label]
        for steps, values in evaluations:
            if len(steps):
                dots = {"color": looks[label]["color"], "markersize": 4.5, "markeredgecolor": "white", "zorder": 4}
                axes.plot(steps, values, "o", **dots)
        seen += [values for _, values in curves + evaluations]
    if training == "Metrics/EpCost":
        seen += [np.array([0.0, limit]) for limit in draw_limits(axes, (run.cost_limit for run in runs))]
    shown = np.concatenate(seen)
    if len(shown):
        margin = 0.05 * (np.ptp(shown) or 2 * abs(shown).max() or 1.0)
        axes.set_ylim(shown.min() - margin, shown.max() + margin)
    else:
        axes.text(0.5, 0.5, "not logged by these runs", transform=axes.transAxes, ha="center", color="#888888")


def draw_limits(axes: Axes, limits: Iterable[float | None]) -> list[float]:
    """Draw each cost limit once, as a dashed line; those that were drawn."""
    drawn = sorted({limit for limit in limits if limit is not None})
    for limit in drawn:
        axes.axhline(limit, color="#222222", linestyle="--", linewidth=1.2, zorder=3, label=f"cost limit {limit:g}")
    return drawn


def _curve(axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], look: Mapping[str, Any]) -> None:
    """Draw the seeds' mean with its band, or the one seed's line."""
    if len(curves) == 1:
        axes.plot(*curves[0], **look, linewidth=1.8, marker="." if len(curves[0][0]) == 1 else "")
    elif curves:
        steps, values = on_common_steps(curves)
        mean, half = interval(values)
        axes.plot(steps, mean, **look, linewidth=1.8, zorder=3)
        axes.fill_between(steps, mean - half, mean + half, color=look["color"], alpha=0.18, linewidth=0)


def _legend(figure: Figure, runs: Sequence[Run], looks: Mapping[str, dict[str, Any]]) -> None:
    """One legend under the panels: who, how many seeds, what the band is, the evaluations, the limits."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    several = False
    for label, look in looks.items():
        counts = {sum(run.label == label and run.task == task for run in runs) for task in {run.task for run in runs}}
        handles.append(Line2D([], [], **look, linewidth=1.8, label=f"{label} ({seeds_in_words(counts)})"))
        several |= max(counts) > 1
    if several:
        handles.append(Patch(color="#999999", alpha=0.35, linewidth=0, label="mean over seeds, 95 % t-interval"))
    if any(len(run.curve(column)[0]) for run in runs for _, _, column in PANELS):
        handles.append(Line2D([], [], color="#666666", marker="o", linestyle="", label="deterministic evaluation"))
    legend_below(figure, handles, [run.cost_limit for run in runs])


def seeds_in_words(counts: Iterable[int]) -> str:
    """How many seeds there are on each task: "1 seed", "3 or 5 seeds"; 0 is a task without."""
    words = " or ".join(str(count) for count in sorted(set(counts) - {0}))
    return f"{words} seed{'s' * (words != '1')}"


def legend_below(figure: Figure, handles: Sequence[Any], limits: Iterable[float | None]) -> None:
    """The legend, with a dashed line for every cost limit, below all panels and within the figure's width."""
    from matplotlib.lines import Line2D

    dashed: dict[str, Any] = {"color": "#222222", "linestyle": "--", "linewidth": 1.2}
    shown = [*handles]
    shown += [Line2D([], [], **dashed, label=f"cost limit {x:g}") for x in sorted({x for x in limits if x is not None})]
    widest = 0.6 + 0.075 * max(len(handle.get_label()) for handle in shown)  # inches, at this size of letters
    fitting = max(1, int(figure.get_figwidth() / widest))
    figure.legend(handles=shown, loc="outside lower left", ncols=min(len(shown), fitting, 5))


def _short_steps(steps: float, _: float = 0.0) -> str:
    """Steps for an axis: 150k, 1.5M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(steps) >= unit:
            return f"{steps / unit:g}{letter}"
    return f"{steps:g}"
