"""Sums of what updates report, kept on the device until the log asks; and where the time went."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Means of metrics [R] since the last `read`. Updates may report different sets of metrics.

    Sums keep their place from one `read` to the next, so a recorded update may add to them (train/graph.py).
    """

    def __init__(self) -> None:
        # Each set of metrics' sums [R, metrics + 1], float64; the last column counts the updates.
        self.sums: dict[tuple[str, ...], Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        names, values = tuple(metrics), [value.detach() for value in metrics.values()]
        columns = torch.stack([*values, torch.ones_like(values[0])], dim=-1).double()
        if names in self.sums:
            self.sums[names].add_(columns)
        else:
            self.sums[names] = columns

    def bad_runs(self) -> dict[int, list[str]]:
        """The runs that reported a NaN or an infinity since the last `read`, and in which metrics."""
        bad: dict[int, list[str]] = {}
        for names, sums in self.sums.items():
            if not math.isfinite(sums.sum().item()):  # one number to look at, where all is well
                for run, metric in torch.isfinite(sums).logical_not().nonzero().tolist():
                    bad.setdefault(run, []).append(names[metric])
        return bad

    def read(self) -> dict[str, Tensor]:
        """The mean of every metric, float64 [R] on the host, over the updates that reported it; starts afresh."""
        totals: dict[str, Tensor] = {}
        for entry in self.state_dict():
            for name, column in zip(entry["names"], entry["sums"].cpu().unbind(-1), strict=True):
                both = torch.stack([column, torch.full_like(column, entry["count"])])  # the sum, and of how many
                totals[name] = totals.get(name, 0) + both
        for sums in self.sums.values():
            sums.zero_()
        return {name: total / count for name, (total, count) in totals.items()}

    def select(self, keep: Sequence[int]) -> None:
        self.sums = {names: sums[list(keep)] for names, sums in self.sums.items()}

    def state_dict(self) -> list[dict[str, Any]]:
        counts = {names: int(sums[0, -1]) for names, sums in self.sums.items()}
        sums = {names: sums[:, :-1].clone() for names, sums in self.sums.items()}
        return [{"names": list(n), "sums": sums[n], "count": count} for n, count in counts.items() if count]

    def load_state_dict(self, state: list[dict[str, Any]], device: torch.device) -> None:
        counted = [(entry, torch.full_like(entry["sums"][:, :1], entry["count"])) for entry in state]
        self.sums = {tuple(e["names"]): torch.cat([e["sums"], count], 1).to(device) for e, count in counted}


class Clock:
    """Seconds by activity since the last `read`, and since the clock was made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.totals: dict[str, float] = {}
        self.started = self.made = time.perf_counter()

    @contextmanager
    def time(self, column: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            for sums in (self.seconds, self.totals):
                sums[column] = sums.get(column, 0.0) + passed

    def read(self) -> tuple[dict[str, float], float]:
        """The seconds of each activity, and all seconds since the last `read`."""
        now = time.perf_counter()
        seconds, total = self.seconds, now - self.started
        self.seconds, self.started = {}, now
        return seconds, total

    def split(self) -> str:
        """Where the time since the clock was made went: "Time 90.0 s: update 80 %, act 15 %, other 5 %"."""
        whole = time.perf_counter() - self.made
        parts = {column.removeprefix("Time/").lower(): seconds for column, seconds in self.totals.items()}
        parts["other"] = whole - sum(parts.values())
        shares = sorted(((seconds / whole, name) for name, seconds in parts.items()), reverse=True)
        return f"Time {whole:,.1f} s: {', '.join(f'{name} {share:.0%}'.replace('%', ' %') for share, name in shares)}"
