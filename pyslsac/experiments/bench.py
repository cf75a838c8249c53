"""`pyslsac bench`: every op against its rivals, and against what the device moves and multiplies at most.

The files of `cases/` say what is timed. Results are kept by device, with what else a number depends on.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch._dynamo.exc import TorchDynamoException

import pyslsac
from pyslsac.experiments import cases as folder
from pyslsac.experiments import roofline, timing
from pyslsac.experiments.cases import Case, Cases
from pyslsac.experiments.timing import Call, Result
from pyslsac.ops import backend
from pyslsac.ops._library import OPS

BENCHES = tuple(sorted(module.name for module in pkgutil.iter_modules(folder.__path__)))


def cases_of(names: Sequence[str]) -> dict[str, Cases]:
    """The cases of the ops, of all without names; ValueError for a name that is no op's."""
    if unknown := [name for name in names if name not in BENCHES]:
        raise ValueError(f"bench: there is no op {', '.join(unknown)}; known: {', '.join(BENCHES)}")
    return {name: importlib.import_module(f"{folder.__name__}.{name}").cases for name in names or BENCHES}


def run(
    benches: Mapping[str, Cases],
    device: str,
    *,
    threads: int | None = None,
    quick: bool = False,
    out: Path | None = None,
) -> Iterator[tuple[str, Result]]:
    """Time every case, and yield (its name, its result) as it is done; each bench is written to `out` at its end."""
    place = device_of(device)
    if threads is not None:
        if threads < 1:
            raise ValueError(f"bench: threads is {threads}; wanted at least 1")
        torch.set_num_threads(threads)
    if out is not None:
        kept_in(out, place)  # a file that will not do is refused before anything is timed
    ceilings = roofline.measure(place, quick)
    for bench, cases in benches.items():
        results = {}
        for case in cases(place, quick):
            for name, result in timed(Case(*case), place, quick, ceilings):
                results[name] = result
                yield f"{bench}: {name}", result
            torch.compiler.reset()  # else shapes add up to the limit after which nothing more is compiled
        if out is not None:
            write(out, bench, results, place, ceilings)


def device_of(name: str) -> torch.device:
    if name.split(":")[0] not in timing.LEAST:
        raise ValueError(f"bench: the device is {name!r}; wanted cpu, cuda or cuda:N")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"bench: the device is {name!r}, but torch finds no GPU")
    return torch.device(name)


def timed(case: Case, device: torch.device, quick: bool, ceilings: roofline.Ceilings) -> Iterator[tuple[str, Result]]:
    """The case's name and result as it is called, and on CUDA as a captured graph."""
    ours = next(iter(case.rivals))
    calls = {name: call for name, call in case.rivals.items() if works(name, call)}

    def result(calls: Mapping[str, Call], count: int) -> Result:
        found = timing.compare(calls, device, quick=quick, calls=count)
        if case.traffic:
            found["roofline"] = roofline.roofline(case, 1e-6 * found["us"][ours]["median"], ceilings)
        return found

    yield case.name, result(calls, 1)
    if case.graph and device.type == "cuda":
        graphs = {name: graph for name, call in calls.items() if (graph := captured(name, call, device))}
        if ours in graphs:
            yield f"{case.name}, CUDA graph", result(graphs, timing.CAPTURED)


def works(name: str, call: Call) -> bool:
    """Whether a first call comes back; only what torch cannot compile here may not, which is said."""
    try:
        call()
    except TorchDynamoException as error:
        leave_out(name, error)
        return False
    return True


def captured(name: str, call: Call, device: torch.device) -> Call | None:
    """The call's graph; None where CUDA does not capture it, which is said."""
    try:
        return timing.graphed(call, device)
    except RuntimeError as error:
        leave_out(f"{name}, CUDA graph", error)
        return None


def leave_out(name: str, error: Exception) -> None:
    print(f"left out: {name}: {(str(error).strip() or type(error).__name__).splitlines()[0]}", file=sys.stderr)


def device_name(device: torch.device) -> str:
    """The GPU's or the processor's name, as its maker writes it, with the cores that we may use.

    Some makers write one name for processors with and without AVX512: those without it say what they have.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    level = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {cores} cores" if level == "AVX512" else f"{model} ({level}), {cores} cores"


def facts(device: torch.device) -> dict[str, object]:
    """What a number depends on besides the code."""
    found: dict[str, object] = {"commit": commit(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    found["ops on references"] = [name for name in OPS if backend(name, device.type) == "reference"]
    found |= {name: importlib.metadata.version(name) for name in ("numpy", "mujoco", "gymnasium")}
    found |= {"capability": torch.backends.cpu.get_cpu_capability(), "date": time.strftime("%Y-%m-%d")}
    return found | ({"cuda": torch.version.cuda, "driver": driver()} if device.type == "cuda" else {})


def commit() -> str:
    """What PYSLSAC_COMMIT says, else the checkout's commit, else the version that is installed."""
    root = Path(pyslsac.__file__).parent.parent
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    if named := os.environ.get("PYSLSAC_COMMIT"):
        return named
    if (root / ".git").exists() and shutil.which("git"):
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return pyslsac.__version__


def driver() -> str:
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(ask[0]) is None:
        return "unknown"
    return (subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines() or ["unknown"])[0]


def kept_in(out: Path, device: torch.device) -> tuple[Path, dict[str, Any]]:
    """A file, or the device's file of a folder, and what it holds; ValueError where that is not of this device."""
    name = device_name(device)
    path = out if out.suffix == ".json" else out / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    try:
        kept = json.loads(path.read_text("utf-8")) if path.exists() else {"device": name, "benches": {}}
    except json.JSONDecodeError as error:
        raise ValueError(f"bench: {path} is no JSON: {error}") from error
    if kept.get("device") != name or "benches" not in kept:
        raise ValueError(f"bench: {path} holds no results of this device, {name}: name another file")
    return path, kept


def write(
    out: Path, bench: str, results: dict[str, Result], device: torch.device, ceilings: roofline.Ceilings | None = None
) -> Path:
    """Put a bench's cases into its device's file, beside those of the other benches."""
    path, kept = kept_in(out, device)
    rates = {} if ceilings is None else {"ceilings": ceilings}
    kept["benches"][bench] = facts(device) | rates | {"cases": results}
    kept["benches"] = dict(sorted(kept["benches"].items()))
    rounded = json.loads(json.dumps(kept), parse_float=lambda text: float(f"{float(text):.4g}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(rounded, indent=1) + "\n", "utf-8")
    fresh.replace(path)
    return path


def table(name: str, result: Result) -> Table:
    """A case for a terminal: a row a rival."""
    shown = Table("", title=name, title_justify="left", title_style="bold")
    bound = result.get("roofline")
    for column in ("µs", "quartiles", "times as long", "quartiles", *(["roofline"] if bound else [])):
        shown.add_column(column, justify="right")
    for rival, us in result["us"].items():
        ratio = result["ratio"].get(rival)
        times = (f"{ratio['median']:.2f} x ours", f"{ratio['q1']:.2f} .. {ratio['q3']:.2f}") if ratio else ("", "")
        share = [f"{bound['fraction']:.1%} of {bound['bound']}"] if bound and not ratio else []
        shown.add_row(rival, f"{us['median']:,.1f}", f"{us['q1']:,.1f} .. {us['q3']:,.1f}", *times, *share)
    return shown
