"""Figures drawn from the logs of finished and running training runs."""

from pyslsac.plots.curves import Run, find_runs, interval, plot_curves

__all__ = ["Run", "find_runs", "interval", "plot_curves"]
