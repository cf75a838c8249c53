"""Landscapes over two action dimensions: what a sampler climbs, the chains it takes, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyslsac.plots.curves import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Landscape:
    """One panel. Chains climb `height`: minus an energy, or a log density up to a constant."""

    title: str
    x: np.ndarray  # [n] the first action dimension
    y: np.ndarray  # [m] the second
    height: np.ndarray  # [m, n]
    paths: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 2)))  # [chains, moves + 1, 2]
    ends: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))  # [samples, 2]
    marks: Sequence[tuple[str, tuple[float, float]]] = ()  # points with a name

    def __post_init__(self) -> None:
        wanted = (len(self.y), len(self.x))
        if self.height.shape != wanted:
            raise ValueError(f"Landscape.height: got shape {self.height.shape}, wanted {wanted}: one row for each y")
        for name, dims in (("paths", 3), ("ends", 2)):
            value = getattr(self, name)
            if value.ndim != dims or value.shape[-1] != 2:
                raise ValueError(
                    f"Landscape.{name}: got shape {value.shape}, wanted {dims} axes, the last of them 2 long"
                )


def plot_landscapes(panels: Sequence[Landscape], out: str | Path) -> Path:
    """Draw the panels side by side into the image `out`; returns its path."""
    import matplotlib

    matplotlib.use("Agg")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    landscape_figure(panels).savefig(out, dpi=110)
    return out


def landscape_figure(panels: Sequence[Landscape]) -> Figure:
    """The figure that `plot_landscapes` saves."""
    import matplotlib
    from matplotlib.figure import Figure

    if not panels:
        raise ValueError("plot_landscapes: no panels; give at least one Landscape")
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(4.3 * len(panels), 4.4), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _panel(axes, panel)
    return figure


def _panel(axes: Axes, panel: Landscape) -> None:
    """Height as filled contours, low ones in the same colour; chains as lines, their ends as dots."""
    axes.set_title(panel.title)
    low, high = np.quantile(panel.height, 0.02), panel.height.max()
    levels = np.linspace(low, high if high > low else low + 1.0, 25)
    axes.contourf(panel.x, panel.y, panel.height, levels=levels, cmap="cividis", extend="min")
    for path in panel.paths:
        axes.plot(*path.T, color="white", linewidth=0.8, alpha=0.8)
    if len(panel.ends):
        axes.plot(
            *panel.ends.T, "o", color=COLOURS[1], markersize=3.0, markeredgewidth=0, label=f"{len(panel.ends)} ends"
        )
    for (name, point), marker in zip(panel.marks, "*XPDsv", strict=False):
        axes.plot(*point, marker, color="black", markersize=10, markeredgecolor="white", linestyle="", label=name)
    axes.set(xlabel="action 1", ylabel="action 2", aspect="equal")
    axes.set_xlim(panel.x[0], panel.x[-1])
    axes.set_ylim(panel.y[0], panel.y[-1])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=2)
