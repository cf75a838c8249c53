"""The README and the docs hold: commands exist, Python runs as written, tables are what code and measurements say."""

import contextlib
import functools
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pyslsac.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """(page:line, text) of every fenced block of a language."""
    found = []
    for page in PAGES:
        opened, fence = 0, ""
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.startswith("```"):
                continue
            if opened and fence == f"```{language}":
                found.append((f"{page.relative_to(ROOT)}:{opened}", "\n".join(lines[opened : number - 1]) + "\n"))
            opened, fence = (0, "") if opened else (number, line.strip())
    return found


def commands() -> list[tuple[str, list[str]]]:
    """Every command line of the unmarked blocks, and of code spans that begin with the name of a program of ours."""
    lines = [(place, line) for place, text in blocks("") + blocks("bash") for line in text.splitlines()]
    for page in PAGES:
        spans = re.findall(r"`((?:make|pyslsac) [^`]+)`", page.read_text(encoding="utf-8"))
        lines += [(str(page.relative_to(ROOT)), span) for span in spans]
    return [
        (place, shlex.split(line, comments=True))
        for place, line in lines
        if re.match(r"(make|pyslsac|python|bench/|\.)", line)
    ]


def run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@functools.cache
def help_of(*subcommand: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as left:
        main([*subcommand, "--help"])
    assert not left.value.code
    return shown.getvalue()


def test_the_readme_names_its_two_commands() -> None:
    shown = [words for place, words in commands() if place.startswith("README")]
    assert ["make", "demo"] in shown and ["make", "test"] in shown


@pytest.mark.parametrize(("place", "words"), commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v))
def test_commands_exist(place: str, words: list[str]) -> None:
    """make targets are in the Makefile, files are in the tree, and pyslsac's subcommands know every option shown."""
    program, *arguments = words
    if program == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
        assert {word for word in arguments if "=" not in word} <= targets, place
    elif program == "pyslsac":
        algorithm = [word for word in arguments[1:2] if arguments[0] == "train" and not word.startswith("-")]
        shown = help_of(arguments[0], *algorithm)
        options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        missing = {option for option in options if option not in shown}
        assert not missing, f"{place}: pyslsac {arguments[0]} --help does not show {missing}"
    else:
        scripts = [word for word in words if "/" in word and "venv/" not in word]
        assert all((ROOT / script).exists() for script in scripts), place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs_as_written(page: Path, tmp_path: Path) -> None:
    """A page's blocks, in order, in one script: a block may use what an earlier one made."""
    code = [text for place, text in blocks("python") if place.startswith(f"{page.relative_to(ROOT)}:")]
    script = tmp_path / "example.py"
    script.write_text("\n".join(code), encoding="utf-8")
    answer = run(sys.executable, str(script), folder=tmp_path)
    assert answer.returncode == 0, f"{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}"


def test_generated_tables_are_up_to_date() -> None:
    answer = run(sys.executable, "docs/generate.py", "--check")
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr[-3000:]}\nrun `make docs`"
