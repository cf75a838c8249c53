"""Figures: training runs from their logs, and what samplers climb."""

from pyslsac.plots.curves import Run, find_runs, interval, plot_curves
from pyslsac.plots.landscape import Landscape, plot_landscapes

__all__ = ["Landscape", "Run", "find_runs", "interval", "plot_curves", "plot_landscapes"]
