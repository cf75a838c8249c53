"""Replay: the last `capacity` transitions of R runs, one row a transition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyslsac.data.batch import Batch, Columns, NStepBatch
from pyslsac.data.spec import Spec
from pyslsac.ops import philox_integers

Device = torch.device | str
SCALARS = (2, 3, 5, 6)  # columns of one number: reward, cost, terminated, ended
DRAWS = (1 << 32) - 1  # noise stream; agents' streams end far below


class Replay:
    """A ring of rows [obs | action | reward | cost | next_obs | terminated | ended], float32, as many in every run.

    `ended` marks the last transition of an episode, cut off or terminated: sums over several steps stop there.
    Minibatches are drawn uniformly with replacement, or without it in a pass over everything. Draw k of run r is a pure
    function of (seeds[r], k, size): the same on every device, alone or beside others, and after a restart. `sample` may
    be recorded (train/graph.py): what changes it reads from tensors that keep their place.
    """

    def __init__(
        self, spec: Spec, capacity: int, runs: int = 1, *, seeds: Sequence[int] = (0,), device: Device = "cpu"
    ) -> None:
        if capacity < 1:
            raise ValueError(f"Replay: capacity is {capacity}, wanted at least 1")
        if len(seeds) != runs:
            raise ValueError(f"Replay: {len(seeds)} seeds for {runs} runs; give one seed per run")
        self.spec, self.capacity = spec, capacity
        self.widths = (spec.obs_dim, spec.act_dim, 1, 1, spec.obs_dim, 1, 1)
        self.rows = torch.empty(runs, capacity, sum(self.widths), device=device)  # [R, capacity, row]
        self.added = 0  # transitions ever added, per run
        self.count = torch.zeros(1, dtype=torch.int64, device=device)  # the same, where a graph sees it
        self.draws = torch.zeros_like(self.count)  # minibatches, or passes, ever drawn
        bits = np.array([int(seed) & (2**64 - 1) for seed in seeds], np.uint64).view(np.int64)
        self.seeds = torch.from_numpy(bits).to(device)  # [R]
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
        """Append a transition of each of n environments to every run: obs and next_obs [R, n, S], action [R, n, A], the
        rest [R, n]; arrays or tensors. Without `ended` episodes end as they terminate."""
        values = obs, action, reward, cost, next_obs, terminated, terminated if ended is None else ended
        parts = [np.asarray(v.cpu() if isinstance(v, Tensor) else v, np.float32) for v in values]
        rows = torch.from_numpy(np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], axis=-1))
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            raise ValueError(f"Replay.add: got rows {list(rows.shape)}, wanted [{self.runs}, n, {self.rows.shape[-1]}]")
        self._write(self.added, rows.to(self.rows.device))
        self.stride = rows.shape[1]
        self.added += self.stride
        self.count += self.stride

    def cut(self, lost: Any) -> None:
        """The environments marked in lost [R, n] begin new episodes, although their last transition ended none."""
        newest = torch.arange(self.added - self.stride, self.added, device=self.rows.device) % self.capacity
        ended = self.rows[:, newest, -1]  # [R, n]
        self.rows[:, newest, -1] = torch.where(torch.as_tensor(lost, device=ended.device), 1.0, ended)

    def sample(self, batch_size: int, cost_steps: int = 1) -> Batch:
        """A minibatch of `batch_size` rows for every run, with the costs of `cost_steps` steps from each on."""
        if self.size == 0:
            raise RuntimeError("Replay.sample: the replay is empty; add transitions first")
        return self.batch(self._draw(batch_size, self.count.clamp(max=self.capacity)), cost_steps)

    def sweep(self, batch_size: int) -> Iterator[Tensor]:
        """One pass in random order: places [R, B] for `batch`, each row at most once; a rest is left out."""
        order = self._draw(self.size, 2**31).argsort(dim=1, stable=True)
        return (part for part in order.split(batch_size, dim=1) if part.shape[1] == min(batch_size, self.size))

    def _draw(self, count: int, high: int | Tensor) -> Tensor:
        """One more draw: integers [R, count] below `high`."""
        drawn = philox_integers(self.runs, count, high, self.seeds, self.draws, stream=DRAWS, device=self.count.device)
        self.draws += 1
        return drawn

    def batch(self, index: Tensor, cost_steps: int = 1) -> Batch:
        """The rows at the places `index` [R, B]."""
        columns = self._at(index)
        if cost_steps == 1:
            return Batch(*columns[0])
        last = self.count - 1
        number = last - (last - index) % self.capacity  # of the transition, since the first

        def later(steps: int) -> tuple[Columns, Tensor]:
            there = number + steps * self.stride
            return self._at(there % self.capacity), there <= last

        return NStepBatch.gathered(columns, later, cost_steps)

    def _at(self, index: Tensor) -> Columns:
        """The rows at `index` [R, B]."""
        first = torch.arange(0, self.runs * self.capacity, self.capacity, device=index.device).unsqueeze(1)
        rows = self.rows.flatten(0, 1).index_select(0, (first + index).flatten())  # several times as fast as rows[...]
        columns = rows.unflatten(0, index.shape).split(self.widths, dim=-1)
        *one, ended = (c.squeeze(-1) if i in SCALARS else c for i, c in enumerate(columns))
        return one, ended

    def select(self, keep: Sequence[int]) -> Replay:
        """The replay of the runs `keep` alone."""
        kept = Replay.__new__(Replay)
        places = dict(count=self.count.clone(), draws=self.draws.clone())
        kept.__dict__.update(self.__dict__, rows=self.rows[list(keep)], seeds=self.seeds[list(keep)], **places)
        return kept

    def counters(self) -> dict[str, int]:
        """How much was ever added and drawn."""
        return {"added": self.added, "draws": int(self.draws), "stride": self.stride}

    def state_dict(self, since: int = 0) -> dict[str, Any]:
        """Counters, and the rows [R, k, row] numbered `since`..`added` (those still held), oldest first."""
        first = max(since, self.added - self.capacity)
        index = torch.arange(first, self.added, device=self.rows.device) % self.capacity
        return self.counters() | {"since": first, "rows": self.rows[:, index].cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take one `state_dict` back; several that continue one another may be loaded in their order."""
        rows = state["rows"]
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            wanted = f"[{self.runs}, k, {self.rows.shape[-1]}]: another task or other runs"
            raise ValueError(f"Replay: saved rows are {list(rows.shape)}, wanted {wanted}")
        self._write(state["since"], rows.to(self.rows.device))
        self.added, self.stride = state["added"], state["stride"]
        self.count.fill_(self.added)
        self.draws.fill_(state["draws"])

    def _write(self, first: int, rows: Tensor) -> None:
        first += max(0, rows.shape[1] - self.capacity)
        rows, start = rows[:, -self.capacity :], first % self.capacity
        whole = min(rows.shape[1], self.capacity - start)  # as many as lie before the ring's end
        self.rows[:, start : start + whole] = rows[:, :whole]
        if whole < rows.shape[1]:
            self.rows[:, : rows.shape[1] - whole] = rows[:, whole:]
