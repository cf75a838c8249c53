"""The navigation tasks' common part: a robot among things, its sensors and lidars, and what touching or entering costs.

A step is ten physics steps and one evaluation of the sensors, after which rewards, costs and observations are array
expressions.

A cost is 1 inside a hazard, beyond a wall, and in contact with a pillar, a gremlin, or a vase that costs, or while such
a vase moves at 1e-4 m/s or more; the games add theirs. On MuJoCo 2.3.3 these tasks equal those of safety-gymnasium
1.0.0 bit for bit, from which all rules and numbers come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyslsac.envs.native.fleet import Flags, Fleet
from pyslsac.envs.native.layout import LayoutError, Sampler, columns
from pyslsac.envs.native.lidar import BINS, closeness, in_frame
from pyslsac.envs.native.physics import Physics, circle
from pyslsac.envs.native.robots import Robot, plane
from pyslsac.envs.native.simulation import Array, Field
from pyslsac.envs.native.things import Box, Thing
from pyslsac.envs.native.worlds import World

REWARD_LIMIT = 10.0
VASE_SPEED = 1e-4  # m/s
SIGHT = ("sensordata", "qvel", "xpos")


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
        self.places = np.zeros(shape[::-1], np.complex128)  # [K, n] where things are, x + iy
        self.heading = np.ones(n, np.complex128)  # [n] of the robot's first axis
        self.met = np.zeros(n, np.bool_)
        self.touched = np.zeros((n, self.models[0].ngeom), np.bool_)  # [n, geoms] in contact with the robot
        self.physics = Physics(self.models, self.datas, self.frame_skip, self._path())
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
        runs = [(world.slots[thing.name], world.bodies[thing.name]) for thing in moving]
        self._moving = [(slots, slice(bodies[0], bodies[-1] + 1)) for slots, bodies in runs]
        self._carried = _columns(world, [thing for thing in moving if thing.body == "free"])
        self._harmful = _join(world.geoms[t.name] for t in things if t.solid and t.name in level.costly)
        felt = [t for t in things if t.solid and (t.name in level.costly or t.name in self.game.feels)]
        self._felt, _ = _columns(world, felt)
        sizes = _join(model.geom_rbound[world.geoms[thing.name]] for thing in felt)
        self._touch = world.reach + sizes[:, None]  # [felt, 1] farther apart nothing touches
        self._is_robot = np.isin(np.arange(model.ngeom), world.robot_geoms)
        self._hazards = [(world.slots[thing.name], thing.size[0]) for thing in things if thing.name == "hazard"]
        self._walls = [(t.places[0][0], axis) for t in things if t.name == "sigwall" for axis in range(t.count // 2)]
        matrices = [data.xmat[world.body] for data in self.datas]
        self._sight = Field(*([getattr(data, name) for data in self.datas] for name in SIGHT), matrices)
        first = model.body_dofadr[world.bodies["vase"]] if "vase" in level.costly else np.zeros(0, int)
        self._vases = first[:, None] + np.arange(3)  # their velocities in qvel [vases, 3]

    def _path(self) -> Array | None:
        """Where led bodies are."""
        level = self.level
        heights = [thing.height for thing in level.things if thing.body == "led"]
        if not heights:
            return None
        steps = level.horizon * self.frame_skip
        return circle(level.led_radius, heights[0], self.timestep, steps, self.world.mocaps.size)

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
            self.world.place(self.models[row], self.datas[row], self.begun[row], self.rotation[row])
            self.physics.evaluate(row, 5 if self.game.renews else 4)
        self._show(rows)
        self._look()
        self.game.measure(self, rows)

    def _restore(self) -> None:
        for row in self.everyone:
            self.world.place(self.models[row], self.datas[row], self.begun[row], self.rotation[row])
            self._set_goal(row)
        self._show(self.everyone)

    def _advance(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.physics.step(row)
            self.physics.evaluate(row, 3)

    def _outcome(self, actions: Array) -> tuple[Array, Array, Array, Flags]:
        self._look()
        if self._felt.size:
            self.touched = self._touching()
        reward, self.met = self.game.reward(self)
        cost = self._cost()
        self.game.tick()
        stuck = np.zeros(self.n, np.bool_)
        rows = self.met.nonzero()[0].tolist()
        if rows:
            slots, bodies = self._carried
            self.layout[rows, 0] = self.position[rows, :2]
            self.layout[np.ix_(rows, slots)] = self.xpos[np.ix_(rows, bodies)][..., :2]
            stuck[rows] = ~self.game.renew(self, rows)
            self._move_goals(rows)
        reward = np.minimum(np.maximum(reward, -REWARD_LIMIT), REWARD_LIMIT)  # np.clip takes thrice the time
        return self._observe(None), reward, cost.astype(np.float64), stuck

    def _move_goals(self, rows: list[int]) -> None:
        for row in rows:
            self._set_goal(row)
            self.physics.repeat(row, 1)
            self.physics.evaluate(row, 1)
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
        self.places[:, rows] = plane(self.layout[rows]).T
        if "circle" in self.lidars:
            self.places[self.world.slots["circle"], rows] = 0.0

    def _look(self) -> None:
        """Read where everything is."""
        sight = self._sight.all()
        self.sensors, self.qvel, xpos, self.matrix = (sight[:, part] for part in self._sight.parts)
        self.xpos = xpos.reshape(self.n, -1, 3)
        self.position = self.xpos[:, self.world.body]  # [n, 3]
        self.place = plane(self.position)  # [n]
        for slots, bodies in self._moving:
            self.places[slots] = plane(self.xpos[:, bodies]).T
        self.away = self.places - self.place  # [K, n] from the robot
        self.gaps = np.abs(self.away)

    def spot(self, name: str) -> Array:
        """Where the centre of the only thing of a kind is, in space [n, 3]."""
        return self.xpos[:, self.world.bodies[name][0]]

    def velocity(self) -> Any:
        """The robot's, in the plane: v_x + i v_y [n]."""
        return self.robot.velocity(self.qvel, self.heading)

    def _touching(self) -> Flags:
        """Which geoms are in contact with the robot [n, geoms], of those whose touch matters."""
        touched = np.zeros((self.n, self._is_robot.size), np.bool_)
        near = (self.gaps[self._felt] < self._touch).any(axis=0)
        for row in near.nonzero()[0].tolist():
            contact = self.datas[row].contact
            one, other = contact.geom1, contact.geom2
            touched[row, one[self._is_robot[other]]] = True
            touched[row, other[self._is_robot[one]]] = True
        return touched

    def _cost(self) -> Flags:
        cost = np.zeros(self.n, np.bool_)
        for slot, radius in self._hazards:
            cost |= (self.gaps[slot] < radius).any(axis=0)
        for distance, axis in self._walls:
            cost |= np.abs(self.position[:, axis]) > distance
        if self._vases.size:
            speed = np.sqrt(np.square(self.qvel[:, self._vases]).sum(axis=2))
            cost |= (speed >= VASE_SPEED).any(axis=1)
        if self._harmful.size:
            cost |= self.touched[:, self._harmful].any(axis=1)
        return cost | self.game.cost(self)

    def _observe(self, rows: list[int] | None) -> Array:
        part: Any = slice(None) if rows is None else rows
        away, matrix = self.away[self._seen, part], self.matrix[part]
        upright = not self.robot.free
        ego = away * plane(matrix) if upright else in_frame(away, self.position[part, 2], matrix)
        lidars = closeness(ego, self._firsts, self.level.reach)
        self.game.hide(self, lidars, part)
        return np.concatenate([self.robot.observe(self.sensors[part]), lidars.reshape(len(lidars), -1)], axis=1)


def _columns(world: World, things: Sequence[Thing]) -> tuple[Any, Any]:
    """The columns of `things` in a layout, and their bodies."""
    slots, bodies = (_join(np.r_[by_name[thing.name]] for thing in things) for by_name in (world.slots, world.bodies))
    return slots, bodies


def _join(parts: Iterable[Any]) -> Any:
    return np.concatenate([np.zeros(0, np.int64), *parts])
