"""The pseudo lidar: around the robot, in 16 directions, how near the nearest thing of each kind is.

Source: safety-gymnasium 1.0.0, bases/base_task.py: _ego_xy and _obs_lidar_pseudo.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt

from pyslsac.envs.native.robots import plane

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]
BINS = 16


def in_frame(away: Complexes, height: Floats, matrix: Floats) -> Complexes:
    """Places in the robot's frame, [k, n]: the first two, as x + iy, of (away_x, away_y, −height) @ matrix.

    away [k, n] complex: how far places on the floor are from the robot, in the world's plane; height [n] and matrix
    [n, 9]: the robot's, MuJoCo's xpos_z and xmat (row by row).
    """
    x, y, z = plane(matrix.reshape(-1, 3, 3)).T  # [n] each
    return away.real * x + (away.imag * y - height * z)


def closeness(ego: Complexes, starts: npt.NDArray[np.intp], reach: float, bins: int = BINS) -> Floats:
    """The nearest of each kind, [n, kinds, bins]: 1 at the robot, falling evenly to 0 at `reach`; 0 without a thing.

    A thing at distance d and angle φ, s = φ bins / 2π, is seen as c = max(0, reach − d) / reach in bin ⌊s⌋, as
    (s − ⌊s⌋) c in the next bin and as (1 − (s − ⌊s⌋)) c in the one before. Each bin keeps its kind's greatest.

    ego [k, n] complex: places in the robot's frame, the members of kind i in rows starts[i] to starts[i + 1] − 1, of
    the last to the end; every kind has members. Bins go around: bin 0 starts ahead and goes to the left. bins ≥ 3.
    """
    seen = np.maximum(1 - np.abs(ego) / reach, 0)
    s = np.arctan2(ego.imag, ego.real) * (bins / (2 * np.pi))  # within ± bins / 2
    slot = np.floor(s)
    beyond = (s - slot) * seen
    around, offsets = _around(bins, ego.shape)
    each = np.zeros((*ego.shape, bins))
    each.reshape(-1)[around[:, slot.astype(np.intp)] + offsets] = seen, beyond, seen - beyond
    if len(starts) == len(ego):  # one of each kind
        return each.swapaxes(0, 1)
    nearest = np.empty((ego.shape[1], len(starts), bins))
    edges = [*starts.tolist(), len(ego)]
    for kind, (start, end) in enumerate(itertools.pairwise(edges)):  # reduceat takes twice as long
        nearest[:, kind] = each[start] if end - start == 1 else np.maximum.reduce(each[start:end], axis=0)
    return nearest


@functools.lru_cache
def _around(bins: int, shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Each bin itself, the next and the one before, [3, bins], and where each place's bins start, [k, n].

    A bin counted backwards, from −bins on, is found too.
    """
    offsets = np.arange(0, shape[0] * shape[1] * bins, bins).reshape(shape)
    return (np.arange(bins) + np.array([[0], [1], [-1]])) % bins, offsets
