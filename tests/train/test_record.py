"""environment.json: what has changed is said in words, and marks stay."""

import json
import sys

from pyslsac.train.record import Record, differences, facts_of, program, read_record
from pyslsac.train.settings import Settings

SETTINGS = Settings("sl-sac", "Task", steps=10, seeds=[0, 1])


def test_nothing_has_changed():
    facts = facts_of(SETTINGS, [0, 1], "fp32")
    assert differences(json.loads(json.dumps(facts)), facts_of(SETTINGS, [0, 1], "fp32")) == []


def test_each_change_is_named():
    then, now = facts_of(SETTINGS, [0, 1], "fp32"), facts_of(SETTINGS, [1], "fp64")
    now["versions"] = now["versions"] | {"torch": "9.9"}
    now["build"] = None
    found = differences(then, now)
    assert "runs was 2, is 1" in found and any(f.startswith("precision was fp32") for f in found)
    assert f"versions torch was {then['versions']['torch']}, is 9.9" in found
    assert not any("numpy" in f for f in found)


def test_a_mark_outlives_the_process(tmp_path):
    facts = {"runs": 1}
    Record(tmp_path, facts).mark_inexact("one reason")
    Record(tmp_path, facts).mark_inexact("another")
    content = read_record(tmp_path)
    assert content["exact"] is False and content["notes"] == ["one reason", "another"]
    assert read_record(tmp_path / "elsewhere") == {}


def test_the_program_is_named_without_its_folder(monkeypatch):
    for path, name in (("/a/pyslsac/__main__.py", "pyslsac"), ("/a/bin/pyslsac", "pyslsac"), ("b/mine.py", "mine.py")):
        monkeypatch.setattr(sys, "argv", [path, "train"])
        assert program() == name
