"""The two robots of the navigation worlds: what they are made of, what they sense, how fast they move.

Lengths are metres, masses kg, times seconds, angles radians. Source: the robots of safety-gymnasium 1.0.0, whose
numbers stand here as data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

Value = str | bool | float | tuple[float, ...] | np.ndarray


def node(tag: str, *children: ElementTree.Element, **attributes: Value) -> ElementTree.Element:
    """An MJCF element. Numbers are written with all the digits that tell one float64 from the next."""
    element = ElementTree.Element(tag, {name: text(value) for name, value in attributes.items()})
    element.extend(children)
    return element


def text(value: Value) -> str:
    """`value` in MJCF's spelling: true, 0.1, or "0.1 0 2"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(str(number) for number in np.atleast_1d(value).tolist())


@dataclass(frozen=True)
class Robot:
    """A robot and how a batch of its readings becomes observations.

    `mjcf()` gives a new <mujoco> element whose worldbody holds the robot alone, a body called "agent" that a layout
    moves. Its sensors come in the release's order, so that sensordata has the release's columns.
    """

    name: str
    timestep: float  # of one step of physics
    mjcf: Callable[[], ElementTree.Element]
    free: bool  # it moves freely in space; otherwise it slides along two axes fixed to its first rotation
    inertial: int  # column of the first of the four inertial sensors in sensordata
    ball: int | None = None  # column of the rear wheel's rotation, followed by its angular velocity
    actions: int = 2
    height: float = 0.1  # of the body's origin above the floor when an episode starts

    @property
    def size(self) -> int:
        """How many numbers `observe` gives."""
        return 12 if self.ball is None else 24

    def observe(self, sensordata: np.ndarray) -> np.ndarray:
        """[n, 12] accelerometer, velocimeter, gyro, magnetometer; a rear wheel makes it [n, 24].

        The wheel adds its angular velocity (3) and its rotation's matrix, row by row (9). sensordata is [n, nsensor].
        """
        inertial = sensordata[:, self.inertial : self.inertial + 12]
        if self.ball is None:
            return inertial
        quat, spin = np.split(sensordata[:, self.ball : self.ball + 7], [4], axis=1)
        return np.concatenate([inertial, spin, matrix(quat)], axis=1)

    def heading(self, rot: np.ndarray) -> np.ndarray:
        """[n] complex: the direction in the plane, from the layout's rotation rot [n], of the first axis of qvel."""
        return np.ones(len(rot), np.complex128) if self.free else np.exp(1j * rot)

    def velocity(self, qvel: np.ndarray, heading: np.ndarray) -> np.ndarray:
        """[n] complex: the velocity (m/s) of the robot's origin in the plane, v_x + i v_y; qvel is [n, nv]."""
        return plane(qvel) * heading


def plane(vectors: np.ndarray) -> np.ndarray:
    """[...] complex: x + iy of vectors [..., 2 or more], in which products and lengths are one operation each."""
    return np.ascontiguousarray(vectors[..., :2]).view(np.complex128)[..., 0]


def matrix(quat: np.ndarray) -> np.ndarray:
    """[n, 9] the rotation matrices of quaternions [n, 4], row by row, in the order of additions of mju_quat2Mat."""
    w, x, y, z = quat.T
    ww, xx, yy, zz = w * w, x * x, y * y, z * z
    wx, wy, wz, xy, xz, yz = w * x, w * y, w * z, x * y, x * z, y * z
    rows = [
        *(ww + xx - yy - zz, 2 * (xy - wz), 2 * (xz + wy)),
        *(2 * (xy + wz), ww - xx + yy - zz, 2 * (yz - wx)),
        *(2 * (xz - wy), 2 * (yz + wx), ww - xx - yy + zz),
    ]
    return np.stack(rows, axis=1)


RED, BLUE = (0.7412, 0.0431, 0.1843, 1.0), (0.0039, 0.1529, 0.3961, 1.0)


def _sensors(*first: ElementTree.Element) -> ElementTree.Element:
    """`first`, the four inertial sensors, and three of the release's that no observation reads."""
    inertial = ("accelerometer", "velocimeter", "gyro", "magnetometer")
    whole = ("subtreecom", "subtreelinvel", "subtreeangmom")
    return node(
        "sensor",
        *first,
        *(node(kind, site="agent") for kind in inertial),
        *(node(kind, body="agent") for kind in whole),
    )


def _limits(kind: str, force: float) -> ElementTree.Element:
    return node(kind, ctrlrange=(-1, 1), ctrllimited=True, forcerange=(-force, force), forcelimited=True)


def _point() -> ElementTree.Element:
    """A ball that slides over the floor and turns about its vertical axis; a small box shows where it looks."""
    body = node(
        "body",
        node("camera", name="vision", pos=(0, 0, 0.15), xyaxes=(0, -1, 0, 0.4, 0, 1), fovy=90),
        node("joint", name="x", type="slide", axis=(1, 0, 0), damping=0.01),
        node("joint", name="y", type="slide", axis=(0, 1, 0), damping=0.01),
        node("joint", name="z", type="hinge", axis=(0, 0, 1), damping=0.005),
        node("geom", type="sphere", size=0.1, friction=(1, 0.01, 0.01)),
        node("geom", type="box", pos=(0.1, 0, 0), size=(0.05, 0.05, 0.05), rgba=BLUE),
        node("site", name="agent", rgba=(1, 0, 0, 0.1)),
        name="agent",
    )
    return node(
        "mujoco",
        node("option", timestep=POINT.timestep),
        node(
            "default",
            node("geom", condim=6, density=1, rgba=RED),
            node("joint", damping=0.001),
            _limits("motor", 0.05),
            _limits("velocity", 0.05),
            node("site", type="sphere", size=0.032),
        ),
        node("worldbody", body),
        _sensors(),
        node(
            "actuator",
            node("motor", site="agent", gear=(0.3, 0, 0, 0, 0, 0)),
            node("velocity", jointinparent="z", gear=0.3),
        ),
    )


def _car() -> ElementTree.Element:
    """A box with bumpers on two driven wheels and a rear wheel that rolls any way."""

    def block(pos: tuple[float, ...], size: tuple[float, ...]) -> ElementTree.Element:
        return node("geom", type="box", pos=pos, size=size, rgba=BLUE)

    def wheel(name: str, x: float, along: tuple[float, float]) -> ElementTree.Element:
        return node(
            "body",
            node("joint", name=name, type="hinge", axis=(1, 0, 0)),
            node("geom", type="cylinder", fromto=(along[0], 0, 0, along[1], 0, 0)),
            name=name,
            pos=(x, 0.1, -0.05),
        )

    body = node(
        "body",
        node("site", name="agent", pos=(0, 0, 0)),
        node("camera", name="vision", pos=(0, 0.1, 0.2), xyaxes=(-1, 0, 0, 0, -0.4, 1)),
        node("joint", name="agent", type="free", damping=0),
        node("geom", type="box", size=(0.1, 0.1, 0.05)),
        block((0, 0.15, 0), (0.1, 0.01, 0.05)),
        block((0, 0.125, 0), (0.01, 0.025, 0.03)),
        block((0, -0.165, 0), (0.05, 0.01, 0.05)),
        block((0, -0.13, 0.04), (0.05, 0.03, 0.01)),
        wheel("left", -0.1, (-0.055, -0.005)),
        wheel("right", 0.1, (0.005, 0.055)),
        node("body", node("joint", name="rear", type="ball"), node("geom"), name="rear", pos=(0, -0.1, -0.05)),
        name="agent",
    )
    return node(
        "mujoco",
        node("option", timestep=CAR.timestep),
        node(
            "default",
            node("geom", condim=6, density=5, rgba=RED, type="sphere", size=0.05),
            node("joint", damping=0.001),
            _limits("motor", 0.02),
            node("site", type="sphere", size=0.032),
        ),
        node("worldbody", body),
        _sensors(node("ballquat", joint="rear"), node("ballangvel", joint="rear")),
        node("actuator", *(node("motor", jointinparent=side, gear=1) for side in ("left", "right"))),
    )


POINT = Robot("Point", 0.002, _point, free=False, inertial=0)
CAR = Robot("Car", 0.004, _car, free=True, inertial=7, ball=0)
ROBOTS = {robot.name: robot for robot in (POINT, CAR)}
