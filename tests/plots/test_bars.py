"""Bars stand at the means, their lines span the intervals, and the limit is dashed."""

import subprocess
import sys
from pathlib import Path

import pytest

from pyslsac.cli import main
from pyslsac.plots import gather
from pyslsac.plots.bars import bars_of
from tests.plots.written_runs import write_grid, write_seed


def test_bars_are_means_with_intervals_and_seeds(tmp_path):
    write_grid(tmp_path)
    groups = gather([tmp_path]).groups
    figure = bars_of(groups)
    rewards, rewards_goal, costs, _ = figure.axes
    assert [axes.get_title(loc="left") for axes in (rewards, rewards_goal)] == ["Other-v0", "SafetyPointGoal1-v0"]
    assert (rewards.get_ylabel(), costs.get_ylabel()) == ("Return per episode", "Cost per episode")
    assert [bar.get_height() for bar in rewards.patches] == [2.5, 3.0]
    estimate = groups[1].estimate("return")
    spans = [line.get_ydata() for line in rewards.lines if len(line.get_ydata()) == 2 and line.get_marker() == "None"]
    assert [estimate.low, estimate.high] in [list(span) for span in spans]
    seeds = [list(line.get_ydata()) for line in rewards.lines if line.get_marker() == "o"]
    assert seeds == [[2.0, 3.0], [1.0, 2.0, 6.0]]
    assert [line.get_ydata()[0] for line in costs.lines if line.get_linestyle() == "--"] == [25.0]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["cpo (2 seeds)", "sl-sac (3 seeds)", "one seed", "95 % bootstrap interval", "cost limit 25"]


def test_one_seed_has_no_interval(tmp_path):
    write_seed(tmp_path)
    figure = bars_of(gather([tmp_path]).groups)
    assert "95 % bootstrap interval" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert sum(line.get_marker() == "o" for line in figure.axes[0].lines) == 1


@pytest.mark.parametrize("kind", ["bars", "columns"])
def test_the_command_draws_the_same_image_every_time(tmp_path, kind, monkeypatch, capsys):
    write_grid(tmp_path / "runs")
    write_seed(tmp_path / "runs", "cpo", "Other-v0", folder="again")
    monkeypatch.chdir(tmp_path)
    assert main(["plot", "runs", "--kind", kind]) == 0
    said = capsys.readouterr().out
    assert f"wrote {kind}.png" in said and said.count("is not drawn: seed 0 is there already") == 1
    first = Path(f"{kind}.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert main(["plot", "runs", "--kind", kind]) == 0
    assert Path(f"{kind}.png").read_bytes() == first


def test_bars_without_a_finished_run_are_refused(tmp_path, capsys):
    write_seed(tmp_path, status="running")
    assert main(["plot", str(tmp_path), "--kind", "bars", "--out", str(tmp_path / "x.png")]) == 2
    assert "it is running" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_naming_what_there_is_needs_neither_scipy_nor_matplotlib():
    code = "import sys, pyslsac.plots; sys.exit(bool({'scipy', 'matplotlib', 'torch', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0
