"""The steps of navigation worlds' physics: what the release computes, bit for bit, without what nobody reads.

After a step the release evaluates the dynamics three times, at a reset four times, with a goal five, and twice more
where a goal is renewed. Before MuJoCo 3.3.6 that changes the last digits of the accelerometer and of the next step, for
the constraint solver starts from its own last result; so it is done here too, but for what would repeat itself.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout

from pyslsac.envs.native.simulation import Array

RESTARTS = tuple(int(part) for part in re.findall(r"\d+", mujoco.__version__)[:3]) < (3, 3, 6)
TAKES_MOCAPS = "mocap" in inspect.signature(rollout.rollout).parameters  # in MuJoCo 3.1 it went
SENSORS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
AFTER_VELOCITY = int(mujoco.mjtStage.mjSTAGE_VEL)  # what then follows: forces, accelerations, their sensors


class Physics:
    """Steps of `frame_skip` physics steps. `path` [T, 7 mocaps]: where led bodies are at each physics step of an
    episode, the places of all, then their quaternions.
    """

    def __init__(self, models: Sequence[Any], datas: Sequence[Any], frame_skip: int, path: Array | None) -> None:
        self.models, self.datas, self.frame_skip, self.path = models, datas, frame_skip, path
        self._options = [model.opt for model in models]
        self._sighted = models[0].opt.disableflags
        self._blind = self._sighted | SENSORS
        self._turning = models[0].nq > models[0].nv  # there are quaternions
        self._timestep = float(models[0].opt.timestep)
        self._moments = [(data.qpos, data.qvel, data.qacc_warmstart[None], data.ctrl[None, None]) for data in datas]

    def step(self, row: int) -> None:
        """The physics steps alone; what is derived of the new state, `evaluate` tells."""
        data, option = self.datas[row], self._options[row]
        option.disableflags = self._blind  # nobody reads in between what the sensors say
        try:
            if self.path is None:
                mujoco.mj_step(self.models[row], data, self.frame_skip)
            else:
                first = round(data.time / self._timestep)
                self._lead(row, self.path[first : first + self.frame_skip])
        finally:
            option.disableflags = self._sighted

    def evaluate(self, row: int, times: int) -> None:
        """What `times` mj_forward come to."""
        mujoco.mj_forward(self.models[row], self.datas[row])
        self.repeat(row, times - 1)

    def repeat(self, row: int, times: int) -> None:
        """What `times` more mj_forward come to, when nothing has changed since the last.

        All but the solver's result would repeat itself, unless the normalisation of quaternions in qpos, with which
        mj_forward begins, still changes a digit. Without constraints there is nothing to solve.
        """
        model, data, turning = self.models[row], self.datas[row], self._turning
        if not RESTARTS or (data.nefc == 0 and not turning):
            return
        for left in reversed(range(times)):
            if turning:
                qpos = data.qpos
                normal = qpos.copy()
                mujoco.mj_normalizeQuat(model, normal)
                turning = normal.tobytes() != qpos.tobytes()
            if turning:
                mujoco.mj_forward(model, data)
            elif left:
                mujoco.mj_fwdConstraint(model, data)
            else:
                mujoco.mj_forwardSkip(model, data, AFTER_VELOCITY, 0)

    def _lead(self, row: int, path: Array) -> None:
        """A physics step for each row of `path`. MuJoCo's own loop, where it takes led bodies along, is faster."""
        model, data = self.models[row], self.datas[row]
        if TAKES_MOCAPS:
            qpos, qvel, warm, ctrl = self._moments[row]
            state, time = np.concatenate((qpos, qvel))[None], np.array([[data.time]])
            start = {"initial_state": state, "initial_time": time, "initial_warmstart": warm}
            force = {"ctrl": np.repeat(ctrl, len(path), axis=1), "mocap": path[None]}
            rollout.rollout(model, data, skip_checks=True, nstate=1, nstep=len(path), **start, **force)
            return
        led = data.mocap_pos
        for places in path[:, : led.size].reshape(-1, *led.shape):
            led[:] = places
            mujoco.mj_step(model, data)


def circle(radius: float, height: float, timestep: float, steps: int, mocaps: int) -> Array:
    """A path: all led bodies at radius · (sin t, cos t) at time t, unturned."""
    time = np.cumsum([0.0, *[timestep] * steps])  # added up as MuJoCo does
    place = np.stack([np.sin(time) * radius, np.cos(time) * radius, np.full(time.size, height)], axis=1)
    unturned = np.tile([1.0, 0.0, 0.0, 0.0], (time.size, mocaps))
    return np.concatenate([np.tile(place, mocaps), unturned], axis=1)
