"""Button: press the button that is the goal, then the next one.

reward = how much nearer that button is than a step ago, + 1 for touching it, whereupon one of the four is drawn anew;
for the next ten steps no button is seen and wrong ones cost nothing. From level 1 on a touch of a wrong button costs,
and so do hazards and gremlins, which are led around in circles. Source: safety-gymnasium 1.0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyslsac.envs.native.fleet import Flags
from pyslsac.envs.native.goal import Goal
from pyslsac.envs.native.navigation import Level, Navigation
from pyslsac.envs.native.robots import Robot
from pyslsac.envs.native.simulation import Array
from pyslsac.envs.native.things import buttons, goal, gremlins, hazards

BLIND_STEPS = 10
WRONG = "wrong button"


def level(number: int, robot: Robot) -> Level:
    """What lies in level 0, 1 or 2."""
    fixed = (buttons(4), goal(size=0.2, alpha=0.1))
    if number == 0:
        return Level(fixed, 1.0)
    extent, dangers, led = (1.5, 4, 4) if number == 1 else (1.8, 8, 6)
    things = (*fixed, hazards(dangers, keepout=0.18), gremlins(led, keepout=0.4))
    return Level(things, extent, frozenset({"gremlin", WRONG}), led_radius=0.35)


class Button(Goal):
    """Press the right button; the goal's green place lies around it."""

    memory = ("distance", "button", "blind")
    feels = ("button",)

    def __init__(self, n: int, level: Level) -> None:
        super().__init__(n, level)
        self.button = np.zeros(n, np.int64)  # which is the goal
        self.blind = np.zeros(n, np.int64)  # steps until buttons are seen
        self.strict = WRONG in level.costly

    def renew(self, fleet: Navigation, rows: list[int]) -> Flags:
        slots = fleet.world.slots
        count = slots["button"].stop - slots["button"].start
        self.button[rows] = [random.integers(count) for random in fleet.streams.next(rows)]
        fleet.layout[rows, slots["goal"].start] = fleet.layout[rows, slots["button"].start + self.button[rows]]
        self.blind[rows] = BLIND_STEPS
        return np.ones(len(rows), np.bool_)

    def start(self, fleet: Navigation, rows: list[int]) -> None:
        self.blind[rows] = 0

    def cost(self, fleet: Navigation) -> Flags | bool:
        if not self.strict:
            return False
        pressed = fleet.touched[:, fleet.world.geoms["button"]].copy()
        pressed[np.arange(fleet.n), self.button] = False
        return pressed.any(axis=1) & (self.blind == 0)

    def tick(self) -> None:
        self.blind = np.maximum(self.blind - 1, 0)

    def hide(self, fleet: Navigation, lidars: Array, part: Any) -> None:
        lidars[self.blind[part] > 0, fleet.lidars["button"]] = 0.0

    def _met(self, fleet: Navigation) -> Flags:
        return fleet.touched[np.arange(fleet.n), fleet.world.geoms["button"][self.button]]
