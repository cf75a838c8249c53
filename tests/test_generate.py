"""The speed tables: from results as they were kept before there was a roofline, and as they are kept now."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
QUARTILES = {"median": 12.3, "q1": 11.0, "q3": 14.0}
OLD = {"us": {"ours": QUARTILES, "torch": QUARTILES}, "ratio": {"torch": {"median": 2.5, "q1": 2.0, "q3": 3.0}}}
NEW = OLD | {"roofline": {"bytes": 28, "flops": 40, "bound": "copy", "fraction": 0.853}}
FACTS = {"torch": "2.11", "threads": 2, "capability": "AVX2", "commit": "abc", "date": "2026-01-01"}
RATES = {"copy": 21.5, "fp32": 210.0, "bf16": 1650.0}
NAME = "1,000,000 parameters"


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def keep(folder: Path, facts: dict, cases: dict) -> None:
    kept = {"device": "A device", "benches": {"asgld": facts | {"cases": cases}}}
    (folder / "a-device.json").write_text(json.dumps(kept))


def test_without_a_roofline_there_is_no_column(pages: ModuleType, tmp_path: Path) -> None:
    keep(tmp_path, FACTS, {NAME: OLD})
    assert f"| `asgld` | {NAME} | 12 | torch: 2.50 |" in pages.measured()
    assert "roofline" not in pages.measured() + pages.benches() and "ceilings" not in pages.benches()
    assert f"| {NAME} | 12.3 (11.0-14.0) | torch: 2.50 (2.00-3.00) |" in pages.benches()


def test_the_fraction_is_shown_and_a_gap_is_a_dash(pages: ModuleType, tmp_path: Path) -> None:
    keep(tmp_path, FACTS | {"ceilings": RATES}, {NAME: NEW, f"{NAME}, again": OLD})
    assert "| bench | case | ours, µs | roofline | times as long |" in pages.measured()
    assert f"| `asgld` | {NAME} | 12 | 85% of copy | torch: 2.50 |" in pages.measured()
    assert f"| {NAME}, again | 12.3 (11.0-14.0) | - | torch: 2.50 (2.00-3.00) |" in pages.benches()
    assert "ceilings: copy 21.5 GB/s, fp32 GEMM 210 GFLOP/s, bf16 GEMM 1,650 GFLOP/s" in pages.benches()


def test_a_device_without_a_headline_is_not_in_the_readme(pages: ModuleType, tmp_path: Path) -> None:
    keep(tmp_path, FACTS, {"7 parameters": OLD})
    assert pages.measured() == ""
    assert "7 parameters" in pages.benches()
