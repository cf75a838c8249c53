"""Tables say the same in every format, and what means something to a format is escaped."""

import io
import re

import pytest
from rich.console import Console

from pyslsac.plots.tables import Table, between, latex, number, share, spread

TABLE = Table("A_1 & b", ("name", "value:"), [("x|y", "-1.50"), ("[50% #1]", "2.0 ± 0.1")], ["of 5 $ & more"])


def test_markdown():
    assert TABLE.markdown() == (
        "## A_1 & b\n\n| name | value |\n| --- | --: |\n| x\\|y | -1.50 |\n| [50% #1] | 2.0 ± 0.1 |\n"
        "\n- of 5 $ & more\n"
    )


def test_latex():
    lines = TABLE.latex().splitlines()
    assert r"\caption{A\_1 \& b}" in lines
    assert r"\makebox[\linewidth][c]{\begin{tabular}{lr}" in lines
    assert r"{}x\textbar{}y & $-$1.50 \\" in lines
    assert r"{}[50\% \#1] & 2.0 $\pm$ 0.1 \\" in lines  # after \\, a bare [ would be read as an option of it
    assert r"\par\smallskip of 5 \$ \& more" in lines


def test_latex_is_balanced_and_every_row_is_as_wide_as_its_columns():
    text = TABLE.latex()
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    plain = re.sub(r"\\[{}&%$#_\\]", "", text)
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [1, 1, 1]


def test_every_special_letter_is_escaped():
    assert latex(r"\{}~^") == r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}"
    assert latex("sl-sac -3 (lr=-1e-05)") == "sl-sac $-$3 (lr=$-$1e-05)"
    assert latex("a < b > c") == r"a \textless{} b \textgreater{} c"


def test_terminal_shows_text_as_it_is():
    console = Console(width=100, file=io.StringIO())
    console.print(Table("[bold]t", ("[red]a",), [("[/x] b",)], ["note [i]"]).rich())
    shown = console.file.getvalue()
    assert all(word in shown for word in ("[bold]t", "[red]a", "[/x] b", "note [i]"))


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="row of 1 cells, wanted 2"):
        Table("t", ("a", "b"), [("1",)])


def test_numbers_are_written_to_be_read():
    assert (number(-0.001, 2), number(1234.5678, 1)) == ("0.00", "1,234.6")
    assert (spread(1234.567, 8.9), spread(3.0, None), spread(2.0, 0.126)) == ("1,234.6 ± 8.9", "3.00", "2.00 ± 0.13")
    assert (between(1.0, 2.5), between(0.1234, 0.5, 3), between(None, None)) == ("[1.00, 2.50]", "[0.123, 0.500]", "")
    assert (share(1 / 3), share(0.0), share(None)) == ("33%", "0%", "")
