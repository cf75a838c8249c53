"""Planted logs of ptxas: what is above a kernel's ceilings fails by name, architecture, number and ceiling."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'void pyslsac::cuda::(anonymous namespace)::move<float, (pyslsac::Clip)1>(pyslsac::Step<float>, long)' for 'sm_80'
ptxas info    : Function properties for void pyslsac::cuda::(anonymous namespace)::move<float, (pyslsac::Clip)1>(pyslsac::Step<float>, long)
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 38 registers, used 1 barriers, 2048 bytes smem, 456 bytes cmem[0]
ptxas info    : Compile time = 3.210 ms
ptxas info    : Compiling entry function 'pyslsac::cuda::(anonymous namespace)::fill(pyslsac::Fill)' for 'sm_90'
ptxas info    : Function properties for pyslsac::cuda::(anonymous namespace)::fill(pyslsac::Fill)
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers
"""  # noqa: E501
MOVE, FILL = "planted.cu: move<float, (Clip)1>, sm_80", "planted.cu: fill, sm_90"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/ceilings.py, with the ceilings of LOG in a file of the test's own."""
    spec = importlib.util.spec_from_file_location("ceilings", ROOT / ".ci" / "ceilings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CEILINGS", tmp_path / "ceilings.json")
    plant(tmp_path, LOG)
    assert module.main(tmp_path, write=True) == 0
    return module


def plant(folder: Path, log: str, nvcc: str = "13.0.88") -> None:
    (folder / "planted.cu.log").write_text(log)
    (folder / "nvcc").write_text(f"{nvcc}\n")


def test_ceilings_are_what_was_found_in_whole_register_granules(check: ModuleType) -> None:
    assert json.loads(check.CEILINGS.read_text()) == {
        "nvcc": "13.0.88",
        "kernels": {
            FILL: {"registers": 24, "shared": 0, "stack": 0},
            MOVE: {"registers": 40, "shared": 2048, "stack": 0},
        },
    }


def test_what_stays_below_its_ceilings_passes(check: ModuleType, tmp_path: Path) -> None:
    plant(tmp_path, LOG.replace("Used 38", "Used 40").replace("Used 24", "Used 16"), nvcc="12.8.0")
    assert check.main(tmp_path, write=False) == 0


SERIALIZED = (
    "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to a call\n"
)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Used 38 registers", "Used 41 registers", f"{MOVE} uses 41 registers; its ceiling is 40"),
        ("2048 bytes smem", "2049 bytes smem", f"{MOVE} uses 2049 bytes of shared memory; its ceiling is 2048"),
        ("used 0 barriers", "used 0 barriers, 16+0 bytes smem", f"{FILL} uses 16 bytes of shared memory"),
        ("0 bytes stack frame", "8 bytes stack frame", f"{MOVE} uses 8 bytes of stack; its ceiling is 0"),
        ("0 bytes spill stores", "4 bytes spill stores", f"{MOVE} spills 4 bytes of registers; its ceiling is 0"),
        ("0 bytes spill loads", "12 bytes spill loads", f"{MOVE} spills 12 bytes of registers; its ceiling is 0"),
        ("fill", "flood", "planted.cu: flood, sm_90 has no ceilings"),
        ("fill", "flood", f"{FILL} has ceilings, but there is no such kernel"),
        ("ptxas info    : 0 bytes gmem\n", SERIALIZED, "wgmma.mma_async instructions are serialized"),
        (LOG, "", "there is no kernel"),
    ],
)
def test_an_excess_fails(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, said: str
) -> None:
    plant(tmp_path, LOG.replace(before, after))
    assert check.main(tmp_path, write=False) == 1
    out = capsys.readouterr().out
    assert any(line.startswith("FAILED") and said in line for line in out.splitlines()), out
    assert "this is" not in out  # nothing on nvcc, whose version is that of the ceilings


def test_an_excess_of_another_compiler_is_told_apart(check: ModuleType, tmp_path: Path, capsys) -> None:
    plant(tmp_path, LOG.replace("Used 24", "Used 99"), nvcc="12.8.0")
    assert check.main(tmp_path, write=False) == 1
    assert "the ceilings are of nvcc 13.0.88, and this is 12.8.0" in capsys.readouterr().out


def test_spills_cannot_be_written_into_the_ceilings(check: ModuleType, tmp_path: Path, capsys) -> None:
    plant(tmp_path, LOG.replace("0 bytes spill stores", "4 bytes spill stores"))
    assert check.main(tmp_path, write=True) == 1
    assert "spills 4 bytes" in capsys.readouterr().out


def test_the_committed_ceilings_allow_no_stack() -> None:
    """Local memory would be a kernel's slow way out; one that needs it says so here."""
    kernels = json.loads((ROOT / "csrc" / "cuda" / "ceilings.json").read_text("utf-8"))["kernels"]
    assert kernels and not [name for name, limits in kernels.items() if limits["stack"]]
