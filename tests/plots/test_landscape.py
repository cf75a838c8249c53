"""Landscapes: what is drawn is what was given, and what does not fit is refused."""

import numpy as np
import pytest

from pyslsac.plots import Landscape, plot_landscapes
from pyslsac.plots.landscape import landscape_figure


def panel(**changes) -> Landscape:
    x, y = np.linspace(-1, 1, 21), np.linspace(-1, 1, 31)
    height = -((x[None] - 0.5) ** 2) - (y[:, None] + 0.25) ** 2
    paths = np.stack([np.stack([np.linspace(0, 0.5, 9), np.linspace(0, -0.25, 9)], -1)] * 3)
    given = dict(title="a hill", x=x, y=y, height=height, paths=paths, ends=paths[:, -1], marks=[("top", (0.5, -0.25))])
    return Landscape(**given | changes)


def test_chains_ends_and_marks_are_drawn_where_they_are(tmp_path):
    figure = landscape_figure([panel(), panel(title="another")])
    first, second = figure.axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("a hill", "another")
    lines = [line.get_xydata() for line in first.get_lines()]
    assert [len(line) for line in lines] == [9, 9, 9, 3, 1]
    np.testing.assert_allclose(lines[0][-1], [0.5, -0.25])
    np.testing.assert_allclose(lines[-1], [[0.5, -0.25]])
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["3 ends", "top"]
    out = plot_landscapes([panel()], tmp_path / "deep" / "hill.png")
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_a_flat_landscape_without_chains_is_drawn_too():
    flat = Landscape("flat", np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), np.zeros((5, 5)))
    assert len(landscape_figure([flat]).axes[0].get_lines()) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(height=np.zeros((21, 31))), "one row for each y"),
        (dict(paths=np.zeros((3, 9))), "paths: got shape"),
        (dict(ends=np.zeros((3, 3))), "the last of them 2 long"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        panel(**changes)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no panels"):
        landscape_figure([])
