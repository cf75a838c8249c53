"""Tables of text, written as Markdown, as LaTeX, and for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table

LATEX = {  # what means something to LaTeX, or is not in every font
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
}


@dataclass(frozen=True)
class Table:
    """A titled table. Columns whose heading ends in ':' are right-aligned; `notes` stand below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.title!r}: got a row of {len(row)} cells, wanted {len(self.header)}")

    @property
    def names(self) -> list[str]:
        return [name.removesuffix(":") for name in self.header]

    @property
    def right(self) -> list[bool]:
        """Which columns are right-aligned."""
        return [name.endswith(":") for name in self.header]

    def markdown(self) -> str:
        """A heading, the table, and a list of the notes."""
        ruler = ["--:" if right else "---" for right in self.right]
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.names, *self.rows)]
        lines = [f"| {' | '.join(row)} |\n" for row in (cells[0], ruler, *cells[1:])]
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"## {self.title}\n\n{''.join(lines)}" + (f"\n{notes}" if notes else "")

    def latex(self) -> str:
        """A table environment that needs no package; centred on the text, so a wide one reaches into both margins."""
        columns = "".join("r" if right else "l" for right in self.right)
        body = [f"{{}}{' & '.join(map(latex, row))} \\\\" for row in self.rows]  # {}: a row may begin with [ or *
        lines = [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{latex(self.title)}}}",
            r"\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\makebox[\linewidth][c]{{\begin{{tabular}}{{{columns}}}",
            r"\hline",
            " & ".join(map(latex, self.names)) + r" \\",
            r"\hline",
            *body,
            r"\hline",
            r"\end{tabular}}",
            *(rf"\par\smallskip {latex(note)}" for note in self.notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def rich(self) -> rich.table.Table:
        """The same for a terminal."""
        import rich.table
        from rich.text import Text

        caption = Text("\n".join(self.notes)) if self.notes else None
        table = rich.table.Table(title=Text(self.title), title_justify="left", caption=caption, caption_justify="left")
        for name, right in zip(self.names, self.right, strict=True):
            table.add_column(Text(name), justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


def latex(text: str) -> str:
    """The text, with what means something to LaTeX escaped."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped)  # a minus, not a hyphen


def number(value: float, digits: int) -> str:
    """A number with so many digits after the point."""
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no minus before a zero


def numbers(*values: float) -> list[str]:
    """Numbers to be read together: two digits after the point, one from a thousand on."""
    digits = 1 if max(map(abs, values)) >= 1000 else 2
    return [number(value, digits) for value in values]


def share(value: float | None) -> str:
    """A share in percent; nothing for None."""
    return "" if value is None else f"{value:.0%}"


def spread(value: float, half: float | None) -> str:
    """value ± half, the half left out where there is none."""
    return " ± ".join(numbers(value) if half is None else numbers(value, half))


def between(low: float | None, high: float | None, digits: int | None = None) -> str:
    """An interval [low, high]; nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"[{', '.join(numbers(low, high) if digits is None else (number(low, digits), number(high, digits)))}]"
