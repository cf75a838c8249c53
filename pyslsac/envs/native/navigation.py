"""The navigation tasks' common part: a robot among things, its sensors and lidars, and what touching or entering costs.

A step is ten physics steps and one evaluation of the sensors, after which rewards, costs and observations are array
expressions. The release evaluates the dynamics three times there, five times at a reset with a goal and where a goal is
renewed. Before MuJoCo 3.3.6 that changes the last digits of the accelerometer and of the next step, so it is done here
too, but for what would repeat itself (`_again`).

A cost is 1 inside a hazard, beyond a wall, and in contact with a pillar, a gremlin, or a vase that costs, or while such
a vase moves at 1e-4 m/s or more; the games add theirs. On MuJoCo 2.3.3 these tasks equal those of safety-gymnasium
1.0.0 bit for bit, from which all rules and numbers come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from pyslsac.envs.native.fleet import Flags, Fleet
from pyslsac.envs.native.layout import LayoutError, Sampler, columns
from pyslsac.envs.native.lidar import BINS, closeness, in_frame
from pyslsac.envs.native.robots import Robot, plane
from pyslsac.envs.native.simulation import Array
from pyslsac.envs.native.things import Box, Thing
from pyslsac.envs.native.worlds import World

REWARD_LIMIT = 10.0
RESTARTS = tuple(int(part) for part in re.findall(r"\d+", mujoco.__version__)[:3]) < (3, 3, 6)
VASE_SPEED = 1e-4  # m/s


@dataclass(frozen=True)
class Level:
    """What a level of a game puts into the world."""

    things: tuple[Thing, ...]  # fixed kinds, then free ones, then led ones; unseen kinds last
    extent: float  # layouts lie in [-extent, extent]²
    costly: frozenset[str] = frozenset()  # kinds whose touch costs, and what the game adds
    robot_box: Box | None = None  # where the robot starts, if not anywhere
    robot_keepout: float = 0.4
    horizon: int = 1000
    reach: float = 3.0  # of the lidars
    led_radius: float = 0.0  # of the circle on which led things move


class Game:
    """What a task is about; the defaults are those of one that sets no goals and pays nothing."""

    memory: tuple[str, ...] = ()  # the names of its arrays [n]
    renews = False  # it sets a goal at an episode's start and after each success
    feels: tuple[str, ...] = ()  # kinds of things whose touch it asks for

    def renew(self, fleet: Navigation, rows: list[int]) -> Flags:
        """Write new goals into fleet.layout: False [m] where there is no room for one."""
        return np.ones(len(rows), np.bool_)

    def start(self, fleet: Navigation, rows: list[int]) -> None:
        """Let episodes begin whose goals are set."""

    def measure(self, fleet: Navigation, rows: list[int]) -> None:
        """Remember what the next reward is measured from."""

    def reward(self, fleet: Navigation) -> tuple[Array, Flags]:
        """The step's reward [n], and where the goal was reached [n]."""
        return np.zeros(fleet.n), np.zeros(fleet.n, np.bool_)

    def cost(self, fleet: Navigation) -> Flags | bool:
        """Where the game itself costs [n]."""
        return False

    def tick(self) -> None:
        """Let a step's time pass, before goals are renewed."""

    def hide(self, fleet: Navigation, lidars: Array, part: Any) -> None:
        """Blank what cannot be seen now in lidars [m, kinds, bins] of the environments `part`."""


class Navigation(Fleet):
    """n worlds of one level. Where a goal was reached in the last step stands in `met` [n]."""

    def __init__(self, robot: Robot, level: Level, game: Game, n: int, workers: int, sky: bool = False) -> None:
        self.world, self.robot, self.level, self.game = World(robot, level.things, sky), robot, level, game
        super().__init__([self.world.copy() for _ in range(n)], level.horizon, 10, workers)
        boxes = None if level.robot_box is None else [level.robot_box]
        self.sampler = Sampler(*columns(level.robot_keepout, boxes, level.things, level.extent))
        shape = (n, self.world.columns)
        self.begun, self.rotation = np.zeros((*shape, 2)), np.zeros(shape)  # [n, K, 2], [n, K] as the episode began
        self.layout = np.zeros((*shape, 2))  # [n, K, 2] what the next goal must avoid
        self.places = np.zeros((*shape, 2))  # [n, K, 2] where things are
        self.heading = np.ones(n, np.complex128)  # [n] of the robot's first axis
        self.met = np.zeros(n, np.bool_)
        self.touched = np.zeros((n, self.models[0].ngeom), np.bool_)  # [n, geoms] in contact with the robot
        self._sort_out()
        width = robot.size + BINS * len(self.lidars)
        self.obs_low, self.obs_high = np.full(width, -np.inf), np.full(width, np.inf)
        self.obs_low[robot.size :], self.obs_high[robot.size :] = 0.0, 1.0

    def _sort_out(self) -> None:
        """Which columns of a layout, which bodies and which geoms play which part."""
        world, level, model = self.world, self.level, self.models[0]
        things = world.things
        seen = [thing for thing in things if thing.seen]
        self.lidars = {thing.name: kind for kind, thing in enumerate(seen)}
        self._seen = slice(1, 1 + sum(thing.count for thing in seen))
        self._firsts = np.cumsum([0, *(thing.count for thing in seen[:-1])])
        moving = [thing for thing in things if thing.body != "fixed"]
        self._moving = _join(np.r_[world.slots[thing.name]] for thing in moving)
        self._moving_bodies = _join(world.bodies[thing.name] for thing in moving)
        self._carried = _join(np.r_[world.slots[thing.name]] for thing in moving if thing.body == "free")
        self._harmful = _join(world.geoms[t.name] for t in things if t.solid and t.name in level.costly)
        felt = [t for t in things if t.solid and (t.name in level.costly or t.name in self.game.feels)]
        self._felt = _join(np.r_[world.slots[thing.name]] for thing in felt)
        sizes = _join(model.geom_rbound[world.geoms[thing.name]] for thing in felt)
        self._touch = world.reach + sizes  # farther apart nothing touches
        self._is_robot = np.isin(np.arange(model.ngeom), world.robot_geoms)
        self._hazards = [(world.slots[thing.name], thing.size[0]) for thing in things if thing.name == "hazard"]
        self._walls = [(t.places[0][0], axis) for t in things if t.name == "sigwall" for axis in range(t.count // 2)]
        self._sensors, self._xpos = self.field("sensordata"), self.field("xpos")
        self._xmat = self.field("xmat", world.body)
        first = model.body_dofadr[world.bodies["vase"]] if "vase" in level.costly else np.zeros(0, int)
        self._vases = first[:, None] + np.arange(3)  # their velocities in qvel [vases, 3]
        self._led = _circle(level, self.timestep, self.frame_skip) if world.mocaps.size else None

    def own(self) -> dict[str, Any]:
        memory = {name: getattr(self.game, name) for name in self.game.memory}
        return {"begun": self.begun, "rotation": self.rotation, "layout": self.layout, **memory}

    def _begin(self, rows: list[int]) -> Array:
        generators = self.streams.next(rows)
        self.layout[rows] = self.sampler.layouts(generators)
        self.rotation[rows] = [random.uniform(0, 2 * np.pi, self.world.columns) for random in generators]
        for thing in self.world.things:
            if thing.turns is not None:
                self.rotation[rows, self.world.slots[thing.name]] = thing.turns
        if not self.game.renew(self, rows).all():
            raise LayoutError(f"there is no room for a goal among {[thing.name for thing in self.world.things]}")
        self.game.start(self, rows)
        self._put(rows)
        return self._observe(rows)

    def _put(self, rows: list[int]) -> None:
        """Let the worlds of `rows` start from their layouts."""
        self.begun[rows] = self.layout[rows]
        for row in rows:
            model, data = self.models[row], self.datas[row]
            self.world.place(model, data, self.begun[row], self.rotation[row])
            mujoco.mj_forward(model, data)
            _again(model, data, 4 if self.game.renews else 3)
        self._show(rows)
        self._look()
        self.game.measure(self, rows)

    def _restore(self) -> None:
        for row in self.everyone:
            self.world.place(self.models[row], self.datas[row], self.begun[row], self.rotation[row])
            self._set_goal(row)
        self._show(self.everyone)

    def _advance(self, pairs: list[tuple[Any, Any]]) -> None:
        for model, data in pairs:
            if self._led is None:
                mujoco.mj_step(model, data, self.frame_skip)
            else:
                led, first = data.mocap_pos, round(data.time / self.timestep)
                for place in self._led[first : first + self.frame_skip]:
                    led[:] = place
                    mujoco.mj_step(model, data)
            mujoco.mj_forward(model, data)
            _again(model, data, 2)

    def _outcome(self, actions: Array) -> tuple[Array, Array, Array, Flags]:
        self._look()
        if self._felt.size:
            self.touched = self._touching()
        reward, self.met = self.game.reward(self)
        cost = self._cost()
        self.game.tick()
        stuck = np.zeros(self.n, np.bool_)
        rows = np.flatnonzero(self.met).tolist()
        if rows:
            self.layout[rows, 0] = self.position[rows, :2]
            self.layout[np.ix_(rows, self._carried)] = self.places[np.ix_(rows, self._carried)]
            stuck[rows] = ~self.game.renew(self, rows)
            self._move_goals(rows)
        reward = np.minimum(np.maximum(reward, -REWARD_LIMIT), REWARD_LIMIT)  # np.clip takes thrice the time
        return self._observe(None), reward, cost.astype(np.float64), stuck

    def _move_goals(self, rows: list[int]) -> None:
        for row in rows:
            model, data = self.models[row], self.datas[row]
            self._set_goal(row)
            _again(model, data, 1)
            mujoco.mj_forward(model, data)
        self._show(rows)
        self._look()
        self.game.measure(self, rows)

    def _set_goal(self, row: int) -> None:
        if "goal" in self.world.slots:
            place = self.layout[row, self.world.slots["goal"].start]
            self.models[row].body_pos[self.world.bodies["goal"][0], :2] = place

    def _show(self, rows: Any) -> None:
        """Fixed things are where the layout says; the release looks for the circle at the origin."""
        self.heading[rows] = self.robot.heading(self.rotation[rows, 0])
        self.places[rows] = self.layout[rows]
        if "circle" in self.lidars:
            self.places[rows, self.world.slots["circle"]] = 0.0

    def _look(self) -> None:
        """Read where everything is."""
        self.sensors, self.matrix = self._sensors.all(), self._xmat.all()
        self.xpos = self._xpos.all().reshape(self.n, -1, 3)
        self.position = self.xpos[:, self.world.body]  # [n, 3]
        if self._moving.size:
            self.places[:, self._moving] = self.xpos[:, self._moving_bodies, :2]

    def spot(self, name: str) -> Array:
        """Where the centre of the only thing of a kind is, in space [n, 3]."""
        return self.xpos[:, self.world.bodies[name][0]]

    def velocity(self) -> Any:
        """The robot's, in the plane: v_x + i v_y [n]."""
        return self.robot.velocity(self._qvel.all(), self.heading)

    def _touching(self) -> Flags:
        """Which geoms are in contact with the robot [n, geoms], of those whose touch matters."""
        touched = np.zeros((self.n, self._is_robot.size), np.bool_)
        near = self._gaps(self._felt) < self._touch
        for row in np.flatnonzero(near.any(axis=1)):
            contact = self.datas[row].contact
            one, other = contact.geom1, contact.geom2
            touched[row, one[self._is_robot[other]]] = True
            touched[row, other[self._is_robot[one]]] = True
        return touched

    def _gaps(self, columns: Any) -> Array:
        """How far the robot is from things in the plane, centre to centre [n, columns]."""
        places = self.places.view(np.complex128)[:, columns, 0]
        return np.abs(places - plane(self.position)[:, None])

    def _cost(self) -> Flags:
        cost = np.zeros(self.n, np.bool_)
        for slot, radius in self._hazards:
            cost |= (self._gaps(slot) < radius).any(axis=1)
        for distance, axis in self._walls:
            cost |= np.abs(self.position[:, axis]) > distance
        if self._vases.size:
            speed = np.sqrt(np.square(self._qvel.all()[:, self._vases]).sum(axis=2))
            cost |= (speed >= VASE_SPEED).any(axis=1)
        if self._harmful.size:
            cost |= self.touched[:, self._harmful].any(axis=1)
        return cost | self.game.cost(self)

    def _observe(self, rows: list[int] | None) -> Array:
        part: Any = slice(None) if rows is None else rows
        places, position, matrix = self.places[part, self._seen], self.position[part], self.matrix[part]
        lidars = closeness(in_frame(places, position, matrix), self._firsts, self.level.reach)
        self.game.hide(self, lidars, part)
        return np.concatenate([self.robot.observe(self.sensors[part]), lidars.reshape(len(lidars), -1)], axis=1)


def _again(model: Any, data: Any, times: int) -> None:
    """What `times` more mj_forward come to: before MuJoCo 3.3.6 the solver starts from its own last result.

    All else would repeat itself, unless the normalisation of quaternions in qpos, with which mj_forward begins, still
    changes a digit. Without constraints nothing changes.
    """
    if not RESTARTS or (data.nefc == 0 and model.nq == model.nv):
        return
    moving = model.nq > model.nv  # there are quaternions
    for _ in range(times):
        if moving:
            normal = data.qpos.copy()
            mujoco.mj_normalizeQuat(model, normal)
            moving = normal.tobytes() != data.qpos.tobytes()
        (mujoco.mj_forward if moving else mujoco.mj_fwdConstraint)(model, data)
    mujoco.mj_sensorAcc(model, data)


def _join(parts: Iterable[Any]) -> Any:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _circle(level: Level, timestep: float, frame_skip: int) -> list[Array]:
    """Where led things' bodies are [3] at each physics step of an episode: radius · (sin t, cos t) at their height."""
    time = np.cumsum([0.0, *[timestep] * (level.horizon * frame_skip)])  # added up as MuJoCo does
    height = next(thing.height for thing in level.things if thing.body == "led")
    radius = level.led_radius
    return list(np.stack([np.sin(time) * radius, np.cos(time) * radius, np.full(time.size, height)], axis=1))
