"""The walkers of the velocity tasks: one entry each, with the numbers of gymnasium's v4 environments.

Limits are those of safety-gymnasium 1.0.0's v1 tasks. Lengths are metres, times seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Walker:
    """One task's numbers."""

    file: str
    limit: float  # m/s
    hidden: int  # leading coordinates of qpos that the observation leaves out
    control_weight: float
    noise: float  # half width of the start's uniform noise
    normal: bool = False  # velocities start with normal noise of that deviation instead
    frame_skip: int = 4
    forward_weight: float = 1.0
    alive: float = 0.0  # reward of every step
    planar: bool = False  # the limit is on sqrt(v_x² + v_y²), not on v_x
    place: str = "qpos"  # whose motion is the velocity: "qpos" | "torso" | "mass"
    exact: bool = False  # the control cost is of float64 numbers whatever the actions' type
    clipped: float = np.inf  # bound of the velocities in the observation
    healthy: Callable[[Array, Array], Flags] | None = None  # (qpos [n, nq], qvel [n, nv]) -> [n]; None: always


def _hopper_stands(qpos: Array, qvel: Array) -> Flags:
    rest = np.concatenate([qpos[:, 2:], qvel], axis=1)
    inside = (np.abs(rest) < 100).all(axis=1)
    return inside & (qpos[:, 1] > 0.7) & (qpos[:, 1] < np.inf) & (np.abs(qpos[:, 2]) < 0.2)


def _walker_stands(qpos: Array, qvel: Array) -> Flags:
    return (qpos[:, 1] > 0.8) & (qpos[:, 1] < 2.0) & (np.abs(qpos[:, 2]) < 1.0)


def _ant_stands(qpos: Array, qvel: Array) -> Flags:
    finite = np.isfinite(qpos).all(axis=1) & np.isfinite(qvel).all(axis=1)
    return finite & (qpos[:, 2] >= 0.2) & (qpos[:, 2] <= 1.0)


def _humanoid_stands(qpos: Array, qvel: Array) -> Flags:
    return (qpos[:, 2] > 1.0) & (qpos[:, 2] < 2.0)


WALKERS = {
    "HalfCheetah": Walker("half_cheetah.xml", 3.2096, 1, 0.1, 0.1, normal=True, frame_skip=5),
    "Hopper": Walker("hopper.xml", 0.7402, 1, 1e-3, 5e-3, alive=1.0, clipped=10.0, healthy=_hopper_stands),
    "Walker2d": Walker("walker2d.xml", 2.3415, 1, 1e-3, 5e-3, alive=1.0, clipped=10.0, healthy=_walker_stands),
    "Swimmer": Walker("swimmer.xml", 0.2282, 2, 1e-4, 0.1),
    "Ant": Walker(
        "ant.xml", 2.6222, 2, 0.5, 0.1, normal=True, frame_skip=5, alive=1.0, planar=True, place="torso",
        healthy=_ant_stands,
    ),
    "Humanoid": Walker(
        "humanoid.xml", 1.4149, 2, 0.1, 1e-2, frame_skip=5, forward_weight=1.25, alive=5.0, planar=True, place="mass",
        exact=True, healthy=_humanoid_stands,
    ),
}  # fmt: skip
