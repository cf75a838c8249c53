"""Many environments of one task behind Gymnasium's vector interface, stepped by worker processes."""

from __future__ import annotations

import itertools
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
from pyslsac.envs.group import Board, InProcess, Sizes
from pyslsac.envs.single import FloatArray, Single, env_seeds
from pyslsac.envs.worker import Worker

_AUTORESET = getattr(gymnasium.vector, "AutoresetMode", None)  # since gymnasium 1.1
Transition = tuple[FloatArray, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
_SHARED_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None


class VectorEnv(gymnasium.vector.VectorEnv):
    """n environments that `make` makes, in `workers` processes (0: in this one); no number depends on how many.

    An environment whose episode ends is reset in the same step: `obs` is then the new episode's first observation, and
    info["final_obs"] [n, S] is the true next observation of *every* transition, with the mask info["_final_obs"] [n]
    of ended episodes. info["cost"] [n] is the step's cost. Observations are float32, actions in [-1, 1].
    """

    metadata: dict[str, Any] = {"autoreset_mode": _AUTORESET.SAME_STEP} if _AUTORESET else {}

    def __init__(self, make: Callable[[], Single], *, seeds: Sequence[int], workers: int) -> None:
        n = self.num_envs = len(seeds)
        self.is_vector_env, self.closed, self.viewer = True, False, None
        self._seeds, self._started, self._in_flight = [int(seed) for seed in seeds], False, False
        self._crew: list[Worker | InProcess] = []
        self._stop = Finalize(self, _stop, args=(self._crew,), exitpriority=100)
        self._slices = [slice(n * w // max(workers, 1), n * (w + 1) // max(workers, 1)) for w in range(max(workers, 1))]
        for part in self._slices:
            self._crew.append((Worker if workers else InProcess)(make, part.start, part.stop - part.start))
        sizes: Sizes = self._answers()[0]
        self._board = self._share(sizes) if workers else self._keep(sizes)
        self.spec_ = Spec(sizes.obs_dim, sizes.act_dim, sizes.horizon)
        self.single_observation_space = spaces.Box(sizes.obs_low, sizes.obs_high, dtype=np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (sizes.act_dim,), np.float32)
        self.task_action_space = spaces.Box(sizes.act_low, sizes.act_high, dtype=np.float32)  # what [-1, 1] stands for
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._past = np.zeros((n, sizes.horizon, sizes.act_dim), np.float32)  # actions since each episode's start
        self._age = np.zeros(n, np.int64)  # how many

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
        return self._board.obs.copy(), {}

    def step(self, actions: Any) -> Transition:  # type: ignore[override]  # gymnasium 0.28 types one environment's step
        """step_async and step_wait in one."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Let the environments take `actions` [n, A]; `step_wait` brings what follows."""
        self._quiet("step_async")
        if not self._started:
            raise RuntimeError("reset the environments before the first step")
        actions = np.asarray(actions, np.float32)
        if actions.shape != self._board.action.shape:
            raise ValueError(f"actions: got shape {actions.shape}, wanted {self._board.action.shape}")
        self._board.action[:] = actions
        for member in self._crew:
            member.order("step")
        self._in_flight = True

    def step_wait(self, **_: Any) -> Transition:
        """obs [n, S], reward [n], terminated [n], truncated [n], info; the class's docstring says what is in info."""
        if not self._in_flight:
            raise RuntimeError("step_wait without step_async")
        self._in_flight = False
        self._answers()
        board = self._board
        ended = board.terminated | board.truncated
        self._past[np.arange(self.num_envs), self._age] = board.action
        self._age = np.where(ended, 0, self._age + 1)
        info = {"cost": board.cost.copy(), "final_obs": board.final_obs.copy(), "_final_obs": ended}
        return board.obs.copy(), board.reward.copy(), board.terminated.copy(), board.truncated.copy(), info

    def state_dict(self) -> dict[str, Any]:
        """All that names the present state: seeds [n], episode numbers [n], actions since, observations [n, S]."""
        self._quiet("state_dict")
        return {
            "seed": list(self._seeds),
            "episode": self._board.episode.tolist(),
            "actions": [past[:age].copy() for past, age in zip(self._past, self._age, strict=True)],  # n of [T, A]
            "obs": self._board.obs.copy(),
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
        answers = self._orders("replay", [(self._seeds[p], episodes[p], actions[p]) for p in self._slices])
        came_back = np.array(list(itertools.chain.from_iterable(answers)), np.bool_)
        self._age[:] = 0
        for i in np.flatnonzero(came_back):
            self._age[i] = len(actions[i])
            self._past[i, : len(actions[i])] = actions[i]
        self._started = True
        return self._board.obs.copy(), came_back

    def close_extras(self, **_: Any) -> None:
        """End the worker processes."""
        self._stop()

    def _quiet(self, what: str) -> None:
        if self.closed:
            raise RuntimeError(f"{what}: the environments are closed")
        if self._in_flight:
            raise RuntimeError(f"{what}: a step is under way; call step_wait first")

    def _orders(self, method: str, args: Sequence[tuple[Any, ...]]) -> list[Any]:
        for member, own in zip(self._crew, args, strict=True):
            member.order(method, *own)
        return self._answers()

    def _answers(self) -> list[Any]:
        """Every member's answer; the first error is raised when all have answered."""
        answers, errors = [], []
        for member in self._crew:
            try:
                answers.append(member.answer())
            except Exception as error:
                errors.append(error)
        if errors:
            self.close()
            raise errors[0]
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
