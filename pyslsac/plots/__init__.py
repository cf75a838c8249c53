"""Figures and tables: training runs from their logs, what they came to, and what samplers climb."""

from pyslsac.plots.bars import plot_bars
from pyslsac.plots.curves import interval, plot_curves
from pyslsac.plots.landscape import Landscape, plot_landscapes
from pyslsac.plots.report import Report, make_report
from pyslsac.plots.results import gather
from pyslsac.plots.runs import Run, find_runs, without_repeats

__all__ = [
    "Landscape",
    "Report",
    "Run",
    "find_runs",
    "gather",
    "interval",
    "make_report",
    "plot_bars",
    "plot_curves",
    "plot_landscapes",
    "without_repeats",
]
