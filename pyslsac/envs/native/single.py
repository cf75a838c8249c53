"""One environment behind Gymnasium's interface: what gymnasium.make("pyslsac/<task>") returns."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pyslsac.envs.native import tasks

Array = NDArray[np.float64]


class NativeEnv(gymnasium.Env[Array, Array], gymnasium.utils.EzPickle):
    """A task as Safety-Gymnasium has it, with five values a step and the cost in info["cost"].

    Observations are float64 [S], actions in the task's own box [A]. A seed names a sequence of episodes: reset(seed=s)
    begins its first, reset() the next. Equal seeds give equal numbers here and in `make_vec(task, seed=[s, ...])`.
    A copy, and what is unpickled, is a new environment. render_mode: "rgb_array" (an image [height, width, 3] uint8,
    from `camera`) or "human" (MuJoCo's viewer).
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        camera: str | int | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}, wanted None, 'human' or 'rgb_array'")
        gymnasium.utils.EzPickle.__init__(self, task, render_mode, width, height, camera)
        self.task, self.render_mode, self._size, self._camera = task, render_mode, (width, height), camera
        self.fleet = fleet = tasks.make(task, 1, sky=render_mode is not None)
        self.metadata = {**self.metadata, "render_fps": round(1 / (fleet.timestep * fleet.frame_skip))}
        bounds = (fleet.act_low.astype(fleet.act_type), fleet.act_high.astype(fleet.act_type))
        self.observation_space = spaces.Box(fleet.obs_low, fleet.obs_high, dtype=np.float64)
        self.action_space = spaces.Box(*bounds, dtype=fleet.act_type)
        self._seed: int | None = None
        self._over = True
        self._screen: Any = None

    @property
    def model(self) -> Any:
        """The running mujoco.MjModel."""
        return self.fleet.models[0]

    @property
    def data(self) -> Any:
        """The running mujoco.MjData."""
        return self.fleet.datas[0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The first observation of the seed's first episode, or of the next one."""
        super().reset(seed=seed)
        episode = 0
        if seed is not None:
            self._seed = seed
        elif self._seed is None:
            self._seed = int(self.np_random.integers(2**62))
        else:
            episode = int(self.fleet.streams.episode[0]) + 1
        obs = self.fleet.reset([0], [self._seed], [episode])[0]
        self._over = False
        if self.render_mode == "human":
            self.render()
        return obs, {"cost": 0.0}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated, info with the step's cost."""
        if self._over:
            raise RuntimeError("there is no episode to step: reset the environment first")
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"action: got shape {action.shape}, wanted {self.action_space.shape}")
        if not np.issubdtype(action.dtype, np.floating):
            action = action.astype(np.float64)
        if np.isnan(action).any():
            raise ValueError(f"action: got {action}, wanted numbers; the simulator would take NaN for anything")
        self._over = True  # unless the step comes to its end
        outcome = self.fleet.step(action[None])
        if self.render_mode == "human":
            self.render()
        flags = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        self._over = any(flags)
        return outcome.obs[0], float(outcome.reward[0]), *flags, {"cost": float(outcome.cost[0])}

    def render(self) -> Any:
        """The image of "rgb_array"; None after showing the state in "human"."""
        from pyslsac.envs.native import render

        if self.render_mode is None:
            raise RuntimeError("nothing to render: make the environment with render_mode='rgb_array' or 'human'")
        if self.render_mode == "human":
            self._screen = self._screen or render.Window(self.model, self._camera)
            self._screen.show(self.data)
            return None
        self._screen = self._screen or render.Camera(self.model, *self._size, self._camera)
        return self._screen.picture(self.data)

    def close(self) -> None:
        """Let go of the window and of the drawing context."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None
        self.fleet.close()
