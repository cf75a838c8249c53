"""Learning curves say what they draw: how many seeds, which interval, which limit; empty logs are refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from pyslsac.plots import find_runs, interval, plot_curves
from pyslsac.plots.curves import figure_of, looks_of, on_common_steps


def write_run(root: Path, algo: str = "sl-sac", task: str = "Task-v0", seed: int = 0, **columns: list[float]) -> Path:
    """A seed directory with a log of five epochs, an evaluation in the third, and a cost limit of 25."""
    directory = root / algo / task / f"seed-{seed:03d}"
    directory.mkdir(parents=True)
    log = {
        "TotalEnvSteps": [2000 * (i + 1) for i in range(5)],
        "Metrics/EpRet": [seed + 10.0 * i for i in range(5)],
        "Metrics/EpCost": [40.0, 30.0, 20.0, 30.0, 25.0],
        "Metrics/TestEpRet": ["", "", 55.0, "", ""],
        "Metrics/TestEpCost": ["", "", 21.0, "", ""],
        "Metrics/LagrangeMultiplier": [0.0, 0.1, 0.2, 0.1, 0.0],
    } | columns
    with (directory / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(log)
        writer.writerows(zip(*log.values(), strict=True))
    (directory / "config.yaml").write_text(yaml.safe_dump({"algo": algo, "task": task, "agent": {"cost_limit": 25.0}}))
    return directory


def legend_of(figure) -> list[str]:
    """The texts of a figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def bands_of(figure) -> int:
    """How many bands (filled areas) the panels hold."""
    return sum(len(axes.collections) for axes in figure.axes)


def test_one_seed_says_so_and_has_no_band(tmp_path):
    write_run(tmp_path)
    figure = figure_of(find_runs([tmp_path]))
    assert "sl-sac (1 seed)" in legend_of(figure)
    assert not any("interval" in text for text in legend_of(figure))
    assert bands_of(figure) == 0


def test_several_seeds_have_a_mean_and_a_stated_interval(tmp_path):
    for seed in range(3):
        write_run(tmp_path, seed=seed)
    figure = figure_of(find_runs([tmp_path]))
    wanted = {"sl-sac (3 seeds)", "mean over seeds, 95 % t-interval", "deterministic evaluation"}
    assert wanted <= set(legend_of(figure))
    assert bands_of(figure) == 3


def test_the_limit_is_a_dashed_line_at_its_value(tmp_path):
    write_run(tmp_path)
    figure = figure_of(find_runs([tmp_path]))
    lines = [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in lines] == [25.0]
    assert "cost limit 25" in legend_of(figure)


def test_evaluations_are_markers_at_their_step(tmp_path):
    write_run(tmp_path)
    figure = figure_of(find_runs([tmp_path]))
    for axes, value in zip(figure.axes[:2], (55.0, 21.0), strict=True):
        (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
        assert dots.get_xydata().tolist() == [[6000.0, value]]


def test_algorithms_differ_in_colour_and_tasks_in_row(tmp_path):
    write_run(tmp_path, "sl-sac")
    write_run(tmp_path, "cpo")
    write_run(tmp_path, "cpo", "Other-v0")
    figure = figure_of(find_runs([tmp_path]))
    assert len(figure.axes) == 6
    colours = {line.get_color() for line in figure.axes[3].lines if len(line.get_xdata()) == 5}
    assert len(colours) == 2


def test_columns_have_a_task_each_with_return_above_cost(tmp_path):
    for i in range(7):
        write_run(tmp_path, task=f"Task{i}-v0")
    figure = figure_of(find_runs([tmp_path]), columns=True)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(figure.axes) == 16 and len(shown) == 14  # four tasks beside each other, three below
    titles = [axes.get_title(loc="left") for axes in shown if axes.get_title(loc="left")]
    assert titles == [f"Task{i}-v0" for i in range(7)]
    assert [axes.get_ylabel() for axes in shown if axes.get_ylabel()] == ["Return per episode", "Cost per episode"] * 2
    limits = [any(line.get_linestyle() == "--" for line in axes.lines) for axes in shown]
    assert limits == [False] * 4 + [True] * 4 + [False] * 3 + [True] * 3


def test_a_ninth_label_has_the_first_colour_in_another_line():
    looks = looks_of(f"algorithm {i}" for i in range(9))
    first, last = looks["algorithm 0"], looks["algorithm 8"]
    assert first["color"] == last["color"] and first["linestyle"] != last["linestyle"]
    assert len({tuple(look.values()) for look in looks.values()}) == 9


def test_runs_of_other_settings_are_another_curve(tmp_path):
    write_run(tmp_path / "a")
    config = write_run(tmp_path / "b") / "config.yaml"
    config.write_text(config.read_text().replace("25.0", "5.0"))
    shown = legend_of(figure_of(find_runs([tmp_path])))
    assert shown[:2] == ["sl-sac (cost_limit=25) (1 seed)", "sl-sac (cost_limit=5) (1 seed)"]


def test_a_panel_without_its_column_says_so(tmp_path):
    directory = write_run(tmp_path)
    log = directory / "progress.csv"
    log.write_text(log.read_text().replace("Metrics/LagrangeMultiplier", "Loss/Loss_pi"))
    figure = figure_of(find_runs([tmp_path]))
    assert [text.get_text() for text in figure.axes[2].texts] == ["not logged by these runs"]


def test_interval_is_students_t_worked_by_hand():
    values = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]])
    mean, half = interval(values)  # s = 1 and √3; 4.303 s / √3
    assert mean.tolist() == [2.0, 1.0]
    assert half == pytest.approx([2.484, 4.303], abs=1e-3)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        interval(values[:1])
    _, wide = interval(np.tile([[0.0], [1.0]], (8, 1)))  # 16 seeds: t(15) = 2.131, s = 0.5164
    assert wide == pytest.approx([2.131 * 0.5164 / 4], rel=1e-3)


def test_seeds_are_compared_only_where_all_have_run():
    long, short = (np.array([0.0, 10.0]), np.array([0.0, 10.0])), (np.array([0.0, 4.0]), np.zeros(2))
    steps, values = on_common_steps([long, short])
    assert steps.tolist() == [0.0, 4.0]
    assert values.tolist() == [[0.0, 4.0], [0.0, 0.0]]


def test_plot_writes_an_image(tmp_path):
    write_run(tmp_path)
    out = plot_curves(find_runs([tmp_path]), tmp_path / "figures" / "curve.png")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_missing_and_empty_logs_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"no progress\.csv in or below"):
        find_runs([tmp_path])
    log = write_run(tmp_path) / "progress.csv"
    log.write_text("TotalEnvSteps,Metrics/EpRet\n")
    with pytest.raises(ValueError, match="holds no rows yet"):
        find_runs([tmp_path])
    log.write_text("")
    with pytest.raises(ValueError, match="holds no rows yet"):
        find_runs([tmp_path])
    log.write_text("Metrics/EpRet\n1.0\n")
    with pytest.raises(ValueError, match="no column 'TotalEnvSteps'"):
        find_runs([tmp_path])


def test_the_constraint_is_described_in_words(tmp_path):
    counts = {"Metrics/Episodes": [1, 2, 3, 4, 5], "Metrics/EpisodesOverLimit": [1, 2, 2, 3, 3]}
    write_run(tmp_path, **counts)
    (run,) = find_runs([tmp_path])
    assert run.constraint() == (
        "the constraint was active: 3 of 5 training episodes went over the limit 25, "
        "the largest multiplier was 0.2, the last 5 episodes cost 25 on average"
    )
    write_run(tmp_path, "lac", **{"Metrics/Episodes": [0] * 5})
    assert find_runs([tmp_path / "lac"])[0].constraint() == "no training episode has ended yet"
    write_run(tmp_path, "cpo", **counts | {"Metrics/EpisodesOverLimit": [0] * 5})
    assert find_runs([tmp_path / "cpo"])[0].constraint().startswith("the constraint was never active: 0 of 5")
