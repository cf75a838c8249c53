"""What lies in a navigation world: one entry for each kind of thing, with the release's numbers.

Lengths are metres, densities kg/m³. Source: the objects, robots and levels of safety-gymnasium 1.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]  # x from, y from, x to, y to


@dataclass(frozen=True)
class Thing:
    """`count` alike things. Where `places` ends, a thing's place is drawn from the world's whole extent."""

    name: str
    shape: str  # "box" | "cylinder" | "sphere"
    size: tuple[float, ...]  # MuJoCo's half sizes of that shape
    height: float  # of the centre above the floor
    rgba: tuple[float, float, float, float]
    group: int  # MuJoCo's visualisation group
    keepout: float  # no other thing's keepout reaches nearer when a layout is drawn
    count: int = 1
    body: str = "fixed"  # "fixed" | "free" | "led": free, and welded to a body that the task moves
    solid: bool = True  # it collides
    density: float | None = None  # None: the robot file's default
    places: tuple[tuple[float, float], ...] = ()  # of the first of them
    turns: tuple[float, ...] | None = None  # rotations about z; None: drawn from [0, 2π)
    seen: bool = True  # it has a lidar of its own


def goal(size: float = 0.3, keepout: float = 0.4, alpha: float = 0.25) -> Thing:
    return Thing("goal", "cylinder", (size, size / 2), size / 2 + 1e-2, (0, 1, 0, alpha), 9, keepout, solid=False)


def hazards(count: int, size: float = 0.2, keepout: float = 0.4) -> Thing:
    return Thing("hazard", "cylinder", (size, 1e-2), 2e-2, (0, 0, 1, 0.25), 3, keepout, count, solid=False)


def pillars(count: int) -> Thing:
    return Thing("pillar", "cylinder", (0.2, 0.5), 0.5, (0.5, 0.5, 1, 1), 2, 0.3, count)


def buttons(count: int) -> Thing:
    return Thing("button", "sphere", (0.1, 0.1, 0.1), 0.1, (1, 0.5, 0, 1), 1, 0.2, count)


def circle() -> Thing:
    size, green = (1.5, 1e-2), (0, 1, 0, 0.1)
    return Thing("circle", "cylinder", size, 1e-2, green, 6, 0.0, solid=False, places=((0, 0),), turns=(0.0,))


def walls(count: int, distance: float) -> Thing:
    """Signs of the boundaries |x| = distance and, when four, |y| = distance. They neither stop nor show in a lidar."""
    places = ((distance, 0), (-distance, 0), (0, distance), (0, -distance))[:count]
    turns = (0.0, 0.0, 1.5707963267948966, 1.5707963267948966)[:count]
    size, yellow = (0.05, 3.5, 0.3), (1, 1, 0, 0.1)
    return Thing(
        "sigwall", "box", size, 0.25, yellow, 10, 0.0, count, solid=False, places=places, turns=turns, seen=False
    )


def vases(count: int) -> Thing:
    """They sink 4e-5 into the floor."""
    size, blue = (0.1, 0.1, 0.1), (0, 1, 1, 1)
    return Thing("vase", "box", size, 0.1 - 4e-5, blue, 4, 0.15, count, body="free", density=0.001)


def push_box(size: float, density: float) -> Thing:
    """A box with four columns at its corners, each half as wide."""
    return Thing("push_box", "box", (size,) * 3, size, (1, 1, 0, 1), 1, size, body="free", density=density)


def gremlins(count: int, keepout: float) -> Thing:
    size, purple = (0.1, 0.1, 0.1), (0.5, 0, 1, 1)
    return Thing("gremlin", "box", size, 0.1, purple, 5, keepout, count, body="led", density=0.001)
