"""Fair timing for every bench: rivals take turns, medians with quartiles, one JSON file per device.

A bench is a function `cases(device, quick)` that yields (case name, {rival: callable}); the first rival is ours. Each
round times every rival once, in turning order, so that a slow spell of the machine hits all of them, and gives one
ratio rival / ours; medians and quartiles are taken over the rounds.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from pyslsac.ops import backend
from pyslsac.ops._library import OPS

RESULTS = Path(__file__).parent / "results"
Cases = Callable[[torch.device, bool], Iterable[tuple[str, dict[str, Callable[[], object]]]]]


def device_name(device: torch.device) -> str:
    """The GPU's or the processor's name, as its maker writes it, with the cores that we may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def facts(device: torch.device) -> dict[str, object]:
    """What a number depends on besides the code."""
    git = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    found: dict[str, object] = {"commit": commit, "torch": torch.__version__, "threads": torch.get_num_threads()}
    found["ops on references"] = [name for name in OPS if backend(name, device.type) == "reference"]
    found |= {name: importlib.metadata.version(name) for name in ("numpy", "mujoco", "gymnasium")}
    found |= {"capability": torch.backends.cpu.get_cpu_capability(), "date": time.strftime("%Y-%m-%d")}
    return found | ({"cuda": torch.version.cuda} if device.type == "cuda" else {})


def sample(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds per call over `repeats` calls, the device's queue empty before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def quartiles(values: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3}


def compare(rivals: dict[str, Callable[[], object]], device: torch.device, quick: bool) -> dict[str, dict]:
    """{"us": {rival: quartiles}, "ratio": {rival: quartiles of rival / ours}} over interleaved rounds."""
    rounds, least = (5, 1e-3) if quick else (41, 2e-2)
    repeats = {}
    for name, call in rivals.items():
        sample(call, 3, device)
        repeats[name] = max(1, round(least / sample(call, 3, device)))
    names, times = list(rivals), {name: [] for name in rivals}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(sample(rivals[name], repeats[name], device))
    ours = times[names[0]]
    ratio = {name: quartiles([t / o for t, o in zip(times[name], ours, strict=True)]) for name in names[1:]}
    return {"us": {name: quartiles([1e6 * t for t in times[name]]) for name in names}, "ratio": ratio}


def write(bench: str, results: dict[str, dict], device: torch.device) -> Path:
    """Put a bench's cases into the device's file, beside those of the other benches."""
    name = device_name(device)
    path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    path.parent.mkdir(exist_ok=True)
    kept = json.loads(path.read_text()) if path.exists() else {"device": name, "benches": {}}
    kept["benches"][bench] = facts(device) | {"cases": results}
    kept["benches"] = dict(sorted(kept["benches"].items()))
    rounded = json.loads(json.dumps(kept), parse_float=lambda text: float(f"{float(text):.4g}"))
    path.write_text(json.dumps(rounded, indent=1) + "\n")
    return path


def lines(results: dict[str, dict]) -> Iterator[str]:
    """The table that a run prints."""
    for case, result in results.items():
        yield f"\n{case}"
        for name, us in result["us"].items():
            ratio = result["ratio"].get(name)
            times = f"  {ratio['median']:.2f}x ours ({ratio['q1']:.2f} .. {ratio['q3']:.2f})" if ratio else ""
            yield f"  {name:<42}{us['median']:>12.1f} us ({us['q1']:.1f} .. {us['q3']:.1f}){times}"


def main(bench: str, cases: Cases) -> None:
    """The command line of a bench."""
    parser = argparse.ArgumentParser(description=f"Time {bench} against its rivals.")
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="small and few: does it run? Nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {}
    for case, rivals in cases(options.device, options.quick):
        results[case] = compare(rivals, options.device, options.quick)
        print(*lines({case: results[case]}), sep="\n", flush=True)
    if not options.quick:
        print("\nwritten:", write(bench, results, options.device))
