"""Many environments of one task behind Gymnasium's vector interface, stepped by threads or worker processes."""

from __future__ import annotations

import itertools
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.util import Finalize
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from pyslsac.data.spec import Spec
from pyslsac.envs.errors import TaskError
from pyslsac.envs.group import Board, InProcess, Sizes
from pyslsac.envs.single import FloatArray, env_seeds
from pyslsac.envs.worker import Worker

_AUTORESET = getattr(gymnasium.vector, "AutoresetMode", None)  # since gymnasium 1.1
Transition = tuple[FloatArray, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
AUTORESETS = {"same_step": "SameStep", "next_step": "NextStep"}  # our names and gymnasium's
_SHARED_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None


class VectorEnv(gymnasium.vector.VectorEnv):
    """n environments, which one member of a crew or several step: hire(first, count) makes one; `apart`: in processes.

    With autoreset "same_step" an environment whose episode ends is reset in the same step: `obs` is then the new
    episode's first observation, and info["final_obs"] [n, S] is the true next observation of *every* transition, with
    the mask info["_final_obs"] [n] of ended episodes. With "next_step" `obs` is the last observation of an ended
    episode, and the next step, whose action does nothing and whose reward and cost are 0, returns the new episode's
    first. info["cost"] [n] is the step's cost. Observations are float32, actions in [-1, 1]. No number depends on the
    crew.
    """

    def __init__(
        self,
        hire: Callable[[int, int], Worker | InProcess],
        *,
        seeds: Sequence[int],
        members: int = 1,
        apart: bool = False,
        autoreset: str = "same_step",
    ) -> None:
        if autoreset not in AUTORESETS:
            raise TaskError(f"autoreset is {autoreset!r}, wanted one of {', '.join(AUTORESETS)}")
        n = self.num_envs = len(seeds)
        self.metadata = {"autoreset_mode": getattr(_AUTORESET, autoreset.upper(), AUTORESETS[autoreset])}
        self._same_step = autoreset == "same_step"
        self.is_vector_env, self.closed, self.viewer = True, False, None
        self._seeds, self._started, self._in_flight = [int(seed) for seed in seeds], False, False
        self._crew: list[Worker | InProcess] = []
        self._stop = Finalize(self, _stop, args=(self._crew,), exitpriority=100)
        self._slices = [slice(n * m // members, n * (m + 1) // members) for m in range(members)]
        for part in self._slices:
            self._crew.append(hire(part.start, part.stop - part.start))
        sizes: Sizes = self._answers()[0]
        self._board = self._share(sizes) if apart else self._keep(sizes)
        self.spec_ = Spec(sizes.obs_dim, sizes.act_dim, sizes.horizon)
        self.single_observation_space = spaces.Box(sizes.obs_low, sizes.obs_high, dtype=np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (sizes.act_dim,), np.float32)
        self.task_action_space = spaces.Box(sizes.act_low, sizes.act_high, dtype=np.float32)  # what [-1, 1] stands for
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._past = np.zeros((n, sizes.horizon, sizes.act_dim), np.float32)  # actions since each episode's start
        self._age = np.zeros(n, np.int64)  # how many
        self._rows, self._everywhere = np.arange(n), np.ones(n, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """First observations [n, S]. With a seed: episode 0 of that seed; without: each environment's next episode."""
        self._quiet("reset")
        if seed is not None:
            self._seeds = env_seeds(seed, self.num_envs)
        if seed is not None or not self._started:
            self._orders("reset", [(self._seeds[part],) for part in self._slices])
        else:
            self._orders("reset", [()] * len(self._crew))
        self._started = True
        self._age[:] = 0
        self._board.held[:] = False
        return self._board.obs.copy(), {}

    def step(self, actions: Any) -> Transition:  # type: ignore[override]  # gymnasium 0.28 types one environment's step
        """step_async and step_wait in one."""
        self._launch(actions, "run")
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Let the environments take `actions` [n, A]; `step_wait` brings what follows."""
        self._launch(actions, "step")

    def _launch(self, actions: Any, order: str) -> None:
        self._quiet("step")
        if not self._started:
            raise RuntimeError("reset the environments before the first step")
        actions = np.asarray(actions, np.float32)
        if actions.shape != self._board.action.shape:
            raise ValueError(f"actions: got shape {actions.shape}, wanted {self._board.action.shape}")
        if math.isnan(np.vdot(actions, actions)):  # in one operation: some action is
            raise ValueError("actions: got NaN, which a simulator would take for anything; wanted numbers in [-1, 1]")
        self._board.action[:] = actions
        self._in_flight = True
        self._tell([(order,)] * len(self._crew))

    def step_wait(self, **_: Any) -> Transition:
        """obs [n, S], reward [n], terminated [n], truncated [n], info; the class's docstring says what is in info."""
        if not self._in_flight:
            raise RuntimeError("step_wait without step_async")
        self._in_flight = False
        self._answers()
        board = self._board
        ended = board.terminated | board.truncated
        self._past[self._rows, self._age] = board.action
        self._age += 1
        self._age[ended | board.held] = 0
        reward, terminated, truncated = board.reward.copy(), board.terminated.copy(), board.truncated.copy()
        info: dict[str, Any] = {"cost": board.cost.copy(), "_cost": self._everywhere.copy()}
        if self._same_step:
            info |= {"final_obs": board.final_obs.copy(), "_final_obs": ended}
            return board.obs.copy(), reward, terminated, truncated, info
        obs = board.final_obs.copy()
        board.held[:] = ended
        return obs, reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Any]:
        """All that names the present state: seeds [n], episode numbers [n], actions since, observations [n, S]."""
        self._quiet("state_dict")
        return {
            "seed": list(self._seeds),
            "episode": self._board.episode.tolist(),
            "actions": [past[:age].copy() for past, age in zip(self._past, self._age, strict=True)],  # n of [T, A]
            "obs": self._board.obs.copy(),
            "held": self._board.held.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Live every environment's episode again up to the saved step: observations [n, S], and which came back [n].

        An environment whose last observation is not the saved one, bit for bit, begins a new episode instead.
        """
        self._quiet("load_state_dict")
        obs = np.asarray(state["obs"], np.float32)
        if obs.shape != self._board.obs.shape:
            raise ValueError(f"state: its observations are {obs.shape}, these environments' {self._board.obs.shape}")
        self._seeds = [int(seed) for seed in state["seed"]]
        episodes = [int(episode) for episode in state["episode"]]
        actions = [np.asarray(past, np.float32) for past in state["actions"]]
        self._board.obs[:] = obs
        self._board.held[:] = False
        answers = self._orders("replay", [(self._seeds[p], episodes[p], actions[p]) for p in self._slices])
        came_back = np.array(list(itertools.chain.from_iterable(answers)), np.bool_)
        self._age[:] = 0
        for i in np.flatnonzero(came_back):
            self._age[i] = len(actions[i])
            self._past[i, : len(actions[i])] = actions[i]
        self._board.held[:] = came_back & state.get("held", False)
        self._started = True
        return self._board.obs.copy(), came_back

    def __enter__(self) -> VectorEnv:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close_extras(self, **_: Any) -> None:
        """End the threads or worker processes."""
        self._stop()

    def _quiet(self, what: str) -> None:
        if self.closed:
            raise RuntimeError(f"{what}: the environments are closed")
        if self._in_flight:
            raise RuntimeError(f"{what}: a step is under way; call step_wait first")

    def _orders(self, method: str, args: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._tell([(method, *own) for own in args])
        return self._answers()

    def _tell(self, orders: Sequence[tuple[Any, ...]]) -> None:
        try:
            for member, order in zip(self._crew, orders, strict=True):
                member.order(*order)
        except BaseException:  # after an error, or Ctrl-C, in the midst of a step nobody knows where they are
            self.close()
            raise

    def _answers(self) -> list[Any]:
        """Every member's answer; the first error is raised when all have answered."""
        answers, errors = [], []
        try:
            for member in self._crew:
                try:
                    answers.append(member.answer())
                except Exception as error:
                    errors.append(error)
            if errors:
                raise errors[0]
        except BaseException:
            self.close()
            raise
        return answers

    def _share(self, sizes: Sizes) -> Board:
        """A board in memory that every worker maps; the file behind it has no name left when this returns."""
        n = self.num_envs
        with tempfile.NamedTemporaryFile(prefix="pyslsac-", dir=_SHARED_FOLDER) as file:
            file.truncate(Board.nbytes(n, sizes))
            self._orders("bind", [(file.name, n)] * len(self._crew))
            return Board.over(mmap.mmap(file.fileno(), 0), n, sizes)

    def _keep(self, sizes: Sizes) -> Board:
        memory = bytearray(Board.nbytes(self.num_envs, sizes))
        self._orders("bind", [(memory, self.num_envs)])
        return Board.over(memory, self.num_envs, sizes)


def _stop(crew: list[Worker | InProcess]) -> None:
    for member in crew:
        member.order("close")
    for member in crew:
        member.join()
