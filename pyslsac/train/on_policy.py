"""The on-policy loop: a rollout of `steps_per_epoch` environment steps under one policy, then one update on all of it.

Every vector step acts, steps the environments and stores; nothing overlaps, for an update needs the whole rollout and
the next one needs the updated policy. The replay has room for one rollout. Its observations are as the policy saw them,
normalised with the moments of that time, and its actions as the policy drew them; environments take them clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyslsac.data import Replay, Rollout
from pyslsac.envs import VectorEnv
from pyslsac.train.off_policy import OffPolicy


class OnPolicy(OffPolicy):
    """One run; its books, its state and what it reports are kept as the off-policy loop keeps them."""

    def __init__(self, agent: Any, replay: Replay, venv: VectorEnv, seeds: Sequence[int], num_envs: int) -> None:
        super().__init__(agent, replay, venv, seeds, num_envs)
        self.collected = 0  # vector steps since the last update

    def step(self) -> None:
        """One vector step, and the update when it completes a rollout."""
        with self.clock.time("Time/Act"):
            obs = self._tensor(self._live(self.obs))  # [R, n, S]
            self.agent.observe(obs)
            seen = self.agent.normalized(obs)
            self.action = self.agent.sample(seen).float().cpu().numpy()
            self.venv.step_async(self._all(np.nan_to_num(self.action.clip(-1, 1))))
        with self.clock.time("Time/Wait"):
            self.obs, reward, terminated, truncated, info = self.venv.step_wait()
        with self.clock.time("Time/Store"):
            reward, cost, terminated = self._live(reward), self._live(info["cost"]), self._live(terminated)
            ended = terminated | self._live(truncated)
            final = self.agent.normalized(self._tensor(self._live(info["final_obs"])))
            self.replay.add(seen, self.action, reward, cost, final, terminated, ended)
            for run, total in self.episodes.add(reward, cost, ended):
                self.agent.record_episode(run, total)
            self.agent.after_env_steps(self.num_envs)
            self.env_steps += self.num_envs
            self.collected += 1
        with self.clock.time("Time/Update"):
            length = self.config.steps_per_epoch
            if self.env_steps // length > (self.env_steps - self.num_envs) // length:
                self.meter.add(self.agent.update(Rollout.latest(self.replay, self.collected)))
                self.updates, self.collected = self.updates + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"collected": self.collected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.collected = state["collected"]

    def load_env_states(self, states: Sequence[dict[str, Any]]) -> list[int]:
        """Bring the environments back; with another number of them the rollout begins anew."""
        if len(states[0]["seed"]) != self.num_envs:
            self.collected = 0
        return super().load_env_states(states)
