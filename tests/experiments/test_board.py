"""What is shown of a sweep: states, numbers, time left, and lines where there is no terminal."""

import io
import json
import os

import pytest
from rich.console import Console

from pyslsac.experiments import board as module
from pyslsac.experiments.board import Board
from pyslsac.experiments.cell import Cell


@pytest.fixture
def cells(tmp_path, monkeypatch) -> list[Cell]:
    monkeypatch.setattr(module, "PERIOD", 0.0)
    return [
        Cell(n, n[0], "task", [0], tmp_path / n, tmp_path / f"{n}.txt", 1000, {"agent": {}}) for n in ("a1", "a2", "b1")
    ]


def note(cell: Cell, status: str, row: str = "") -> None:
    folder = cell.folders[0]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").touch()
    (folder / "environment.json").write_text(json.dumps({"status": status}))
    stamp = os.stat(folder / "environment.json").st_mtime_ns + 1_000_000_000
    os.utime(folder / "environment.json", ns=(stamp, stamp))
    if row:
        header = "TotalEnvSteps,Time/Total,Metrics/EpRet,Metrics/EpCost,Metrics/TestEpRet,Metrics/TestEpCost\n"
        (folder / "progress.csv").write_text(f"{header}{row}\n")


def shown(board: Board) -> str:
    board.console.file.truncate(0)
    board.report()
    return board.console.file.getvalue()


def test_a_cell_trains_once_its_files_move(cells):
    note(cells[0], "interrupted", "100,50.0,1.0,2.0,,")
    board = Board(cells, Console(file=io.StringIO(), width=150))
    with board:
        board.refresh()
        assert list(board.states.values()) == ["interrupted", "waiting", "waiting"]
        note(cells[0], "running", "200,100.0,3.25,4.0,,")
        board.refresh()
        assert "a1: training" in board.console.file.getvalue()
        line = next(line for line in shown(board).splitlines() if "a1" in line)
        assert [word for word in line.split() if word != "│"] == ["a1", "0", "training", "20%", "3.2", "4.0", "0:06"]
    assert "1 training, 2 waiting; 0:23 left" in shown(
        board
    )  # 800 steps and twice 1,000 at half a second, one at a time
    note(cells[0], "finished", "1000,500.0,3.0,4.0,8.0,9.0")
    board.ended(cells[0], 0)
    assert "a1: finished, return 8.0, cost 9.0" in board.console.file.getvalue()
    assert [cell.name for cell in board.open] == ["a2", "b1"]


def test_an_unknown_pace_is_not_guessed(cells):
    board = Board(cells, Console(file=io.StringIO(), width=150))
    note(cells[0], "running")
    board.refresh()
    assert "1 training, 2 waiting; ? left" in shown(board)


def test_a_low_terminal_shows_what_trains_and_what_failed(cells):
    board = Board(cells, Console(file=io.StringIO(), width=150, height=8, force_terminal=True))
    cells[1].log.write_text("ValueError: no\n")
    board.ended(cells[1], 1)
    with board.console.capture() as low:
        board.console.print(board._shown())
    assert "a2" in low.get() and "a1" not in low.get() and "b1" not in low.get()
    board.console.height = 40
    with board.console.capture() as high:
        board.console.print(board._shown())
    assert all(cell.name in high.get() for cell in cells)


def test_a_cell_that_was_told_to_stop_before_it_had_begun_waits(cells):
    board = Board(cells, Console(file=io.StringIO(), width=150))
    note(cells[0], "interrupted", "10,1.0,1.0,1.0,,")
    for cell in cells[:2]:
        board.ended(cell, 143)
    assert list(board.states.values()) == ["interrupted", "waiting", "waiting"] and not board.failures


def test_what_an_engine_says_of_a_lost_cell_is_shown(cells):
    board = Board(cells, Console(file=io.StringIO(), width=150))
    note(cells[2], "running", "10,1.0,1.0,1.0,,")
    board.ended(cells[2], 143, "its node was lost")
    assert board.states["b1"] == "failed" and "b1 failed: its node was lost" in shown(board)
