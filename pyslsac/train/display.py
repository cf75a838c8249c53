"""What a person sees while runs train: a live table on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


class Display:
    """Return, cost against its limit, multiplier, steps/s and time left, for every run."""

    def __init__(
        self,
        title: str,
        steps: int,
        cost_limit: float,
        *,
        done: int = 0,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self.title, self.steps, self.cost_limit, self.quiet = title, steps, cost_limit, quiet
        self.console = console or Console()
        self.started, self.first, self.done = time.monotonic(), done, done
        self.values: Mapping[str, np.ndarray] = {}
        self.seeds: Sequence[int] = []
        self.live: Live | None = None

    def __enter__(self) -> Display:
        if self.console.is_terminal and not self.quiet:
            self.live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2, transient=False)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def tick(self, env_steps: int) -> None:
        self.done = env_steps

    def epoch(self, env_steps: int, seeds: Sequence[int], values: Mapping[str, np.ndarray]) -> None:
        """Show one epoch's columns [R]."""
        self.done, self.seeds, self.values = env_steps, seeds, values
        if self.live is None and not self.quiet:
            self.console.print(self._line(), soft_wrap=True, highlight=False)

    def say(self, message: str) -> None:
        if not self.quiet:
            self.console.print(message, soft_wrap=True, highlight=False, markup=False)

    def _rate(self) -> float:
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def _left(self) -> str:
        rate = self._rate()
        return clock((self.steps - self.done) / rate) if rate > 0 else "?"

    def _cell(self, column: str, run: int, form: str) -> str:
        value = float(self.values[column][run]) if column in self.values else math.nan
        return "-" if math.isnan(value) else format(value, form)

    def _line(self) -> str:
        runs = range(len(self.seeds))
        returns = " ".join(self._cell("Metrics/EpRet", run, ".1f") for run in runs)
        costs = " ".join(self._cell("Metrics/EpCost", run, ".1f") for run in runs)
        multipliers = " ".join(self._cell("Metrics/LagrangeMultiplier", run, ".4g") for run in runs)
        tests = " ".join(self._cell("Metrics/TestEpRet", run, ".1f") for run in runs)
        evaluated = f"  evaluated {tests}" if "Metrics/TestEpRet" in self.values else ""
        return (
            f"{self.done:>9,}/{self.steps:,}  return {returns}  cost {costs} (limit {self.cost_limit:g})  "
            f"multiplier {multipliers}{evaluated}  {self._rate():.0f} steps/s  {self._left()} left"
        )

    def _table(self) -> Group:
        table = Table(title=self.title, title_justify="left")
        for heading in ("seed", "return", f"cost (limit {self.cost_limit:g})", "multiplier", "episodes", "evaluated"):
            table.add_column(heading, justify="right")
        for run, seed in enumerate(self.seeds):
            over = self._cell("Metrics/EpCost", run, ".1f")
            style = "red" if over != "-" and float(over) > self.cost_limit else "green"
            table.add_row(
                str(seed),
                self._cell("Metrics/EpRet", run, ".1f"),
                Text(over, style=style),
                self._cell("Metrics/LagrangeMultiplier", run, ".4g"),
                self._cell("Metrics/Episodes", run, ".0f"),
                self._cell("Metrics/TestEpRet", run, ".1f"),
            )
        status = f"{self.done:,}/{self.steps:,} steps  {self._rate():.0f} steps/s  {self._left()} left"
        return Group(table, ProgressBar(total=self.steps, completed=self.done, width=60), Text(status))


def clock(seconds: float) -> str:
    """h:mm:ss."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
