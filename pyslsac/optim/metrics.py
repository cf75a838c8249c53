"""Metrics of many small steps as those of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pyslsac.optim.minimise import Metrics


def mean_metrics(rows: Sequence[Metrics]) -> Metrics:
    """The mean [R] over `rows` of every metric; each row has the same ones."""
    return {name: torch.stack([row[name] for row in rows]).mean(0) for name in rows[0]}
