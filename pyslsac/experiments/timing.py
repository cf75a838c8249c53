"""Fair timing: rivals take turns, medians with quartiles over the rounds.

Each round times every rival once, in turning order, so that a slow spell of the machine hits all of them, and gives one
ratio rival / ours.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Call = Callable[[], object]
Result = dict[str, Any]
ROUNDS, FEWEST, QUICK = 41, 11, 5
LEAST = {"cpu": 2e-2, "cuda": 5e-3}  # seconds that a rival's turn lasts at least
LONGEST = 20.0  # seconds after which a case takes fewer rounds
CAPTURED = 20  # calls in a graph, so that launching it costs little beside them


def sample(call: Call, repeats: int, device: torch.device) -> float:
    """Seconds per call over `repeats` calls, the device's queue empty before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def quartiles(values: Sequence[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3}


def summary(seconds: Mapping[str, Sequence[float]]) -> Result:
    """{"us": {rival: quartiles}, "ratio": {rival: quartiles of rival / ours}} of times by round; ours come first."""
    ours, *others = seconds
    ratios = {name: [t / o for t, o in zip(seconds[name], seconds[ours], strict=True)] for name in others}
    return {
        "us": {name: quartiles([1e6 * t for t in times]) for name, times in seconds.items()},
        "ratio": {name: quartiles(values) for name, values in ratios.items()},
    }


def compare(rivals: Mapping[str, Call], device: torch.device, *, quick: bool = False, calls: int = 1) -> Result:
    """The `summary` of interleaved rounds. Each rival is as many `calls` of what is timed."""
    least = 1e-3 if quick else LEAST[device.type]
    repeats, round_seconds = {}, 0.0
    for name, call in rivals.items():
        sample(call, 3, device)
        once = sample(call, 3, device)
        repeats[name] = max(1, round(least / once))
        round_seconds += once * repeats[name]
    rounds = QUICK if quick else max(FEWEST, min(ROUNDS, int(LONGEST / round_seconds)))
    names: list[str] = list(rivals)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(sample(rivals[name], repeats[name], device) / calls)
    return summary(seconds)


def graphed(call: Call, device: torch.device) -> Call:
    """`CAPTURED` calls as one CUDA graph: what the device takes, without Python and the launches."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CAPTURED):
            call()
    return graph.replay
