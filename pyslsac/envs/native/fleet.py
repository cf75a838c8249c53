"""n environments of one task as arrays: what the vector, the single environments and the tests drive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from pyslsac.envs.native.simulation import Array, Field, Pool
from pyslsac.envs.native.streams import Streams

Flags = NDArray[np.bool_]


class Outcome(NamedTuple):
    """What a step came to, in the task's own units."""

    obs: Array  # [n, S]
    reward: Array  # [n]
    cost: Array  # [n]
    terminated: Flags  # [n]
    truncated: Flags  # [n]


class Fleet(ABC):
    """n environments, stepped together and reset one by one.

    A task says how to begin an episode (`_begin`), how to advance some simulations (`_advance`, in the pool's threads)
    and what the step is worth (`_outcome`, array expressions over all n). `models` holds one model each or, where
    nothing in it depends on the episode, n times the same.
    """

    obs_low: Array  # [S]
    obs_high: Array  # [S]
    act_type: type[np.floating[Any]] = np.float64  # of the task's action space

    def __init__(self, models: Sequence[Any], horizon: int, frame_skip: int, workers: int) -> None:
        self.n, self.models, self.horizon, self.frame_skip = len(models), models, horizon, frame_skip
        self.datas = [mujoco.MjData(model) for model in models]
        self.everyone = range(self.n)
        self.streams = Streams(self.n)
        self.age = np.zeros(self.n, np.int64)  # [n] steps since the episode began
        self.timestep = float(models[0].opt.timestep)
        limits = models[0].actuator_ctrlrange.astype(np.float32)
        self.act_low, self.act_high = limits[:, 0], limits[:, 1]  # [A]
        self._ctrl, self._qpos, self._qvel = (self.field(name) for name in ("ctrl", "qpos", "qvel"))
        self._warm = self.field("qacc_warmstart")
        self._pool = Pool(self._work, self.n, workers)
        self._held: Sequence[int] = ()

    def field(self, name: str, part: int | slice = slice(None)) -> Field:
        """MjData's array `name`, or its rows `part`, of every environment."""
        return Field([getattr(data, name)[part] for data in self.datas])

    def reset(self, rows: Sequence[int], seeds: Sequence[int], episodes: Sequence[int]) -> Array:
        """Begin the episodes that (seeds, episodes) name in environments `rows`: first observations [m, S]."""
        rows = [int(row) for row in rows]
        self.streams.begin(rows, seeds, episodes)
        self.age[rows] = 0
        return self._begin(rows)

    def start(self, actions: Array, held: Sequence[int] = ()) -> None:
        """Let the pool advance all environments under actions [n, A]; `finish` must follow.

        Those in `held` stay as they are; they must be at the start of an episode.
        """
        self._order(actions, held)
        self._pool.start()

    def finish(self) -> Outcome:
        """Wait for the pool; what the step came to."""
        self._pool.wait()
        return self._settle()

    def step(self, actions: Array, held: Sequence[int] = ()) -> Outcome:
        """start and finish in one."""
        self._order(actions, held)
        self._pool.run()
        return self._settle()

    def state(self) -> dict[str, Any]:
        """Everything that the future depends on, copied: arrays [n, ...] and the streams' names."""
        mocaps = [data.mocap_pos.copy() for data in self.datas]
        physics = {"qpos": self._qpos.all(), "qvel": self._qvel.all(), "qacc_warmstart": self._warm.all()}
        clock = {"time": np.array([data.time for data in self.datas]), "mocap_pos": np.array(mocaps)}
        names = {"seed": list(self.streams.seeds), "episode": self.streams.episode.copy()}
        own = {name: array.copy() for name, array in self.own().items()}
        return {**physics, **clock, **names, "draw": self.streams.draw.copy(), "age": self.age.copy(), **own}

    def load(self, state: dict[str, Any]) -> None:
        """Go to a state that `state` returned. What MjData derives from it, say positions in space, a step sets."""
        for name, array in {"age": self.age, **self.own()}.items():
            array[:] = state[name]
        self.streams.begin(self.everyone, state["seed"], state["episode"])
        self.streams.draw[:] = state["draw"]
        self._restore()
        for i, data in enumerate(self.datas):
            data.time = float(state["time"][i])
            data.mocap_pos[:] = state["mocap_pos"][i]
        for field, name in ((self._qpos, "qpos"), (self._qvel, "qvel"), (self._warm, "qacc_warmstart")):
            field.write(state[name])

    def close(self) -> None:
        """End the pool's threads."""
        self._pool.close()

    def _order(self, actions: Array, held: Sequence[int]) -> None:
        self._actions, self._held = actions, held
        self._ctrl.write(actions)

    def _work(self, first: int, last: int) -> None:
        rows = range(first, last)
        self._advance([row for row in rows if row not in self._held] if self._held else rows)

    def _settle(self) -> Outcome:
        obs, reward, cost, terminated = self._outcome(self._actions)
        self.age += 1
        if self._held:
            self.age[self._held] -= 1
        return Outcome(obs, reward, cost, terminated, self.age >= self.horizon)

    def _restore(self) -> None:
        """What a task must do to its models before a state's physics is loaded."""
        for model, data in zip(self.models, self.datas, strict=True):
            mujoco.mj_resetData(model, data)

    @abstractmethod
    def own(self) -> dict[str, Any]:
        """The task's own arrays [n, ...] that the future depends on."""

    @abstractmethod
    def _begin(self, rows: list[int]) -> Array: ...

    @abstractmethod
    def _advance(self, rows: Sequence[int]) -> None: ...

    @abstractmethod
    def _outcome(self, actions: Array) -> tuple[Array, Array, Array, Flags]: ...
