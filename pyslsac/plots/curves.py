"""Learning curves: return, cost against its limit, and multiplier over environment steps.

Everything is read from a seed directory (`progress.csv`, and from `config.yaml` the algorithm, the task and the cost
limit), so a figure can be drawn while a run is still going, and on a machine without torch.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = "TotalEnvSteps"
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
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # Student's t at 0.975, 1..10 degrees


@dataclass(frozen=True)
class Run:
    """One seed's log: who ran what, and its columns by name, each [T]."""

    directory: Path
    algo: str
    task: str
    cost_limit: float | None
    columns: dict[str, np.ndarray]

    def curve(self, column: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values [T'] of the rows in which `column` is a number; empty where the log has no such column."""
        values = self.columns.get(column or "")
        if values is None:
            return np.empty(0), np.empty(0)
        kept = np.isfinite(values)
        return self.columns[STEPS][kept], values[kept]

    def last(self, column: str) -> float:
        """The newest value of a column, NaN where there is none."""
        _, values = self.curve(column)
        return float(values[-1]) if len(values) else math.nan

    def constraint(self) -> str:
        """Whether the cost limit was ever at work in training, in one sentence."""
        if self.cost_limit is None:
            return "no cost limit is recorded"
        over, episodes = self.last("Metrics/EpisodesOverLimit"), self.last("Metrics/Episodes")
        if not episodes > 0:
            return "no training episode has ended yet"
        multiplier = max(self.curve("Metrics/LagrangeMultiplier")[1], default=math.nan)
        return (
            f"the constraint was {'active' if over > 0 else 'never active'}: {over:.0f} of {episodes:.0f} training "
            f"episodes went over the limit {self.cost_limit:g}, the largest multiplier was {multiplier:.4g}, "
            f"the last {min(episodes, 10):.0f} episodes cost {self.last('Metrics/EpCost'):.4g} on average"
        )


def read_run(directory: Path) -> Run:
    """The run in `directory`. Raises ValueError where its log is missing, empty, or without the steps column."""
    log = directory / "progress.csv"
    if not log.is_file():
        raise ValueError(f"{log} does not exist: is {directory} the directory of a training run?")
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{log} holds no rows yet: the first is written at the end of the first epoch")
    if STEPS not in rows[0]:
        raise ValueError(f"{log} has no column {STEPS!r}")
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}
    settings = directory / "config.yaml"
    config: dict[str, Any] = (yaml.safe_load(settings.read_text()) if settings.is_file() else None) or {}
    limit = (config.get("agent") or {}).get("cost_limit")
    algo = str(config.get("algo", directory.parent.parent.name))
    task = str(config.get("task", directory.parent.name))
    return Run(directory, algo, task, None if limit is None else float(limit), columns)


def _number(text: str | None) -> float:
    """The number that a CSV cell holds, NaN for an empty or a cut-off one."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def find_runs(directories: Iterable[str | Path]) -> list[Run]:
    """The runs in and below `directories`, sorted by path. Raises ValueError where a directory has none."""
    found: dict[Path, Path] = {}  # each once, however it is named
    for directory in map(Path, directories):
        folders = {log.parent.resolve(): log.parent for log in directory.rglob("progress.csv")}
        if not folders:
            raise ValueError(f"no progress.csv in or below {directory}: give the directory of a training run")
        found = folders | found
    return [read_run(path) for path in sorted(found.values())]


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds [T] and half the width of its 95 % confidence interval, t · s / √n [T], of `values` [n, T]."""
    seeds = len(values)
    if seeds < 2:
        raise ValueError("an interval over seeds needs at least 2 seeds, got 1")
    degrees = seeds - 1
    t = T_975[degrees - 1] if degrees <= len(T_975) else 1.96 + 2.372 / degrees + 2.82 / degrees**2  # Cornish-Fisher
    return values.mean(axis=0), t * values.std(axis=0, ddof=1) / math.sqrt(seeds)


def on_common_steps(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [T] that all seeds cover and their interpolated values [n, T]."""
    start, stop = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    every = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = every[(every >= start) & (every <= stop)]
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in curves])


def plot_curves(runs: Sequence[Run], out: str | Path) -> Path:
    """Draw one row of three panels per task, one colour per algorithm, into the image `out`; returns its path.

    The line is the mean over seeds and the band its 95 % t-interval; a single seed is labelled as such and has no band.
    Dots are deterministic evaluations, one per seed; the dashed line is the cost limit.
    """
    import matplotlib

    matplotlib.use("Agg")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure_of(runs).savefig(out, dpi=150)
    return out


def figure_of(runs: Sequence[Run]) -> Figure:
    """The figure that `plot_curves` saves."""
    import matplotlib
    from matplotlib.figure import Figure

    tasks = sorted({run.task for run in runs})
    colours = {algo: COLOURS[i % len(COLOURS)] for i, algo in enumerate(sorted({run.algo for run in runs}))}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13, 0.9 + 3.3 * len(tasks)), layout="constrained")
        grid = figure.subplots(len(tasks), len(PANELS), squeeze=False)
        for task, row in zip(tasks, grid, strict=True):
            for axes, panel in zip(row, PANELS, strict=True):
                _panel(axes, panel, [run for run in runs if run.task == task], colours)
        if len(tasks) == 1:
            figure.suptitle(tasks[0], x=0.006, ha="left", fontsize=13, color="#444444")
        else:
            for task, row in zip(tasks, grid, strict=True):
                row[0].set_ylabel(task, fontweight="bold")
        _legend(figure, runs, colours)
    return figure


def _panel(axes: Axes, panel: tuple[str, str, str | None], runs: Sequence[Run], colours: dict[str, str]) -> None:
    """Draw one quantity of one task: every algorithm's mean, interval and evaluations."""
    title, training, evaluation = panel
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(_short_steps)
    seen = []  # every value of every seed: the axis shows these, however wide a band is
    for algo in sorted({run.algo for run in runs}):
        curves = [run.curve(training) for run in runs if run.algo == algo]
        _curve(axes, [curve for curve in curves if len(curve[0])], colours[algo])
        evaluations = [run.curve(evaluation) for run in runs if run.algo == algo]
        for steps, values in evaluations:
            if len(steps):
                axes.plot(steps, values, "o", color=colours[algo], markersize=4.5, markeredgecolor="white", zorder=4)
        seen += [values for _, values in curves + evaluations]
    if training == "Metrics/EpCost":
        for limit in sorted({run.cost_limit for run in runs if run.cost_limit is not None}):
            axes.axhline(limit, color="#222222", linestyle="--", linewidth=1.2, zorder=3, label=f"cost limit {limit:g}")
            seen.append(np.array([0.0, limit]))
    shown = np.concatenate(seen)
    if len(shown):
        margin = 0.05 * (np.ptp(shown) or 2 * abs(shown).max() or 1.0)
        axes.set_ylim(shown.min() - margin, shown.max() + margin)
    else:
        axes.text(0.5, 0.5, "not logged by these runs", transform=axes.transAxes, ha="center", color="#888888")


def _curve(axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], colour: str) -> None:
    """Draw the seeds' mean with its band, or the one seed's line."""
    if len(curves) == 1:
        axes.plot(*curves[0], color=colour, linewidth=1.8, marker="." if len(curves[0][0]) == 1 else "")
    elif curves:
        steps, values = on_common_steps(curves)
        mean, half = interval(values)
        axes.plot(steps, mean, color=colour, linewidth=1.8, zorder=3)
        axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)


def _legend(figure: Figure, runs: Sequence[Run], colours: dict[str, str]) -> None:
    """One legend under the panels: who, how many seeds, what the band is, the evaluations, the limits."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    several = False
    for algo, colour in colours.items():
        counts = {sum(run.algo == algo and run.task == task for run in runs) for task in {run.task for run in runs}}
        seeds = " or ".join(str(count) for count in sorted(counts - {0}))
        label = f"{algo} ({seeds} seed{'s' * (seeds != '1')})"
        handles.append(Line2D([], [], color=colour, linewidth=1.8, label=label))
        several |= max(counts) > 1
    if several:
        handles.append(Patch(color="#999999", alpha=0.35, linewidth=0, label="mean over seeds, 95 % t-interval"))
    if any(len(run.curve(column)[0]) for run in runs for _, _, column in PANELS):
        handles.append(Line2D([], [], color="#666666", marker="o", linestyle="", label="deterministic evaluation"))
    for limit in sorted({run.cost_limit for run in runs if run.cost_limit is not None}):
        handles.append(Line2D([], [], color="#222222", linestyle="--", linewidth=1.2, label=f"cost limit {limit:g}"))
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 5))


def _short_steps(steps: float, _: float = 0.0) -> str:
    """Steps for an axis: 150k, 1.5M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(steps) >= unit:
            return f"{steps / unit:g}{letter}"
    return f"{steps:g}"
