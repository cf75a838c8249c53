"""The release as a teacher: its environments, their state in a fleet's words, and a driver that makes things happen."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from pyslsac.envs import list_tasks, safety_gymnasium
from pyslsac.envs.native.fleet import Fleet
from pyslsac.envs.native.navigation import Navigation
from pyslsac.envs.native.velocity import Velocity

problem = next(listing.problem for listing in list_tasks() if listing.backend == "safety-gymnasium")
if problem is None and mujoco.__version__ != "2.3.3":
    problem = f"the release's numbers are those of MuJoCo 2.3.3; this is {mujoco.__version__}"
needs_release = pytest.mark.skipif(problem is not None, reason=str(problem))
ALONE = ("goal", "push_box", "circle")  # things that the release does not number


class Release:
    """One environment of safety-gymnasium beside the fleet that shall equal it."""

    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name, self.fleet = name, fleet
        self.env: Any = safety_gymnasium.make(name)
        self.inner = self.env.unwrapped
        self.task = getattr(self.inner, "task", None)  # of navigation
        self.age = 0

    @property
    def data(self) -> Any:
        return self.task.data if self.task else self.inner.data

    def reset(self, seed: int) -> np.ndarray:
        self.age = 0
        return self.env.reset(seed=seed)[0]

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        self.age += 1
        return self.env.step(action)

    def state(self) -> dict[str, Any]:
        """What Fleet.load takes, for one environment."""
        data = self.data
        state = {name: getattr(data, name).copy() for name in ("qpos", "qvel", "qacc_warmstart", "mocap_pos")}
        state |= {"time": data.time, "age": self.age, "seed": 0, "episode": 0, "draw": 0}
        return state | (self._world() if self.task else {"place": self._place()})

    def goal(self) -> dict[str, Any]:
        """The goal as it is now: what a new one must be copied from."""
        if self.task is None or not hasattr(self.task, "goal"):
            return {}
        chosen = {"button": self.task.buttons.goal_button} if hasattr(self.task, "buttons") else {}
        return {"xy": self.data.body("goal").xpos[:2].copy(), **chosen}

    def put(self, name: str, xy: Any) -> None:
        """Move the robot ("agent") or a free thing so that its centre is at xy, at rest."""
        model, data = self.task.model, self.data
        joint = model.body_jntadr[model.body(name).id]
        where = model.jnt_qposadr[joint]
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            data.qpos[where : where + 2] = xy
        else:  # it slides along its own axes from where it began
            start, turned = (
                self.task.world_info.reset_layout["agent"],
                self.task.world_info.world_config_dict["agent_rot"],
            )
            away = complex(*(np.asarray(xy) - start)) * np.exp(-1j * turned)
            data.qpos[where : where + 2] = away.real, away.imag
        data.qvel[:] = 0
        mujoco.mj_forward(model, data)

    def _place(self) -> np.ndarray:
        assert isinstance(self.fleet, Velocity)
        if self.fleet.walker.place == "qpos":
            return self.data.qpos[:2].copy()
        if self.fleet.walker.place == "torso":
            return self.data.body("torso").xpos[:2].copy()
        mass = self.inner.model.body_mass[:, None]
        return (np.sum(mass * self.data.xipos, axis=0) / np.sum(mass))[:2]

    def _world(self) -> dict[str, Any]:
        fleet, task = self.fleet, self.task
        assert isinstance(fleet, Navigation)
        config = task.world_info.world_config_dict
        rotation = np.zeros(fleet.world.columns)
        rotation[0] = config["agent_rot"]
        start, layout = np.zeros((2, fleet.world.columns, 2))
        start[0], layout[0] = task.world_info.reset_layout["agent"], task.world_info.layout["agent"]
        for thing in fleet.world.things:
            for i in range(thing.count):
                name = thing.name if thing.name in ALONE else f"{thing.name}{i}"
                column = fleet.world.slots[thing.name].start + i
                start[column], layout[column] = task.world_info.reset_layout[name], task.world_info.layout[name]
                parts = config["geoms"] | config["free_geoms"]
                rotation[column] = parts[f"{name}obj" if thing.body == "led" else name]["rot"]
        if "goal" in fleet.world.slots:
            layout[fleet.world.slots["goal"].start] = self.data.body("goal").xpos[:2]
        memory = {"distance": "last_dist_goal", "gap": "last_dist_box"}
        if "push_box" in fleet.world.slots:
            memory["distance"] = "last_box_goal"
        own = {name: getattr(task, memory[name]) for name in fleet.game.memory if name in memory}
        if hasattr(task, "buttons"):
            own |= {"button": task.buttons.goal_button, "blind": task.buttons.timer}
        return {"begun": start, "rotation": rotation, "layout": layout, **own}


def stack(states: list[dict[str, Any]]) -> dict[str, Any]:
    """States of several environments as the state of a fleet."""
    return {name: np.array([state[name] for state in states]) for name in states[0]}


def give_goals(fleet: Fleet, goals: list[dict[str, Any]]) -> None:
    """Let new goals [n] be these, in place of drawn ones."""
    if not isinstance(fleet, Navigation):
        return

    def renew(fleet: Navigation, rows: list[int]) -> np.ndarray:
        for row in rows:
            fleet.layout[row, fleet.world.slots["goal"].start] = goals[row]["xy"]
            if "button" in goals[row]:
                fleet.game.button[row], fleet.game.blind[row] = goals[row]["button"], 10
        return np.ones(len(rows), np.bool_)

    fleet.game.renew = renew  # type: ignore[method-assign]


class Driver:
    """Actions that walk, gently so that it may last, or go for the goal and through what lies before it."""

    def __init__(self, release: Release, seed: int, gentle: bool = True) -> None:
        self.gentle = gentle
        self.release, self.random = release, np.random.default_rng(seed)
        self.space = release.env.action_space
        self.target: np.ndarray | None = None

    def action(self) -> np.ndarray:
        noise = self.random.uniform(self.space.low, self.space.high)
        task = self.release.task
        if task is None:
            return ((0.4 if self.gentle else 1.0) * noise).astype(self.space.dtype)
        if self.release.age % 60 == 0:
            near = [
                getattr(task, kind).pos for kind in ("hazards", "vases", "pillars", "gremlins") if hasattr(task, kind)
            ]
            places = (
                np.reshape(near, (-1, 3))
                if len(near) == 1
                else np.concatenate([*map(np.atleast_2d, near)] or [np.zeros((1, 3))])
            )
            self.target = places[self.random.integers(len(places))] if self.random.random() < 0.4 else None
        aim = task.push_box.pos if hasattr(task, "push_box") else task.goal.pos if hasattr(task, "goal") else noise * 2
        x, y = task._ego_xy(np.asarray(aim if self.target is None else self.target)[:2])
        if "Car" in self.release.name:
            turn = np.arctan2(x, -y)
            drive = np.array([turn - 1, -turn - 1]) if abs(turn) < 2 else np.array([1.0, 1.0])
        else:
            turn = np.arctan2(y, x)
            drive = np.array([np.cos(turn), 2 * turn])
        return np.clip(drive + 0.4 * noise, -1, 1).astype(self.space.dtype)
