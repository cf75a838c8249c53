"""Push: bring the box to the green place, then to the next one.

reward = how much nearer the robot is to the box, and the box to the goal, than a step ago, + 1 where the box is within
the goal's radius, whereupon the goal moves. Distances are between centres, in space. Level 1 has hazards and a pillar
that costs nothing, level 2 more of both, and pillars cost. Source: safety-gymnasium 1.0.0.
"""

from __future__ import annotations

import numpy as np

from pyslsac.envs.native.fleet import Flags
from pyslsac.envs.native.goal import Goal
from pyslsac.envs.native.navigation import Level, Navigation
from pyslsac.envs.native.robots import Robot
from pyslsac.envs.native.simulation import Array
from pyslsac.envs.native.things import goal, hazards, pillars, push_box


def level(number: int, robot: Robot) -> Level:
    """What lies in level 0, 1 or 2. A car's box is smaller."""
    box = push_box(0.125, 0.0005) if robot.name == "Car" else push_box(0.2, 0.001)
    if number == 0:
        return Level((goal(), box), 1.0)
    if number == 1:
        return Level((goal(), hazards(2, size=0.3), pillars(1), box), 1.5)
    return Level((goal(), hazards(4, size=0.3), pillars(4), box), 2.0, frozenset({"pillar"}))


class Push(Goal):
    """Push the box to the goal, whose place is drawn as in Goal."""

    memory = ("distance", "gap")

    def __init__(self, n: int, level: Level) -> None:
        super().__init__(n, level)  # `distance` is from the box to the goal
        self.gap = np.zeros(n)  # from the robot to the box, a step ago

    def measure(self, fleet: Navigation, rows: list[int]) -> None:
        super().measure(fleet, rows)
        self.gap[rows] = self._gap(fleet)[rows]

    def reward(self, fleet: Navigation) -> tuple[Array, Flags]:
        before, self.gap = self.gap, self._gap(fleet)
        reward, met = super().reward(fleet)
        return (before - self.gap) * (before > 0) + reward, met

    def _distance(self, fleet: Navigation) -> Array:
        return _length(fleet.spot("push_box") - fleet.spot("goal"))

    def _gap(self, fleet: Navigation) -> Array:
        return _length(fleet.spot("push_box") - fleet.position)


def _length(vectors: Array) -> Array:
    return np.sqrt(np.square(vectors).sum(axis=1))
