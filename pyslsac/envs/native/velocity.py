"""The six velocity tasks: a MuJoCo walker of gymnasium's, paid for moving forward, at a cost above a speed limit.

reward = forward_weight · v_x + alive - control_weight · |action|²  and  cost = 1 where the speed exceeds the limit,
with v = (place after - place before) / dt. The models are gymnasium's own files, found in the installed package. On
MuJoCo 2.3.3 these tasks equal those of safety-gymnasium 1.0.0 bit for bit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from pyslsac.envs.errors import TaskError
from pyslsac.envs.native.fleet import Flags, Fleet
from pyslsac.envs.native.simulation import Array
from pyslsac.envs.native.walkers import WALKERS

FORCES = ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")  # the rest of the humanoid's observation


class Velocity(Fleet):
    """n walkers. The action's number type is kept, as in gymnasium: it shows in the control cost's last digits."""

    act_type = np.float32

    def __init__(self, name: str, n: int, workers: int) -> None:
        self.walker = walker = WALKERS[name]
        model = load(walker.file)
        super().__init__([model] * n, 1000, walker.frame_skip, workers)
        self.dt = self.timestep * walker.frame_skip
        self._start = model.qpos0.copy()
        self._mass = model.body_mass[:, None].copy()
        torso = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "torso")
        self._torso, self._centres = self.field("xpos", torso), self.field("xipos")
        self._forces = [self.field(force) for force in FORCES] if walker.place == "mass" else []
        self.place = np.zeros((n, 2))  # [n, 2] before the step
        width = model.nq - walker.hidden + model.nv + sum(field.width for field in self._forces)
        self.obs_low, self.obs_high = np.full(width, -np.inf), np.full(width, np.inf)

    def own(self) -> dict[str, Any]:
        return {"place": self.place}

    def _begin(self, rows: list[int]) -> Array:
        noise, model = self.walker.noise, self.models[0]
        for row, random in zip(rows, self.streams.next(rows), strict=True):
            data = self.datas[row]
            mujoco.mj_resetData(model, data)
            data.qpos[:] = self._start + random.uniform(-noise, noise, model.nq)
            normal = self.walker.normal
            data.qvel[:] = (
                noise * random.standard_normal(model.nv) if normal else random.uniform(-noise, noise, model.nv)
            )
            mujoco.mj_forward(model, data)
        qpos, qvel = self._qpos.of(rows), self._qvel.of(rows)
        self.place[rows] = self._places(qpos, rows)
        return self._observe(qpos, qvel, rows)

    def _advance(self, rows: Sequence[int]) -> None:
        model = self.models[0]
        for row in rows:
            mujoco.mj_step(model, self.datas[row], self.frame_skip)
            if self._forces:
                mujoco.mj_rnePostConstraint(model, self.datas[row])  # cfrc_ext, which a step does not compute

    def _outcome(self, actions: Array) -> tuple[Array, Array, Array, Flags]:
        walker = self.walker
        qpos, qvel = self._qpos.all(), self._qvel.all()
        place = self._places(qpos, None)
        velocity = (place - self.place) / self.dt
        self.place = place
        forward = velocity[:, 0]
        effort = np.square(actions.astype(np.float64) if walker.exact else actions).sum(axis=1).astype(np.float64)
        reward = walker.forward_weight * forward + walker.alive - walker.control_weight * effort
        speed = np.sqrt(np.square(velocity).sum(axis=1)) if walker.planar else forward
        fallen = ~walker.healthy(qpos, qvel) if walker.healthy else np.zeros(self.n, np.bool_)
        return self._observe(qpos, qvel, None), reward, (speed > walker.limit).astype(np.float64), fallen

    def _places(self, qpos: Array, rows: list[int] | None) -> Array:
        """What moves [m, 2]. MjData's positions are one sub-step behind qpos; so they are in gymnasium."""
        if self.walker.place == "qpos":
            return qpos[:, :2].copy()
        if self.walker.place == "torso":
            return (self._torso.all() if rows is None else self._torso.of(rows))[:, :2]
        centres = self._centres.all() if rows is None else self._centres.of(rows)
        weighed = self._mass * centres.reshape(len(centres), -1, 3)
        return (weighed.sum(axis=1) / self._mass.sum())[:, :2]

    def _observe(self, qpos: Array, qvel: Array, rows: list[int] | None) -> Array:
        if self.walker.clipped < np.inf:
            qvel = np.clip(qvel, -self.walker.clipped, self.walker.clipped)
        forces = [field.all() if rows is None else field.of(rows) for field in self._forces]
        return np.concatenate([qpos[:, self.walker.hidden :], qvel, *forces], axis=1)


def load(file: str) -> Any:
    """The compiled model of gymnasium's file. TaskError where the installed MuJoCo cannot read it."""
    spec = importlib.util.find_spec("gymnasium")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "envs" / "mujoco" / "assets" / file
    warn = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)  # else half_cheetah.xml's old attribute leaves a log file here
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise TaskError(
            f"MuJoCo {mujoco.__version__} cannot read {file} of gymnasium {version('gymnasium')} ({error}); "
            "gymnasium 1.0 or later goes with every MuJoCo from 2.3.3 on, and MuJoCo 2.3.3 with every gymnasium: "
            "pip install 'gymnasium>=1.0', or pip install mujoco==2.3.3"
        ) from error
    finally:
        mujoco.set_mju_user_warning(warn)
    model.light_castshadow[0] = False
    model.vis.global_.offwidth = model.vis.global_.offheight = 480
    return model
