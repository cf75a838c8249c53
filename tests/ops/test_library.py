"""The registry: which implementation runs, the warning when there is no core, and the build facts."""

import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from pyslsac.ops import _library, adam_, backend, philox_normal

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(_library.MISSING["cpu"] is not None, reason="the compiled core is not built")
def test_compiled_twins_run_on_the_cpu() -> None:
    assert {name: backend(name, "cpu") for name in _library.OPS} == dict.fromkeys(_library.OPS, "compiled")


@pytest.mark.skipif(_library.MISSING["cpu"] is not None, reason="the compiled core is not built")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere denormal numbers cost nothing")
def test_denormal_numbers_are_zero_in_compiled_ops_and_nowhere_else() -> None:
    """The first moment of a unit without gradients would be denormal after 850 steps of Adam, and stay so."""
    param, grad, moment, square = (torch.full((100_000,), x) for x in (1.0, 0.0, 1e-39, 0.0))
    adam_([param], [grad], [moment], [square], [torch.zeros(())], lr=0.1)
    assert not moment.any()
    assert (torch.full((100_000,), 1e-38) * 0.1 > 0).all()


def test_backend_knows_stems_and_refuses_others() -> None:
    assert backend("philox_normal", "cpu") == backend("philox_normal_", "cpu")
    assert backend("philox_normal", "mps") == "reference"
    with pytest.raises(ValueError, match="wanted one of"):
        backend("no_such_op", "cpu")


def test_ci_built_the_core() -> None:
    """Where CI says it runs, a missing core is a failure, not a reason to skip."""
    if not os.environ.get("CI"):
        pytest.skip("not in CI")
    assert _library.MISSING["cpu"] is None


def test_a_missing_core_warns_once_with_reason_and_mending(monkeypatch: pytest.MonkeyPatch) -> None:
    _library._warn_once.cache_clear()
    monkeypatch.setitem(_library.MISSING, "cpu", "libpyslsac_cpu.so is not there")
    with pytest.warns(
        RuntimeWarning, match=r"reference implementations on cpu: libpyslsac_cpu\.so is not there.*pip install"
    ):
        _library._warn_once("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _library._warn_once("cpu")
    _library._warn_once.cache_clear()


def test_without_libraries_ops_run_on_references(tmp_path: Path) -> None:
    """A copy of the package without pyslsac/lib: one warning at the first op, the same normals."""
    script = (
        "import sys, warnings; sys.path.insert(0, sys.argv[1])\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in type(f).__module__]\n"
        "import pathlib, pyslsac.ops\n"
        "from pyslsac.ops import philox_normal, backend\n"
        "assert pathlib.Path(pyslsac.ops.__file__).is_relative_to(sys.argv[1])\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    first, second = philox_normal(5, 3), philox_normal(5, 3)\n"
        "assert backend('philox_normal', 'cpu') == 'reference'\n"
        "print(len([w for w in caught if 'pyslsac runs on' in str(w.message)]), first.tolist())\n"
    )
    for source in (ROOT / "pyslsac").rglob("*.py"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text())
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"1 {philox_normal(5, 3).tolist()}"


@pytest.mark.skipif(_library.MISSING["cpu"] is not None, reason="the compiled core is not built")
def test_build_facts() -> None:
    core = pytest.importorskip("pyslsac._C")
    facts = core.build_info()
    assert facts["torch_target"] == "2.11" and "-ffp-contract=off" in facts["flags"]
    assert facts["simd"] in ("baseline", "AVX2", "AVX512")
    assert facts["version"].count(".") == 2 and facts["compiler"]


@pytest.mark.skipif(_library.MISSING["cpu"] is not None, reason="the compiled core is not built")
@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_libraries_name_torch_and_only_stable_symbols(device_type: str) -> None:
    path = _library.FOLDER / f"libpyslsac_{device_type}.so"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    assert "libtorch_cpu.so" in needed and ("libtorch_cuda.so" in needed) == (device_type == "cuda")
    assert "RPATH" not in needed and "RUNPATH" not in needed
    symbols = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
    mangled = ("3c10", "2at", "5torch")  # C++ namespaces of libtorch, whose layout changes between versions
    assert not [line for line in symbols.splitlines() if "_ZN" in line and any(name in line for name in mangled)]


def test_numbers_stay_on_the_cpu_and_keep_their_value() -> None:
    assert _library.per_run(0.1, torch.float64).item() == 0.1
    assert _library.per_run(torch.tensor([1, 2]), torch.float32).dtype == torch.float32
    assert _library.seed_tensor(2**64 - 1).item() == -1
