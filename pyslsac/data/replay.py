"""Replay: the last `capacity` transitions of R runs, one row a transition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyslsac.data.batch import Batch, NStepBatch
from pyslsac.data.spec import Spec


class Replay:
    """A ring of rows [obs | action | reward | cost | next_obs | terminated | ended], float32, as many in every run.

    `ended` marks the last transition of an episode, cut off or terminated: sums over several steps stop there.
    Minibatches are drawn uniformly with replacement, or without it in a pass over everything. Draw k of run r is a pure
    function of (seeds[r], k, size), so a run draws the same rows whether it trains alone or beside others, and a
    resumed run goes on where it stopped.
    """

    def __init__(
        self,
        spec: Spec,
        capacity: int,
        runs: int = 1,
        *,
        seeds: Sequence[int] = (0,),
        device: torch.device | str = "cpu",
    ) -> None:
        if capacity < 1:
            raise ValueError(f"Replay: capacity is {capacity}, wanted at least 1")
        if len(seeds) != runs:
            raise ValueError(f"Replay: {len(seeds)} seeds for {runs} runs; give one seed per run")
        self.spec, self.capacity, self.seeds = spec, capacity, [int(seed) for seed in seeds]
        self.widths = (spec.obs_dim, spec.act_dim, 1, 1, spec.obs_dim, 1, 1)
        self.rows = torch.empty(runs, capacity, sum(self.widths), device=device)  # [R, capacity, row]
        self.added = 0  # transitions ever added, per run
        self.draws = 0  # minibatches, or passes, ever drawn
        self.stride = 1  # transitions from one of an environment to its next

    @property
    def size(self) -> int:
        """Transitions held, per run."""
        return min(self.added, self.capacity)

    @property
    def runs(self) -> int:
        return self.rows.shape[0]

    def add(
        self, obs: Any, action: Any, reward: Any, cost: Any, next_obs: Any, terminated: Any, ended: Any = None
    ) -> None:
        """Append one transition of each of n environments to every run (arrays or tensors).

        obs and next_obs [R, n, S], action [R, n, A], the rest [R, n]; without `ended` episodes end as they terminate.
        """
        values = obs, action, reward, cost, next_obs, terminated, terminated if ended is None else ended
        parts = [np.asarray(v.cpu() if isinstance(v, Tensor) else v, np.float32) for v in values]
        rows = torch.from_numpy(np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], axis=-1))
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            raise ValueError(f"Replay.add: got rows {list(rows.shape)}, wanted [{self.runs}, n, {self.rows.shape[-1]}]")
        self._write(self.added, rows.to(self.rows.device))
        self.added += rows.shape[1]
        self.stride = rows.shape[1]

    def cut(self, lost: Any) -> None:
        """The environments marked in lost [R, n] begin new episodes, although their last transition ended none."""
        newest = torch.arange(self.added - self.stride, self.added, device=self.rows.device) % self.capacity
        ended = self.rows[:, newest, -1]  # [R, n]
        self.rows[:, newest, -1] = torch.where(torch.as_tensor(lost, device=ended.device), 1.0, ended)

    def sample(self, batch_size: int, cost_steps: int = 1) -> Batch:
        """A minibatch of `batch_size` rows for every run, with the costs of `cost_steps` steps from each on."""
        if self.size == 0:
            raise RuntimeError("Replay.sample: the replay is empty; add transitions first")
        index = np.stack([self._random(seed).integers(self.size, size=batch_size) for seed in self.seeds])  # [R, B]
        self.draws += 1
        return self._batch(torch.from_numpy(index), cost_steps)

    def sweep(self, batch_size: int, cost_steps: int = 1) -> Iterator[Batch]:
        """One pass in random order: minibatches of `batch_size` rows, each row at most once; a rest is left out."""
        index = torch.from_numpy(np.stack([self._random(seed).permutation(self.size) for seed in self.seeds]))
        self.draws += 1
        for part in index.split(batch_size, dim=1):
            if part.shape[1] == min(batch_size, self.size):
                yield self._batch(part, cost_steps)

    def _batch(self, index: Tensor, cost_steps: int) -> Batch:
        """The rows at `index` [R, B]."""
        index = index.to(self.rows.device)
        obs, action, reward, cost, next_obs, terminated, ended = self._at(index)
        one = obs, action, reward.squeeze(-1), cost.squeeze(-1), next_obs, terminated.squeeze(-1)
        if cost_steps == 1:
            return Batch(*one)
        number = self.added - 1 - (self.added - 1 - index) % self.capacity  # of the transition, since the first
        costs, steps = [one[3]], torch.ones_like(one[3])
        tail_obs, tail_terminated, going = next_obs, one[5], ended.squeeze(-1) == 0
        for _ in range(cost_steps - 1):
            number = number + self.stride
            going = going & (number < self.added)
            _, _, _, cost, next_obs, terminated, ended = self._at(number % self.capacity)  # idle where not going
            costs.append(torch.where(going, cost.squeeze(-1), 0.0))
            steps = steps + going
            tail_obs = torch.where(going.unsqueeze(-1), next_obs, tail_obs)
            tail_terminated = torch.where(going, terminated.squeeze(-1), tail_terminated)
            going = going & (ended.squeeze(-1) == 0)
        return NStepBatch(*one, torch.stack(costs, -1), steps, tail_obs, tail_terminated)

    def _at(self, index: Tensor) -> tuple[Tensor, ...]:
        """The columns [R, B, width] of the rows at `index` [R, B]."""
        first = torch.arange(0, self.runs * self.capacity, self.capacity, device=index.device).unsqueeze(1)
        rows = self.rows.flatten(0, 1).index_select(0, (first + index).flatten())  # several times as fast as rows[...]
        return rows.unflatten(0, index.shape).split(self.widths, dim=-1)

    def select(self, keep: Sequence[int]) -> Replay:
        """The replay of the runs `keep` alone."""
        kept = Replay.__new__(Replay)
        kept.__dict__.update(self.__dict__, rows=self.rows[list(keep)], seeds=[self.seeds[r] for r in keep])
        return kept

    def state_dict(self, since: int = 0) -> dict[str, Any]:
        """Counters, and the rows [R, k, row] numbered `since`..`added` (those still held), oldest first."""
        first = max(since, self.added - self.capacity)
        index = torch.arange(first, self.added, device=self.rows.device) % self.capacity
        counters = {"added": self.added, "draws": self.draws, "stride": self.stride}
        return counters | {"since": first, "rows": self.rows[:, index].cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take one `state_dict` back; several that continue one another may be loaded in their order."""
        rows = state["rows"]
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            wanted = f"[{self.runs}, k, {self.rows.shape[-1]}]"
            raise ValueError(f"Replay: saved rows are {list(rows.shape)}, wanted {wanted}: another task or other runs")
        self._write(state["since"], rows.to(self.rows.device))
        self.added, self.draws, self.stride = state["added"], state["draws"], state["stride"]

    def _write(self, first: int, rows: Tensor) -> None:
        first += max(0, rows.shape[1] - self.capacity)
        rows, start = rows[:, -self.capacity :], first % self.capacity
        whole = min(rows.shape[1], self.capacity - start)  # as many as lie before the ring's end
        self.rows[:, start : start + whole] = rows[:, :whole]
        if whole < rows.shape[1]:
            self.rows[:, : rows.shape[1] - whole] = rows[:, whole:]

    def _random(self, seed: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=seed & (2**64 - 1), counter=self.draws << 64))
