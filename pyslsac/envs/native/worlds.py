"""A navigation world (floor, robot and things) as a MuJoCo model, and layouts written into compiled models in place.

A layout is xy [K, 2] in metres and rot [K] in radians about z. Column 0 is the robot; the things follow in the order of
`World.things`, each kind's members one after the other. Source of the numbers: safety-gymnasium 1.0.0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

import mujoco
import numpy as np

from pyslsac.envs.native.robots import Robot, Value, node, text
from pyslsac.envs.native.things import Thing

VERSION = tuple(int(part) for part in mujoco.__version__.split(".")[:2])
FLOOR = (3.5, 3.5, 0.1)  # half sizes
BODIES = ("fixed", "free", "led")
Place = dict[str, Value]  # pos and quat, as MJCF's attributes


class World:
    """`robot` among `things`: the fixed kinds first, then the free, then the led, in the given order within each.

    `model` holds everything at the origin and is never changed: `copy` it and `place` the copy. `columns` is K.
    By a kind's name: `slots` its columns of a layout, `bodies` its body ids (of led things the free bodies), `geoms`
    its geom ids (five of a push box, one of any other). `mocaps` are the mocap ids of all led things, in the columns'
    order. The robot's are `body`, `robot_geoms` and `reach`, the radius (m) of the ball around its origin that holds
    them. `sky` adds a sky to pictures and changes nothing else.
    """

    def __init__(self, robot: Robot, things: Sequence[Thing], sky: bool = False) -> None:
        self.robot, self.sky = robot, sky
        self.things = tuple(sorted(things, key=lambda thing: BODIES.index(thing.body)))
        self._members = [(thing, f"{thing.name}{i}") for thing in self.things for i in range(thing.count)]
        self.columns = 1 + len(self._members)
        ends = np.cumsum([1, *(thing.count for thing in self.things)]).tolist()
        self.slots = {
            thing.name: slice(end - thing.count, end) for thing, end in zip(self.things, ends[1:], strict=True)
        }
        origin = np.zeros((self.columns, 2))
        self.model = self.compile(origin, np.zeros(self.columns))
        self._body_of = np.array([self.model.body(name).id for name in ("agent", *(name for _, name in self._members))])
        self.body = int(self._body_of[0])
        self.bodies = {name: self._body_of[slot] for name, slot in self.slots.items()}
        of = self.model.geom_bodyid
        self.geoms = {name: np.flatnonzero(np.isin(of, ids)) for name, ids in self.bodies.items()}
        self.robot_geoms = np.flatnonzero(self.model.body_rootid[of] == self.body)
        self.mocaps = np.arange(self.model.nmocap)
        self.reach = self._reach()
        self._index(self.compile(origin, np.ones(self.columns)))

    def _index(self, turned: mujoco.MjModel) -> None:
        """What `place` needs to know; `turned` is the template with every rotation at 1."""
        model = self.model
        bodies = [thing.body for thing, _ in self._members]
        self._loose = 1 + bodies.count("fixed")  # the first column with a free joint; those joints end qpos
        self._joints = model.nq - 7 * (self.columns - self._loose)
        self._led = self.columns - model.nmocap
        leaders = np.flatnonzero(model.body_mocapid >= 0)
        self._leaders = np.flatnonzero(np.isin(model.geom_bodyid, leaders))  # geoms
        # In these bodies' own frames the layout moves the centre of mass: led things' leaders, whose geom carries the
        # layout, and things that weigh nothing (MuJoCo weighs groups 0-5 alone), whose frame the compiler repeats.
        self._weightless = np.flatnonzero(model.body_mass[self._body_of] == 0)
        self._shifted = np.concatenate([self._body_of[self._weightless], leaders])
        self._shifts = np.concatenate([self._weightless, np.arange(self._led, self.columns)])
        self._frames = [m.body_sameframe[self._shifted] for m in (model, turned)]
        self._leader_frames = [m.geom_sameframe[self._leaders] for m in (model, turned)]
        self._track = model.camera("track").id
        probe, unwritten = self.copy(), -1.0
        probe.stat.extent = unwritten
        mujoco.mj_setConst(probe, mujoco.MjData(probe))
        self._unstated = probe.stat.extent == unwritten  # mj_setConst writes no statistics: MuJoCo 4

    def _reach(self) -> float:
        """Wheels turn in their places, so the start says it for ever."""
        data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, data)
        away = np.linalg.norm(data.geom_xpos[self.robot_geoms] - data.xpos[self.body], axis=1)
        return float((away + self.model.geom_rbound[self.robot_geoms]).max())

    def copy(self) -> mujoco.MjModel:
        """A model of one's own, to place and step."""
        return copy.copy(self.model)

    def compile(self, xy: np.ndarray, rot: np.ndarray) -> mujoco.MjModel:
        """The world with the layout xy [K, 2], rot [K], compiled anew: about 1 ms."""
        root = self.robot.mjcf()
        root.append(_assets(self.sky))
        if VERSION < (3, 0):  # the release's; MuJoCo 3 would take 470 MB a simulation for them, and needs neither
            root.append(node("size", njmax=3000, nconmax=1000))
        heights = [self.robot.height, *(thing.height for thing, _ in self._members)]
        places: list[Place] = [
            {"pos": pos, "quat": quat}
            for pos, quat in zip(np.column_stack([xy, heights]), quaternions(rot), strict=True)
        ]
        world = _child(root, "worldbody")
        robot = _child(world, "body")
        robot.attrib |= {name: text(value) for name, value in places[0].items()}
        robot.append(_track(float(rot[0])))
        world.extend(_surroundings())
        members = [(*member, place) for member, place in zip(self._members, places[1:], strict=True)]
        led = [member for member in members if member[0].body == "led"]
        world.extend(_body(*member) for member in members if member[0].body != "fixed")
        world.extend(_leader(*member) for member in led)
        world.extend(_body(*member) for member in members if member[0].body == "fixed")
        welds = (node("weld", body1=f"{name} leader", body2=name, solref=(0.02, 1.5)) for _, name, _ in led)
        root.append(node("equality", *welds))
        return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, "unicode"))

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, xy: np.ndarray, rot: np.ndarray) -> None:
        """Make `model`, a copy of this world's, what `compile` gives for xy [K, 2], rot [K], and `data` its start.

        Both are written in place. Every number is bit for bit the compiler's, but for the cameras'.
        """
        quat = quaternions(rot)
        if VERSION < (3, 2):  # later compilers leave alone what is within 1e-14 of unit length
            quat /= np.sqrt(quat[:, :1] ** 2 + quat[:, 3:] ** 2)
        model.body_pos[self._body_of, :2] = xy
        model.body_quat[self._body_of] = quat
        model.body_ipos[self._shifted, :2] = xy[self._shifts]
        model.body_iquat[self._shifted] = quat[self._shifts]
        qpos = model.qpos0
        if self.robot.free:
            qpos[:2], qpos[3:7] = xy[0], quat[0]
        loose = qpos[self._joints :].reshape(-1, 7)
        loose[:, :2], loose[:, 3:] = xy[self._loose :], quat[self._loose :]
        model.qpos_spring[:] = qpos
        if VERSION >= (3, 2):  # the compiler notes which frames are turned against their body's
            straight = np.abs(quat[:, 3]) < 1e-6
            model.body_sameframe[self._shifted] = np.where(straight[self._shifts], *self._frames)
            model.geom_sameframe[self._leaders] = np.where(straight[self._led :], *self._leader_frames)
        if len(self.mocaps):
            model.geom_pos[self._leaders, :2] = xy[self._led :]
            model.geom_quat[self._leaders] = quat[self._led :]
            model.eq_data[:, 6:10] = 0  # a weld without a rotation: mj_setConst takes it from the layout
        mujoco.mj_resetData(model, data)  # mj_setConst reads where the leaders are
        mujoco.mj_setConst(model, data)
        if self._unstated:
            _statistics(model, data)
        model.cam_pos0[self._track] = self.model.cam_pos0[self._track]  # it keeps its direction in the world
        model.cam_mat0[self._track] = self.model.cam_mat0[self._track]
        mujoco.mj_resetData(model, data)


def quaternions(rot: np.ndarray) -> np.ndarray:
    """[K, 4] the rotations rot [K] about z: (cos rot/2, 0, 0, sin rot/2)."""
    half = np.asarray(rot) / 2
    quat = np.zeros((len(half), 4))
    quat[:, 0], quat[:, 3] = np.cos(half), np.sin(half)
    return quat


def _statistics(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Write model.stat's centre, extent, mean size and mean inertia as the compiler does.

    `data` is as mj_setConst leaves it. Sums run from the first to the last, as the compiler's.
    """
    radius, places = model.geom_rbound, data.geom_xpos
    bare = np.zeros(2 * model.njnt)
    # How far each body reaches from its centre of mass: to its and its children's joints, and to its geoms' far ends.
    of = np.concatenate([model.jnt_bodyid, model.body_parentid[model.jnt_bodyid], model.geom_bodyid])
    x, y, z = (np.concatenate([data.xanchor, data.xanchor, places]) - data.xipos[of]).T
    size = np.full(model.nbody, 1e-5)
    np.maximum.at(size, of, np.concatenate([bare, radius]) + np.sqrt(x * x + y * y + z * z))
    mean = np.cumsum(size[1:] / (model.nbody - 1))[-1]
    points = np.concatenate([data.xpos[1:], data.xipos[1:], data.xanchor, data.site_xpos, places])
    around = np.zeros((len(points), 1))
    around[-len(places) :, 0] = np.where(radius > 0, radius, FLOOR[0] * 0.1)  # a plane has no radius
    low, high = (points - around).min(axis=0), (points + around).max(axis=0)
    model.stat.center[:] = (low + high) * 0.5
    model.stat.extent = max((high - low).max(), 2 * mean)
    model.stat.meansize = mean
    model.stat.meaninertia = np.cumsum(data.M[model.M_rowadr + model.M_rownnz - 1])[-1] / model.nv


def _child(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = element.find(tag)
    assert found is not None, f"the robot's MJCF has no <{tag}>"
    return found


def _assets(sky: bool) -> ElementTree.Element:
    """The floor's chequers, and the sky."""
    pale, dark = (0.949, 0.914, 0.855), (0.859, 0.843, 0.765)
    floor = node("texture", name="floor", type="2d", builtin="checker", width=100, height=100, rgb1=dark, rgb2=pale)
    shine: dict[str, Value] = {"reflectance": 0.1, "shininess": 0.1, "specular": 0.1}
    assets = node("asset", floor, node("material", name="floor", texture="floor", texrepeat=(10, 10), **shine))
    if sky:
        night, dusk = (0.02, 0.03, 0.08), (0.35, 0.45, 0.6)
        assets.append(node("texture", type="skybox", builtin="gradient", width=64, height=384, rgb1=dusk, rgb2=night))
    return assets


def _surroundings() -> list[ElementTree.Element]:
    """The floor, a lamp straight above, and two cameras that stand still."""
    light: dict[str, Value] = {"diffuse": (1, 1, 1), "specular": (0, 0, 0), "cutoff": 100, "exponent": 1}
    return [
        node("geom", name="floor", type="plane", condim=6, size=FLOOR, rgba=(1, 1, 1, 1), material="floor"),
        node("light", directional=True, castshadow=False, pos=(0, 0, 0.5), dir=(0, 0, -1), **light),
        node("camera", name="fixednear", pos=(0, -2, 2), zaxis=(0, -1, 1)),
        node("camera", name="fixedfar", pos=(0, -5, 5), zaxis=(0, -1, 1)),
    ]


def _track(rot: float) -> ElementTree.Element:
    """A camera in the robot's body, itself turned by rot: it stays at (0, 2, 2) m from it in the world's axes."""
    cos, sin = np.cos(rot), np.sin(rot)
    axes = (-cos, sin, 0, -sin, -cos, 1)
    return node("camera", name="track", mode="track", pos=(2 * sin, 2 * cos, 2), xyaxes=axes)


def _geom(thing: Thing, **more: Value) -> ElementTree.Element:
    attributes: dict[str, Value] = {"type": thing.shape, "size": thing.size, "rgba": thing.rgba, "group": thing.group}
    if thing.density is not None:
        attributes["density"] = thing.density
    if not thing.solid:
        attributes |= {"contype": 0, "conaffinity": 0}
    return node("geom", **(attributes | more))


def _body(thing: Thing, name: str, place: Place) -> ElementTree.Element:
    """A thing; a push box has a column half as wide as itself at each corner."""
    parts = [_geom(thing)] if thing.body == "fixed" else [node("freejoint"), _geom(thing)]
    if thing.name == "push_box":
        side = thing.size[0]
        corners = ((side, side), (-side, side), (side, -side), (-side, -side))
        parts += [_geom(thing, size=(side / 2, side / 2, side), pos=(*corner, 0)) for corner in corners]
    return node("body", *parts, name=name, **place)


def _leader(thing: Thing, name: str, place: Place) -> ElementTree.Element:
    """What a led thing is welded to: its ghost, which the task moves. The ghost's geom carries the layout."""
    ghost = replace(thing, solid=False, density=None, rgba=(*thing.rgba[:3], thing.rgba[3] * 0.1))
    return node("body", _geom(ghost, **place), name=f"{name} leader", mocap=True)
