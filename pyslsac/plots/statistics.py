"""Statistics over seeds and tasks. An `Estimate` is a number with its standard error and bootstrap interval.

Intervals are 95 %, from scipy's bootstrap with a fixed seed, so that they are the same whenever they are made. What is
drawn anew is seeds, never episodes: episodes of one policy say nothing about another seed's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL, RESAMPLES, SEED = 0.95, 9999, 0


@dataclass(frozen=True)
class Estimate:
    """A number from `count` runs. What one run cannot tell is None: stderr, low and high; `method` is then empty."""

    count: int
    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""  # of the interval: BCa, or percentile


def check_risk_level(risk_level: float) -> None:
    """Raise ValueError unless 0 < risk_level <= 1."""
    if not 0 < risk_level <= 1:
        raise ValueError(f"risk level: got {risk_level}, wanted a number in (0, 1]; 1 is the mean, 0.1 the worst tenth")


def cvar(costs: ArrayLike, risk_level: float) -> float:
    """Mean of the ⌈risk_level · n⌉ largest of n costs, as everywhere in this package; risk_level 1 is the mean."""
    check_risk_level(risk_level)
    ordered = np.sort(np.asarray(costs, dtype=float))
    worst = max(1, math.ceil(round(risk_level * len(ordered), 9)))  # 0.1 · 30 is 3.0000000000000004
    return float(ordered[-worst:].mean())


def mean_of(values: ArrayLike) -> Estimate:
    """The mean over runs, s / √n, and its BCa interval (Efron 1987); percentile where BCa is not defined.

    BCa is not defined where all values are the same: then the interval is that one value.
    """
    sample = np.asarray(values, dtype=float)
    if not len(sample):
        raise ValueError("mean_of: got no values, wanted at least one run's")
    mean = float(sample.mean())
    if len(sample) == 1:
        return Estimate(1, mean)
    stderr = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    for method in ("BCa", "percentile"):
        low, high = _bootstrap([sample], _mean_of_means, method)
        if math.isfinite(low) and math.isfinite(high):
            break
    return Estimate(len(sample), mean, stderr, low, high, method)


def interquartile_mean(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half of all samples together: ⌊n / 4⌋ values are cut off at each end."""
    from scipy.stats import trim_mean

    cut: np.ndarray = trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)
    return cut


def iqm_over(tasks: Sequence[ArrayLike]) -> Estimate:
    """Interquartile mean over the runs of all tasks, scores [n] for each (Agarwal et al. 2021, section 4.3).

    The interval is a percentile one, stratified: each task's runs are drawn anew among themselves.
    """
    return _stratified([np.asarray(scores, dtype=float) for scores in tasks], interquartile_mean)


def mean_over(tasks: Sequence[ArrayLike]) -> Estimate:
    """Mean over tasks of the means over their runs, each task counting the same; its interval as above."""
    return _stratified([np.asarray(scores, dtype=float) for scores in tasks], _mean_of_means)


def _mean_of_means(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    means: np.ndarray = np.mean([sample.mean(axis=axis) for sample in samples], axis=0)
    return means


def improvement(ours: Sequence[ArrayLike], theirs: Sequence[ArrayLike]) -> Estimate:
    """Probability that a run of ours scores higher than one of theirs, mean over tasks (Agarwal et al. 2021).

    On one task it is U / (n · m), with U of Mann and Whitney: the share of the n · m pairs of runs in which ours is
    higher, ties as one half. `ours` and `theirs` hold scores [n] and [m] of the same tasks in the same order.
    """
    return _stratified([np.asarray(scores, dtype=float) for scores in (*ours, *theirs)], _wins)


def _wins(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """The first half of the samples against the second, along the last axis."""
    tasks = len(samples) // 2
    pairs = [np.sign(x[..., :, None] - y[..., None, :]) for x, y in zip(samples[:tasks], samples[tasks:], strict=True)]
    shares: np.ndarray = np.mean([0.5 + 0.5 * pair.mean(axis=(-2, -1)) for pair in pairs], axis=0)
    return shares


def limit_first(returns: ArrayLike, costs: ArrayLike, limits: ArrayLike) -> np.ndarray:
    """Scores [n] of runs by which one within its limit beats one over it (Deb 2000, the comparison of section 3).

    Within the limit the higher return wins, over it the smaller excess of cost / limit. Scores are ranks: 0 is worst.
    """
    gained, spent, allowed = (np.asarray(values, dtype=float) for values in (returns, costs, limits))
    excess = np.maximum(spent - allowed, 0.0) / np.where(allowed > 0, allowed, 1.0)
    order = np.stack([-excess, np.where(excess > 0, 0.0, gained)], axis=1)
    return np.unique(order, axis=0, return_inverse=True)[1].reshape(-1)


def _stratified(samples: Sequence[np.ndarray], statistic: Callable[..., np.ndarray]) -> Estimate:
    value, count = float(statistic(*samples, axis=-1)), sum(map(len, samples))
    if min(map(len, samples)) < 2:
        return Estimate(count, value)
    low, high = _bootstrap(samples, statistic, "percentile")
    return Estimate(count, value, None, low, high, "percentile")


def _bootstrap(samples: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], method: str) -> tuple[float, float]:
    """The interval of a statistic of samples, each drawn anew by itself; NaN where the method is not defined."""
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an interval is not defined is told by NaN
        options = dict(n_resamples=RESAMPLES, confidence_level=LEVEL, random_state=np.random.default_rng(SEED))
        found = bootstrap(samples, statistic, vectorized=True, method=method, **options).confidence_interval
    return float(found.low), float(found.high)
