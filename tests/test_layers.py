"""Imports point down the layers, never up or sideways: read from the syntax trees."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pyslsac"
PARTS = {"nn", "optim", "sampling", "safety", "data"}
LAYERS = {
    "ops": 1,
    **dict.fromkeys(PARTS, 2),
    "agents": 3,
    "envs": 3,
    "train": 4,
    "experiments": 5,
    "plots": 5,
    "cli": 6,
}
TOP = {"__init__", "__main__"}  # the lazy root, which may name everything, and the command's entry
NUMPY_ONLY = {"envs", "plots"}  # must work where torch is not installed
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Every module that the code imports, as a dotted name, with its line. `from a import b` gives both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def without_type_checking(tree: ast.Module) -> ast.Module:
    """The module without its `if TYPE_CHECKING:` blocks, which never run."""
    guarded = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return ast.Module([n for n in tree.body if n not in guarded], [])


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parent.parts)


def folder_of(path: Path) -> str:
    """The layer's name: the folder under pyslsac, or the stem of a file that lies there itself."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def targets(path: Path) -> set[tuple[str, str, int]]:
    """(folder, dotted name, line) of every import of the package by one of its files."""
    tree = without_type_checking(ast.parse(path.read_text(encoding="utf-8")))
    found = {(name, line) for name, line in imports(tree, package_of(path)) if name.startswith("pyslsac.")}
    return {(name.split(".")[1], name, line) for name, line in found}


def allowed(path: Path, folder: str, target: str, name: str) -> bool:
    if target not in LAYERS:
        return target in {"_C", "__version__"}
    if target == folder:
        return True
    if folder == "plots":
        return name.startswith("pyslsac.train.log")
    if folder == "envs":
        return name in {"pyslsac.data", "pyslsac.data.Spec"} or name.startswith("pyslsac.data.spec")
    return LAYERS[target] < LAYERS[folder]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    folder = folder_of(path)
    if folder in TOP:
        pytest.skip("the root names every layer, lazily")
    assert folder in LAYERS, f"pyslsac/{folder} has no layer: add it to LAYERS or move the file"
    wrong = [
        f"{path}:{line}: {name}" for target, name, line in targets(path) if not allowed(path, folder, target, name)
    ]
    assert not wrong, f"imports up or sideways from {folder}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_relative_imports(path: Path) -> None:
    relative = [
        n.lineno for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert not relative, f"{path}:{relative}: write the whole name, pyslsac.x.y"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if folder_of(p) in NUMPY_ONLY], ids=lambda p: str(p.relative_to(ROOT))
)
def test_no_torch_here(path: Path) -> None:
    tree = without_type_checking(ast.parse(path.read_text(encoding="utf-8")))
    wrong = [line for name, line in imports(tree, package_of(path)) if name.split(".")[0] == "torch"]
    assert not wrong, f"{path}:{wrong}: {folder_of(path)}/ works without torch"


def test_an_agent_imports_another_only_to_be_its_variant() -> None:
    shared = {"__init__", "base"}
    agents = {p.stem for p in (PACKAGE / "agents").glob("*.py")} - shared
    for path in (PACKAGE / "agents").glob("*.py"):
        others = {name.split(".")[2] for folder, name, _ in targets(path) if folder == "agents" and name.count(".") > 1}
        if path.stem in agents and others & agents - {path.stem}:
            assert len(path.read_text("utf-8").splitlines()) <= 60, (
                f"{path} imports {others & agents}: a variant states its difference"
            )


def test_each_optional_package_is_imported_in_one_file() -> None:
    for optional in ("safety_gymnasium", "metadrive", "ray", "wandb"):
        users = {
            path
            for path in MODULES
            for name, _ in imports(ast.parse(path.read_text("utf-8")), package_of(path))
            if name.split(".")[0] == optional
        }
        assert len(users) <= 1, f"{optional} is imported in {sorted(map(str, users))}"


@pytest.mark.parametrize("module", ["pyslsac", "pyslsac.envs", "pyslsac.plots", "pyslsac.cli"])
def test_import_leaves_torch_alone(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0, f"import {module} imports torch"


TORCH_FREE = sorted(
    [*(ROOT / "csrc").rglob("*.h"), *(ROOT / "csrc").rglob("*.cuh"), *(ROOT / "csrc" / "cuda").rglob("*.cu")]
)


@pytest.mark.parametrize(
    "path", [p for p in TORCH_FREE if p.parent.name != "bind"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_kernels_see_neither_torch_nor_python(path: Path) -> None:
    includes = re.findall(r'#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"))
    wrong = [name for name in includes if re.match(r"(torch|ATen|c10|pybind11|Python\.h)", name)]
    assert not wrong, f"{path} includes {wrong}"
