"""Writes every generated block of the README and the docs: tables of what the code and the measurements say.

A block stands between `<!-- generated: NAME ARGUMENT... -->` and `<!-- end -->`; its content is made anew from the
configs, the log's columns, `bench/results/` and the kept runs. `python docs/generate.py --check` changes nothing and
exits 1 when a block is not what it would write.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pyslsac import agents
from pyslsac.train.log import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
BLOCK = re.compile(r"(<!-- generated: (?P<words>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a cell's bars are escaped. Headings that end in ':' are right-aligned."""
    ruler = ["--:" if name.endswith(":") else "---" for name in header]
    lines = [
        [name.removesuffix(":") for name in header],
        ruler,
        *[[str(c).replace("|", "\\|") for c in r] for r in rows],
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def config(algorithm: str) -> str:
    """Every field of the algorithm's config with its default and the comment beside it in the source."""
    config_class = agents.AGENTS[algorithm][1]
    comments: dict[str, str] = {}
    for base in reversed(config_class.__mro__[:-1]):
        for line in inspect.getsource(base).splitlines():
            if match := re.match(r"    (\w+): .* = .*?  # (.*)", line):
                comments[match[1]] = match[2]
    fields = dataclasses.fields(config_class)
    return table(
        ("field", "default", "meaning"), ((f"`{f.name}`", f"`{f.default!r}`", comments[f.name]) for f in fields)
    )


def presets(algorithm: str) -> str:
    """What each preset changes of the defaults, for a velocity task."""
    changes = agents.PRESETS[algorithm]("SafetyHalfCheetahVelocity-v1")
    rows = ((f"`{name}`", ", ".join(f"`{k}={v!r}`" for k, v in c.items()) or "nothing") for name, c in changes.items())
    return table(("preset", "changes of the defaults (on a velocity task)"), rows)


def metrics(algorithm: str | None = None) -> str:
    """The log's columns with their meanings: an algorithm's own, as its docstring lists them, or all."""
    names = list(COLUMNS)
    if algorithm is not None:
        text = inspect.getmodule(agents.AGENTS[algorithm][0]).__doc__ or ""
        logged = re.findall(r"[A-Z]\w+/\w+", text.partition("Logged:")[2])
        names = sorted(logged, key=list(COLUMNS).index)
    return table(("column", "meaning"), ((f"`{name}`", COLUMNS[name]) for name in names))


def algorithms() -> str:
    """One row an algorithm, from the first line of its file."""
    rows = []
    for name, (agent, _) in agents.AGENTS.items():
        module = inspect.getmodule(agent)
        summary = (module.__doc__ or "").splitlines()[0].rstrip(".")
        stem = Path(module.__file__).stem
        lines = len(Path(module.__file__).read_text("utf-8").splitlines())
        rows.append((f"[`{name}`](docs/{stem}.md)", summary, f"[{stem}.py](pyslsac/agents/{stem}.py)", lines))
    return table(("name", "algorithm", "file", "lines:"), rows)


GENERATORS: dict[str, Callable[..., str]] = {
    "algorithms": algorithms,
    "config": config,
    "metrics": metrics,
    "presets": presets,
}


def fill(text: str) -> str:
    """The page with every block made anew."""

    def block(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        return f"{match[1]}{GENERATORS[name](*arguments)}{match[3]}"

    return BLOCK.sub(block, text)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args(argv).check
    stale = [page for page in pages() if fill(page.read_text("utf-8")) != page.read_text("utf-8")]
    for page in stale:
        print(f"{'out of date' if check else 'written'}: {page.relative_to(ROOT)}")
        if not check:
            page.write_text(fill(page.read_text("utf-8")), encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
