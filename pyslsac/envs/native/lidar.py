"""The pseudo lidar: around the robot, in 16 directions, how near the nearest thing of each kind is.

Source: safety-gymnasium 1.0.0, bases/base_task.py: _ego_xy and _obs_lidar_pseudo.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 16


def in_frame(xy: Floats, position: Floats, matrix: Floats) -> Floats:
    """Places in the robot's frame, [n, k, 2]: the first two of (x − px, y − py, 0 − pz) @ matrix.

    xy [n, k, 2]: places in the world, as if on the floor; position [n, 3], matrix [n, 9]: the robot's, MuJoCo's xpos
    and xmat (row by row).
    """
    axes = matrix.reshape(-1, 3, 3)[..., :2]  # [n, 3, 2]
    ego = (xy - position[:, None, :2]) @ axes[:, :2]
    ego -= (position[:, 2:] * axes[:, 2])[:, None]
    return ego


def closeness(ego: Floats, starts: npt.NDArray[np.intp], reach: float, bins: int = BINS) -> Floats:
    """The nearest of each kind, [n, kinds, bins]: 1 at the robot, falling evenly to 0 at `reach`; 0 without a thing.

    A thing at distance d and angle φ, s = φ bins / 2π, is seen as c = max(0, reach − d) / reach in bin ⌊s⌋, as
    (s − ⌊s⌋) c in the next bin and as (1 − (s − ⌊s⌋)) c in the one before. Each bin keeps its kind's greatest.

    ego [n, k, 2]: places in the robot's frame, the members of kind i in columns starts[i] to starts[i + 1] − 1, of the
    last to the end; every kind has members. Bins go around: bin 0 starts ahead and goes to the left. bins ≥ 3.
    """
    z = np.ascontiguousarray(ego.swapaxes(0, 1)).view(np.complex128)[..., 0]  # [k, n]
    seen = np.maximum(1 - np.abs(z) / reach, 0)
    s = np.arctan2(z.imag, z.real) * (bins / (2 * np.pi))  # within ± bins / 2
    slot = np.floor(s)
    beyond = (s - slot) * seen
    at = _around(bins)[:, slot.astype(np.intp)]  # [3, k, n]
    at += np.arange(0, z.size * bins, bins).reshape(z.shape)
    each = np.zeros((*z.shape, bins))
    each.reshape(-1)[at] = seen, beyond, seen - beyond
    nearest = np.empty((z.shape[1], len(starts), bins))
    edges = [*starts.tolist(), len(z)]
    for kind, (start, end) in enumerate(itertools.pairwise(edges)):  # reduceat takes twice as long
        np.maximum.reduce(each[start:end], axis=0, out=nearest[:, kind])
    return nearest


@functools.cache
def _around(bins: int) -> npt.NDArray[np.intp]:
    """Each bin itself, the next and the one before: [3, bins]. A bin counted backwards, from −bins on, is found too."""
    return (np.arange(bins) + np.array([[0], [1], [-1]])) % bins
