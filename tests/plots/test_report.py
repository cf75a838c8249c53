"""The report, from run folders to its files: the numbers are right, and the same in all formats."""

import csv
import re
from pathlib import Path

import pytest

from pyslsac.cli import main
from pyslsac.plots import gather, make_report
from tests.plots.written_runs import write_grid, write_seed


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cells(line: str, bar: str) -> list[str]:
    return [cell.strip() for cell in re.split(bar, line)]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder with the report of the grid."""
    root = tmp_path_factory.mktemp("grid")
    write_grid(root / "runs")
    assert main(["report", str(root / "runs"), "--out", str(root / "report")]) == 0
    return root / "report"


def test_every_group_is_a_row_beside_its_published_numbers(written):
    rows = rows_of(written / "report.csv")
    named = [(row["task"], row["algorithm"], row["source"], row["seeds"]) for row in rows]
    assert named == [
        ("Other-v0", "cpo", "here", "2"),
        ("Other-v0", "sl-sac", "here", "3"),
        ("SafetyPointGoal1-v0", "cpo", "here", "2"),
        ("SafetyPointGoal1-v0", "sl-sac", "here", "3"),
        ("SafetyPointGoal1-v0", "cpo", "OmniSafe benchmark", ""),
        ("SafetyPointGoal1-v0", "sl-sac", "SL-SAC paper, Table 1", ""),
    ]
    ours, theirs = rows[3], rows[5]
    assert (float(ours["return_mean"]), float(ours["return_spread"])) == (3.0, pytest.approx((7 / 3) ** 0.5))
    assert ours["spread_kind"] == "standard error, 3 seeds" and ours["return_mean_interval"] == "BCa"
    assert 1.0 <= float(ours["return_mean_low"]) < 3.0 < float(ours["return_mean_high"]) <= 6.0
    assert (ours["cost_mean"], ours["over_limit_mean"], ours["cvar_mean"]) == ("0.0", "0.0", "0.0")
    assert (ours["cost_mean_interval"], ours["env_steps"], ours["episodes"]) == ("percentile", "1000", "6")
    assert (theirs["return_mean"], theirs["return_spread"], theirs["cost_limit"]) == ("16.35", "7.23", "25.0")
    assert (theirs["spread_kind"], theirs["env_steps"]) == ("standard error, 5 seeds", "1000000")
    assert theirs["return_mean_low"] == ""


def test_over_tasks_by_hand(written):
    """Random actions get 0.22 and SAC 27.04 on the one task, 2.5 and 3 are lowest and highest mean on the other."""
    first = [(x - 0.22) / 26.82 for x in (1.0, 2.0, 6.0)]
    other = [(x - 2.5) / 0.5 for x in (1.0, 2.0, 6.0)]  # -3, -1, 7
    cpo, ours = rows_of(written / "over_tasks.csv")
    assert (ours["algorithm"], ours["tasks"], ours["runs"], ours["cost_iqm"]) == ("sl-sac", "2", "6", "0.0")
    assert float(ours["return_iqm"]) == pytest.approx((-1.0 + sum(first)) / 4)  # without -3 and 7
    assert float(ours["return_mean"]) == pytest.approx((sum(first) / 3 + sum(other) / 3) / 2)
    assert float(ours["return_iqm_low"]) < float(ours["return_iqm"]) < float(ours["return_iqm_high"])
    assert (cpo["algorithm"], cpo["runs"]) == ("cpo", "4")


def test_improvement_by_hand(written):
    """cpo's 2 and 3 against 1, 2 and 6: (1 + ½ + 0 + 1 + 1 + 0) of 6, on both tasks; costs are all the same."""
    (pair,) = rows_of(written / "improvement.csv")
    assert (pair["algorithm"], pair["than"], pair["tasks"]) == ("cpo", "sl-sac", "2")
    assert float(pair["higher_return"]) == pytest.approx(3.5 / 6)
    assert float(pair["limit_first"]) == pytest.approx(3.5 / 6)
    assert (pair["lower_cost"], pair["lower_cost_low"], pair["lower_cost_high"]) == ("0.5", "0.5", "0.5")


def test_markdown_and_latex_hold_the_same_cells(written):
    markdown, tex = ((written / name).read_text("utf-8") for name in ("report.md", "report.tex"))
    read = [cells(line[1:-1], r"\|") for line in markdown.splitlines() if re.match(r"\| [^-]", line)]
    plain = tex.replace(r"\_", "_").replace(r"\%", "%").replace(r"$\pm$", "±").replace("$-$", "-").replace("{}", "")
    rows = [line.removesuffix(r" \\") for line in plain.splitlines() if line.endswith(r" \\")]
    assert [cells(row, "&") for row in rows] == read
    assert read[2][:5] == ["sl-sac", "here", "3", "1,000", "3.00 ± 1.53"]
    assert "# Report" in markdown and "standard error over seeds" in markdown
    assert all(line.startswith("%") for line in tex.splitlines()[:5])


def test_the_same_runs_give_the_same_bytes(written, tmp_path):
    write_grid(tmp_path / "runs")
    made = make_report(gather([tmp_path / "runs"]))
    again = {path.name: path.read_bytes() for path in made.write(tmp_path / "again")}
    assert again == {path.name: path.read_bytes() for path in written.iterdir()}


def test_one_seed_and_one_task_leave_cells_blank(tmp_path, capsys):
    write_seed(tmp_path / "runs", returns=[-1.0, 2.0])
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Task-v0" in said and "nan" not in said and "Over tasks" not in said and "improvement.csv" in said
    (row,) = rows_of(tmp_path / "report.csv")
    assert (row["return_mean"], row["return_spread"], row["return_mean_low"], row["spread_kind"]) == ("0.5", "", "", "")
    assert rows_of(tmp_path / "over_tasks.csv") == rows_of(tmp_path / "improvement.csv") == []


def test_what_does_not_count_is_listed_and_what_is_unfinished_marked(tmp_path):
    write_seed(tmp_path, seed=0)
    write_seed(tmp_path, seed=1, status="running", env_steps=400)
    write_seed(tmp_path, seed=2, status="failed")
    text = make_report(gather([tmp_path])).markdown()
    assert "| sl-sac | here | 1 | 1,000 |" in text and text.count("it is running: ") == 1
    text = make_report(gather([tmp_path], unfinished=True)).markdown()
    assert "| sl-sac | here | 2 (1 unfinished) | 400 to 1,000 |" in text
    assert "## Runs that do not count" in text and "it failed: a NaN" in text


def test_all_published_algorithms_and_other_episodes(tmp_path):
    log = {"TotalEnvSteps": [500, 1000], "Epoch/Episodes": [1, 1], "Epoch/EpRet": [1.0, 3.0], "Epoch/EpCost": [0, 2]}
    write_seed(tmp_path, task="SafetyPointGoal1-v0", log=log)
    options = ["--epochs", "2", "--all-published"]
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    rows = rows_of(tmp_path / "out" / "report.csv")
    assert len(rows) == 11 and {row["algorithm"] for row in rows} >= {"cpo", "sac", "td3-pid"}
    assert (rows[0]["return_mean"], rows[0]["cost_mean"], rows[0]["cvar_mean"]) == ("2.0", "1.0", "")
    assert "of the last 2 epochs of training" in (tmp_path / "out" / "report.md").read_text()


def test_without_limits_there_is_no_order_by_them(tmp_path):
    for seed in range(2):
        write_seed(tmp_path, "sac", seed=seed, agent={"cost_limit": None})
        write_seed(tmp_path, "td3", seed=seed)
    made = make_report(gather([tmp_path]))
    assert made.pairs[0].limit_first is None and made.pairs[0].higher_return.value == 0.5
    assert "| 20.00 ± 0.00 | [20.00, 20.00] |  |  | 30.00 (0.5) |" in made.markdown()


def test_algorithms_without_a_task_in_common_are_not_compared(tmp_path):
    write_seed(tmp_path, "sac")
    write_seed(tmp_path, "td3", "Other-v0")
    made = make_report(gather([tmp_path]))
    assert made.pairs == () and made.overall == () and made.scales == ()


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "report needs one DIR or more"),
        (["empty"], "no config.yaml or progress.csv in or below"),
        (["runs", "--epochs", "0"], "epochs: got 0, wanted at least 1"),
        (["runs", "--risk-level", "1.5"], "risk level: got 1.5"),
        (["runs"], "none of these runs can be reported"),
    ],
)
def test_bad_input_is_named(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_seed(tmp_path / "runs", status="running")
    assert main(["report", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
