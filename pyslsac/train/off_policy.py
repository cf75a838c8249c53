"""The off-policy loop: one vector step of R runs at a time, collection overlapped with updates.

Always in this order: act with the present weights, start the environments, update on the replay as it stands, wait for
the environments, store. What the environments return is therefore learnt from one vector step later, always, however
fast either side is; so a run gives the same numbers on a slow and on a fast machine. `faithful` has the order of the
algorithms' boxes instead, in which nothing overlaps: act, wait, store, update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from pyslsac.data import Replay
from pyslsac.envs import VectorEnv
from pyslsac.train.episodes import Episodes
from pyslsac.train.graph import Acting, Graph, Metrics
from pyslsac.train.meter import Clock, Meter

RANDOM_ACTIONS = 1 << 64  # high half of the Philox key: keeps this stream apart from the replay's


class OffPolicy:
    """R runs in lockstep; environments are ordered by run, `num_envs` for each."""

    def __init__(
        self,
        agent: Any,
        replay: Replay,
        venv: VectorEnv,
        seeds: Sequence[int],
        num_envs: int,
        *,
        eager: bool = False,
        faithful: bool = False,
    ) -> None:
        self.agent, self.replay, self.venv = agent, replay, venv
        self.eager, self.faithful = eager, faithful
        self.learn, self.explore = self._recorded()
        self.config = agent.config
        self.seeds, self.num_envs = list(seeds), num_envs
        self.places = list(range(len(seeds)))  # where each run's environments stand in the vector environment
        self.started = len(seeds)  # runs in the vector environment, dropped ones included
        self.episodes = Episodes(len(seeds), num_envs, self.config.cost_limit)
        self.meter, self.clock = Meter(), Clock()
        self.env_steps = self.updates = 0
        self.obs = np.empty(0, np.float32)  # [R0 n, S]
        self.action = np.zeros((len(seeds), num_envs, replay.spec.act_dim), np.float32)  # the last one taken

    def reset(self) -> None:
        self.obs, _ = self.venv.reset()

    def step(self) -> None:
        """One vector step: `num_envs` environment steps, and the updates they entitle to, for every run."""
        with self.clock.time("Time/Act"):
            obs = self._live(self.obs)  # [R, n, S]
            self.agent.observe(self._tensor(obs))
            self.action = self._act(obs)
            self.venv.step_async(self._all(self.action))
        if not self.faithful:
            self._update(self.env_steps)
        with self.clock.time("Time/Wait"):
            self.obs, reward, terminated, truncated, info = self.venv.step_wait()
        with self.clock.time("Time/Store"):
            reward, cost, ended = self._live(reward), self._live(info["cost"]), self._live(terminated)
            kept = self.agent.stored_cost(torch.from_numpy(cost))
            scaled, done = reward * self.config.reward_scale, ended | self._live(truncated)
            self.replay.add(obs, self.action, scaled, kept, self._live(info["final_obs"]), ended, done)
            for run, total in self.episodes.add(reward, cost, done):
                self.agent.record_episode(run, total)
            self.agent.after_env_steps(self.num_envs)
            self.env_steps += self.num_envs
        if self.faithful:
            self._update(self.env_steps - self.num_envs)

    def _act(self, obs: np.ndarray) -> np.ndarray:
        if self.env_steps < self.config.start_steps:
            return np.stack([self._random(seed) for seed in self.seeds])
        with torch.no_grad():
            return self.explore(self._tensor(obs)).float().cpu().numpy()

    def _tensor(self, obs: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(obs)).to(self.replay.rows.device)

    def _random(self, seed: int) -> np.ndarray:
        bits = np.random.Philox(key=RANDOM_ACTIONS | seed & (2**64 - 1), counter=self.env_steps << 64)
        return np.random.Generator(bits).uniform(-1, 1, self.action.shape[1:]).astype(np.float32)

    def _recorded(self) -> tuple[Graph, Callable[[torch.Tensor], torch.Tensor]]:
        how: Any = dict(read=[self.replay.rows], reason="asked to be eager" if self.eager else "")
        learn = Graph(self.agent, self._learn, moved=lambda: [self.replay.draws, *self.meter.sums.values()], **how)
        return learn, self.agent.act if self.eager else Acting(self.agent)

    def _learn(self, places: torch.Tensor | None) -> Metrics:
        """One update from the transitions at `places` in the replay, or from a draw."""
        replay, size, steps = self.replay, self.config.batch_size, self.config.cost_steps
        self.meter.add(self.agent.update(replay.sample(size, steps) if places is None else replay.batch(places, steps)))
        return {}

    def _update(self, steps: int) -> None:
        with self.clock.time("Time/Update"):
            for places, times in self._due(steps):
                self.learn(places, times)
                self.updates += times

    def _due(self, steps: int) -> Iterator[tuple[torch.Tensor | None, int]]:
        """What to learn from, and how often, in the vector step that `steps` environment steps have gone before.

        Updates are due per environment step after the random ones, and fractions add up over the vector steps; or, with
        iterations, in a pass over the replay whenever one is full.
        """
        config, stored, anything = self.config, self.env_steps, self.replay.size > 0
        if anything and config.iteration_steps:
            if stored // config.iteration_steps > (stored - self.num_envs) // config.iteration_steps:
                yield from ((places, 1) for places in self.replay.sweep(config.batch_size))
        elif anything and steps >= config.start_steps:
            before, rate = steps - config.start_steps, config.updates_per_step
            yield None, int((before + self.num_envs) * rate) - int(before * rate)

    def _live(self, values: np.ndarray) -> np.ndarray:
        """[R0 n, ...] of every environment -> [R, n, ...] of the runs that still train."""
        by_run = values.reshape(self.started, self.num_envs, *values.shape[1:])
        return by_run if len(self.places) == self.started else by_run[self.places]

    def _all(self, action: np.ndarray) -> np.ndarray:
        """[R, n, A] of the runs that still train -> [R0 n, A], finite; a dropped run's environments get zeros."""
        full = np.zeros((self.started, *action.shape[1:]), dtype=np.float32)
        full[self.places] = action if np.isfinite(action).all() else np.nan_to_num(action)  # from a run that failed
        return full.reshape(-1, action.shape[-1])

    def bad_runs(self, *, wait: bool = True) -> dict[int, list[str]]:
        """The runs with a NaN or an infinity in the last action or (awaiting the device) in a metric, and where."""
        bad = self.meter.bad_runs() if wait or self.replay.rows.device.type == "cpu" else {}
        for run in np.nonzero(~np.isfinite(self.action).all(axis=(1, 2)))[0].tolist():
            bad.setdefault(run, []).append("action")
        return bad

    def read(self) -> dict[str, np.ndarray]:
        """The log's columns [R] since the last `read`."""
        values = {name: value.numpy() for name, value in self.meter.read().items()}
        values |= {name: value.double().cpu().numpy() for name, value in self.agent.gauges().items()}
        return values | self.episodes.read(self.env_steps)

    def select(self, keep: Sequence[int]) -> None:
        """Go on with the runs `keep` alone; the others' environments idle."""
        self.agent, self.replay = self.agent.select(list(keep)), self.replay.select(keep)
        self.learn, self.explore = self._recorded()
        self.episodes.select(keep)
        self.meter.select(keep)
        self.action = self.action[list(keep)]
        self.seeds, self.places = ([of[run] for run in keep] for of in (self.seeds, self.places))

    def state_dict(self) -> dict[str, Any]:
        """All but the replay's rows and the environments, stacked by run."""
        return {
            "agent": self.agent.state_dict(),
            "episodes": self.episodes.state_dict(),
            "meter": self.meter.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.agent.load_state_dict(state["agent"])
        self.learn, self.explore = self._recorded()
        self.episodes.load_state_dict(state["episodes"])
        self.meter.load_state_dict(state["meter"], self.replay.rows.device)
        self.env_steps, self.updates = state["env_steps"], state["updates"]

    def env_states(self) -> list[dict[str, Any]]:
        """For each run, its environments' part of the vector environment's state, as lists and tensors."""
        state = self.venv.state_dict()
        parts = [slice(place * self.num_envs, (place + 1) * self.num_envs) for place in self.places]
        return [{name: _plain(values[part]) for name, values in state.items()} for part in parts]

    def load_env_states(self, states: Sequence[dict[str, Any]]) -> list[int]:
        """Bring the environments back; how many of each run's did not come and begin a new episode."""
        if any(len(state["seed"]) != self.num_envs for state in states):
            self.reset()
            self.episodes.running = np.zeros((len(self.seeds), self.num_envs, 3))
            return [0] * len(self.seeds)  # that the number differs is noted already
        joined = {name: [_array(value) for state in states for value in state[name]] for name in states[0]}
        self.obs, came_back = self.venv.load_state_dict(joined)
        lost = ~self._live(came_back)  # [R, n]
        self.episodes.running[lost] = 0.0
        self.replay.cut(lost)
        return lost.sum(axis=1).tolist()


def _plain(values: Any) -> list[Any]:
    return [torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else int(v) for v in values]


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value
