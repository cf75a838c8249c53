"""The house rules that a file listing and a text search can check: one stem, one place, nothing without a place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("csrc", "pyslsac", "tests", "bench", "docs", "cmake", "requirements", ".ci")
TEXT = {".py", ".pyi", ".h", ".cuh", ".cpp", ".cu", ".md", ".toml", ".txt", ".yaml", ".sh", ".cmake", ""}
SKIPPED = {"__pycache__", "build", "lib", "results"}


def tracked() -> list[Path]:
    """Every file of ours: the house's folders and the files at the root, without what builds and tools leave."""
    inside = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.is_file()]
    outside = [p for p in ROOT.iterdir() if p.is_file()]
    return sorted(p for p in inside + outside if not SKIPPED & set(p.relative_to(ROOT).parts) and p.suffix != ".so")


FILES = tracked()
TEXTS = [p for p in FILES if p.suffix in TEXT and p.name != ".git"]
PYTHON = [p for p in FILES if p.suffix == ".py"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def stems(pattern: str, *besides: str) -> set[str]:
    return {p.stem for p in ROOT.glob(pattern)} - {"__init__", *besides}


OPS = stems("pyslsac/ops/*.py", "_library")
AGENTS = stems("pyslsac/agents/*.py", "base")
BENCHES = ("update", "envs", "training")  # of more than one op
OP_FILES = (
    "csrc/{}.h",
    "csrc/cpu/{}.cpp",
    "csrc/cuda/{}.cu",
    "csrc/bind/{}.cpp",
    "pyslsac/ops/{}.py",
    "pyslsac/ops/reference/{}.py",
    "tests/ops/test_{}.py",
    "pyslsac/experiments/cases/{}.py",
    "bench/bench_{}.py",
)


@pytest.mark.parametrize("stem", sorted(OPS))
def test_an_op_is_nine_files(stem: str) -> None:
    missing = [form.format(stem) for form in OP_FILES if not (ROOT / form.format(stem)).is_file()]
    assert not missing, f"op {stem} lacks {missing}"


def test_every_op_file_belongs_to_an_op() -> None:
    strays = {
        "csrc/cpu": stems("csrc/cpu/*.cpp") - OPS,
        "csrc/cuda": {s for s in stems("csrc/cuda/*.cu") - OPS if not s.startswith(tuple(f"{op}_" for op in OPS))},
        "csrc/bind": stems("csrc/bind/*.cpp", "module") - OPS,
        "pyslsac/ops/reference": stems("pyslsac/ops/reference/*.py") - OPS,
        "pyslsac/experiments/cases": stems("pyslsac/experiments/cases/*.py") - OPS,
        "bench": {s.removeprefix("bench_") for s in stems("bench/bench_*.py", *(f"bench_{s}" for s in BENCHES))} - OPS,
    }
    assert not any(strays.values()), f"files whose stem is no op's: {strays}"


@pytest.mark.parametrize("stem", sorted(AGENTS))
def test_an_algorithm_is_three_files_and_a_page(stem: str) -> None:
    name = stem.replace("_", "-")
    assert (ROOT / f"tests/agents/test_{stem}.py").is_file()
    assert (ROOT / f"docs/{stem}.md").is_file()
    for path in ("pyslsac/agents/__init__.py", "bench/bench_update.py", "README.md"):
        assert name in (ROOT / path).read_text("utf-8"), f"{path} does not name {name}"


def test_tests_mirror_the_package() -> None:
    for path in (ROOT / "tests").glob("*/test_*.py"):
        folder, stem = path.parent.name, path.stem.removeprefix("test_")
        if not (ROOT / "pyslsac" / folder).is_dir():
            continue
        known = {s.lstrip("_") for s in stems(f"pyslsac/{folder}/*.py") | stems(f"pyslsac/{folder}/*/*.py")}
        assert any(stem == s or stem.startswith(f"{s}_") for s in known), (
            f"{name_of(path)} tests no pyslsac/{folder}/ file"
        )


def test_no_file_without_a_subject() -> None:
    wrong = [
        name_of(p)
        for p in FILES
        if p.stem.removeprefix("test_").strip("_") in {"utils", "util", "common", "helpers", "misc"}
    ]
    assert not wrong, f"name these after what they hold: {wrong}"


BUDGETS = (  # first match counts; the fused MLP kernels may take 400 lines
    ("csrc/cuda/langevin_chain.cu", 400),
    ("csrc/**/*.h", 80),
    ("csrc/cuda/*.cu", 150),
    ("csrc/cpu/*.cpp", 100),
    ("csrc/bind/*.cpp", 100),
    ("pyslsac/ops/*.py", 100),
    *((f"pyslsac/{part}/*.py", 150) for part in ("nn", "optim", "sampling", "safety", "data")),
    ("pyslsac/agents/*.py", 250),
    ("pyslsac/train/*.py", 200),
    ("tests/**/*.py", 250),
)
JUSTIFIED: dict[str, tuple[int, str]] = {  # file: (lines it may have, why it is one subject)
    "csrc/estep_dual.h": (90, "a Newton step on two numbers, which host and device share"),
    "csrc/asgld.h": (115, "four variants, four clips, residual and target in one formula that host and device share"),
    "csrc/bind/asgld.cpp": (160, "26 arguments, each refused by name"),
    "csrc/cpu/asgld.cpp": (160, "the same stages serve the norm and the step, for three storage types"),
    "csrc/cpu/philox_normal.cpp": (105, "one set of lane operations for each instruction set"),
    "csrc/cuda/estep_dual.cu": (200, "a step is two kernels, around one walk over a state's actions"),
    "csrc/bind/implicit_quantiles.cpp": (135, "two ops of seven tensors each, every one refused by name"),
    "csrc/implicit_quantiles.h": (85, "the op's arguments, each with its shape, and the functions of both devices"),
    "csrc/cpu/implicit_quantiles.cpp": (125, "forward and back, with all columns and without those that are zero"),
    "csrc/cpu/active_state.h": (85, "all that is packed of a state, and how"),
    "csrc/cpu/dense_states.h": (95, "what goes into the products of both directions, and the way through these"),
    "csrc/cpu/dense_backward.h": (145, "from the quantiles' gradient to all others, in one room"),
    "csrc/cpu/bf16_factors.h": (90, "both factors in the layouts of tiles, and the room for them"),
    "csrc/cpu/bf16_product.h": (85, "one product, by matrix tiles, by the instruction, and by neither"),
    "csrc/cpu/bf16_panel.h": (90, "a product by columns and by rows, with and without the processor's own"),
    "csrc/cuda/langevin_chain_small.cu": (345, "a network's layers, forward and back, in one kernel"),
    "csrc/cuda/langevin_chain_large_90a.cu": (235, "a network's layers, forward and back, in one kernel"),
    "csrc/bind/langevin_chain.cpp": (130, "27 arguments, each refused by name"),
    "csrc/bind/langevin_chain_run.h": (85, "one way through a chain for every backend"),
    "csrc/bind/langevin_chain_unfused.h": (125, "every buffer, product and pass of a group, forward and back"),
    "csrc/cpu/chain_layers.h": (175, "forward and back work in one workspace, for five activations"),
    "csrc/cpu/perceptron.cpp": (235, "forward, back and the weights' gradients share scratch and the blocks"),
    "csrc/cpu/panel.h": (115, "a product by columns, by rows and their edges, all around one packed panel"),
    "csrc/cpu/nonzero.h": (115, "columns are found, packed and multiplied in one layout"),
    "csrc/cpu/alike.h": (100, "what pieces of rows share, how they are cut, and room for all that is made of them"),
    "csrc/cpu/alike_first.h": (130, "a piece's units are made, chosen and packed in one layout"),
    "csrc/cpu/dual_tables.h": (110, "the sums over a run's tables, around one packing of them"),
    "csrc/bind/launch.h": (90, "two ways to share work among threads, and what stands for them on CUDA"),
    "csrc/bind/room.h": (90, "the blocks that are kept, and the tensors that are made of them or of torch's memory"),
    "csrc/cuda/perceptron.cu": (215, "five passes around products, and the way through them, forward and back"),
    "csrc/bind/reverse_chain.cpp": (105, "two ops of ten arguments, each refused by name"),
    "csrc/bind/perceptron_arguments.h": (90, "what ops with perceptrons in them take and keep, each refused by name"),
    "pyslsac/ops/perceptron.py": (165, "two ops, their fakes, and the node of the graph that joins them"),
    "pyslsac/ops/reverse_chain.py": (130, "two ops of ten tensors and more, their fakes, and the node that joins them"),
    "pyslsac/ops/_library.py": (110, "what every op's wrapper shares"),
    "pyslsac/ops/langevin_chain.py": (205, "groups, schedules and every option of a move in one signature"),
    "csrc/cuda/implicit_quantiles.cu": (240, "four kernels: cosines, forward, backward by state, and by weight"),
    "pyslsac/agents/base.py": (265, "what all agents share, and beside it what the on-policy ones among them do"),
    "pyslsac/agents/sl_sac.py": (255, "the main algorithm, with every option of the paper's experiments"),
    "pyslsac/train/session.py": (205, "all that surrounds the loop, in the order in which it comes"),
    "pyslsac/optim/asgld.py": (175, "the whole contract of a torch optimizer is one class"),
}


def budget(path: Path) -> int | None:
    if name_of(path) in JUSTIFIED:
        return JUSTIFIED[name_of(path)][0]
    return next((lines for pattern, lines in BUDGETS if path in set(ROOT.glob(pattern))), None)


def test_files_keep_their_budget() -> None:
    lengths = {p: len(p.read_text("utf-8").splitlines()) for p in FILES if p.suffix in {".py", ".h", ".cpp", ".cu"}}
    over = {name_of(p): (n, limit) for p, n in lengths.items() if (limit := budget(p)) and n > limit}
    assert not over, f"split these, or justify them in JUSTIFIED (lines, budget): {over}"


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.FunctionDef))


def body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("stem", sorted(AGENTS))
def test_an_update_reads_like_its_box(stem: str) -> None:
    for function in functions(ROOT / f"pyslsac/agents/{stem}.py"):
        limit = {"update": 40}.get(function.name, 15 if function.name.endswith("_loss") else None)
        assert limit is None or body_lines(function) <= limit, f"{stem}.{function.name} is longer than {limit} lines"


RENAMED = {  # one word per idea
    "noise_scale": "temperature",
    "ent_coef": "alpha",
    "qc_thres": "budget",
    "target_cost": "budget",
    "lam": "multiplier",
    "lag": "multiplier",
    "lagrange_multiplier": "multiplier",
    "tau_polyak": "polyak",
    "dones": "terminated",
}


@pytest.mark.parametrize("path", [p for p in PYTHON if "pyslsac" in p.parts], ids=name_of)
def test_one_word_per_idea(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    arguments = [n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)]
    fields = [n.target.id for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    wrong = {name: RENAMED[name] for name in [*arguments, *fields] if name in RENAMED}
    assert not wrong, f"{name_of(path)}: {wrong}"


def words(*parts: str) -> str:
    """A pattern written in pieces, so that this file does not match itself."""
    return "".join(parts)


FORBIDDEN = {
    words(r"\b(TO", r"DO|FIX", r"ME|X", r"XX)\b"): "finish it or leave it out",
    words(r"(copy", r"right|SPDX-", r"License)"): "the licence stands in LICENSE alone",
    words(r"(?i)(?<![\w./-])/(work", r"|home|root|Users|tmp/bash)/"): "no paths of one machine",
    words(
        r"(?i)(extra-)?index-", r"url|find-", r"links|py", r"pi\.org|python", r"hosted"
    ): "installs follow the user's own settings",
}


@pytest.mark.parametrize("path", [p for p in TEXTS if p.name != "LICENSE"], ids=name_of)
def test_no_forbidden_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, reason in FORBIDDEN.items():
        hits = [text.count("\n", 0, m.start()) + 1 for m in re.finditer(pattern, text)]
        assert not hits, f"{name_of(path)}:{hits}: {reason}"


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".md"], ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    dead = [
        link
        for link in links
        if not link.startswith(("http:", "https:", "mailto:")) and not (path.parent / link).exists()
    ]
    assert not dead, f"{name_of(path)}: {dead}"


def test_every_doc_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    missing = [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md" and f"({p.name})" not in index]
    assert not missing, f"docs/README.md does not link {missing}"
