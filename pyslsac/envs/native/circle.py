"""Circle: drive along a circle of radius 1.5 m about the origin, as fast as possible.

reward = 0.1 (x v_y - y v_x) / r / (1 + |r - 1.5|) at the place (x, y), r from the origin, with the velocity (v_x, v_y).
Beyond |x| = 1.125 a step costs from level 1 on, in level 2 also beyond |y| = 1.125. Source: safety-gymnasium 1.0.0.
"""

from __future__ import annotations

import numpy as np

from pyslsac.envs.native.fleet import Flags
from pyslsac.envs.native.navigation import Game, Level, Navigation
from pyslsac.envs.native.robots import Robot
from pyslsac.envs.native.simulation import Array
from pyslsac.envs.native.things import circle, walls

WALLS = (0, 2, 4)  # by level


def level(number: int, robot: Robot) -> Level:
    """What lies in level 0, 1 or 2."""
    things = (circle(), *([walls(WALLS[number], 1.125)] if number else []))
    start = (-0.8, -0.8, 0.8, 0.8)
    return Level(things, 2.0, robot_box=start, robot_keepout=0.0, horizon=500, reach=6.0)


class Circle(Game):
    """Go round."""

    def __init__(self, n: int, level: Level) -> None:
        self.radius = level.things[0].size[0]
        self.never = np.zeros(n, np.bool_)

    def reward(self, fleet: Navigation) -> tuple[Array, Flags]:
        place, radius = fleet.place, np.abs(fleet.place)
        along = (np.conj(place) * fleet.velocity()).imag / radius
        return 0.1 * along / (1 + np.abs(radius - self.radius)), self.never
