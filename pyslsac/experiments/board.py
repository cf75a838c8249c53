"""What a person sees while a sweep runs: a live table on a terminal, elsewhere a line as cells begin and end."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pyslsac.experiments.cell import ENDED, Cell, reason

PERIOD = 2.0  # seconds between readings of the cells' files
COLOURS = {"finished": "green", "failed": "red", "training": "cyan"}


class Board:
    """Every cell's state, training progress, return, cost and time left."""

    def __init__(self, cells: Sequence[Cell], console: Console) -> None:
        self.cells, self.console = cells, console
        self.progress = {cell.name: cell.progress() for cell in cells}
        self.states = {name: "interrupted" if p.state == "begun" else p.state for name, p in self.progress.items()}
        self.failures = {name: p.failure for name, p in self.progress.items() if p.state == "failed"}
        self.marks = {cell.name: _mark(cell) for cell in cells}
        self.read = 0.0
        self.live: Live | None = None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self.live = Live(get_renderable=self._shown, console=self.console, refresh_per_second=1, transient=True)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    @property
    def open(self) -> list[Cell]:
        """The cells that there is still something to do for."""
        return [cell for cell in self.cells if self.states[cell.name] not in ENDED]

    def refresh(self) -> None:
        """Read, every PERIOD seconds, how the cells that have begun to train stand."""
        if time.monotonic() - self.read < PERIOD:
            return
        self.read = time.monotonic()
        for cell in self.open:
            if _mark(cell) != self.marks[cell.name]:  # its process has begun the files, or taken them up again
                self.progress[cell.name] = cell.progress()
                if self.states[cell.name] != "training":
                    self._turn(cell, "training")

    def ended(self, cell: Cell, code: int, said: str = "") -> None:
        """The process of `cell` is gone, with an exit code or with what the engine has to say about it."""
        self.progress[cell.name], self.marks[cell.name] = cell.progress(), _mark(cell)
        if self.progress[cell.name].state == "finished":
            self._turn(cell, "finished")
        elif code in (130, 143) and not said:
            self._turn(cell, "interrupted" if self.progress[cell.name].state == "begun" else "waiting")
        else:
            self.failures[cell.name] = said or reason(cell, code)
            self._turn(cell, "failed")

    def _turn(self, cell: Cell, state: str) -> None:
        self.states[cell.name] = state
        if self.live is None:
            now = self.progress[cell.name]
            numbers = f", return {_number(now.episode_return)}, cost {_number(now.episode_cost)}"
            self._say(f"{cell.name}: {state}{numbers if state == 'finished' else self._why(cell)}")

    def _why(self, cell: Cell) -> str:
        return f": {self.failures[cell.name]} ({cell.log})" if self.states[cell.name] == "failed" else ""

    def _say(self, message: str) -> None:
        self.console.print(message, soft_wrap=True, highlight=False, markup=False)

    def report(self) -> None:
        """The whole table, and why cells failed."""
        self.console.print(self.table(self.cells))
        for cell in self.cells:
            if self.states[cell.name] == "failed":
                self._say(f"{cell.name} failed{self._why(cell)}")

    def table(self, cells: Sequence[Cell]) -> Table:
        table = Table(title=self._summary(), title_justify="left", title_style="")
        for heading in ("cell", "seeds", "state", "steps", "return", "cost", "left"):
            table.add_column(heading, justify="left" if heading in ("cell", "state") else "right")
        for cell in cells:
            now, state = self.progress[cell.name], self.states[cell.name]
            table.add_row(
                cell.name,
                " ".join(map(str, cell.seeds)),
                Text(state, style=COLOURS.get(state, "")),
                f"{now.steps / cell.steps:.0%}",
                _number(now.episode_return),
                _number(now.episode_cost),
                _clock(self._left(cell)) if state == "training" else "",
            )
        return table

    def _shown(self) -> Group | Table:
        """The whole table where the terminal is high enough; else the cells that train or have failed."""
        if len(self.cells) + 6 <= self.console.height:
            return self.table(self.cells)
        return self.table([cell for cell in self.cells if self.states[cell.name] in ("training", "failed")])

    def _summary(self) -> str:
        states = list(self.states.values())
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        left = sum(self._left(cell) for cell in self.open) / max(1, states.count("training"))
        return f"{counts}" + (f"; {_clock(left)} left" if "training" in states else "")

    def _left(self, cell: Cell) -> float:
        """Seconds that the cell still takes: at its pace, or else the algorithm's, or the sweep's; NaN if unknown."""
        alike = [other for other in self.cells if other.algo == cell.algo]
        for known in ([cell], alike, self.cells):
            numbers = [self.progress[other.name] for other in known]
            if steps := sum(now.steps for now in numbers):
                pace = sum(now.seconds for now in numbers) / steps
                return (cell.steps - self.progress[cell.name].steps) * pace
        return math.nan


def _mark(cell: Cell) -> float:
    """When the cell's process last noted how it stands: as it begins, and at its end."""
    path = cell.folders[0] / "environment.json"
    return path.stat().st_mtime if path.is_file() else 0.0


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _clock(seconds: float) -> str:
    """h:mm."""
    return "?" if math.isnan(seconds) else f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02d}"
