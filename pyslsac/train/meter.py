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
    """Means of metrics [R] since the last `read`. Updates may report different sets of metrics."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, ...], Tensor] = {}  # the metrics of one set -> their sums [R, metrics], float64
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        names = tuple(metrics)
        values = torch.stack([value.detach() for value in metrics.values()], dim=-1).double()  # [R, metrics]
        self.sums[names] = self.sums[names] + values if names in self.sums else values
        self.counts[names] = self.counts.get(names, 0) + 1

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
        totals: dict[str, tuple[Tensor, int]] = {}
        for names, sums in self.sums.items():
            for name, column in zip(names, sums.cpu().unbind(-1), strict=True):
                total, count = totals.get(name, (torch.zeros_like(column), 0))
                totals[name] = (total + column, count + self.counts[names])
        self.sums, self.counts = {}, {}
        return {name: total / count for name, (total, count) in totals.items()}

    def select(self, keep: Sequence[int]) -> None:
        self.sums = {names: sums[list(keep)] for names, sums in self.sums.items()}

    def state_dict(self) -> list[dict[str, Any]]:
        return [{"names": list(n), "sums": sums, "count": self.counts[n]} for n, sums in self.sums.items()]

    def load_state_dict(self, state: list[dict[str, Any]], device: torch.device) -> None:
        self.sums = {tuple(entry["names"]): entry["sums"].to(device) for entry in state}
        self.counts = {tuple(entry["names"]): entry["count"] for entry in state}


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
