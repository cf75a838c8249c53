"""Replay: the last `capacity` transitions of R runs, one row a transition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyslsac.data.batch import Batch
from pyslsac.data.spec import Spec


class Replay:
    """A ring of rows [obs | action | reward | cost | next_obs | terminated], float32, the same length in every run.

    Minibatches are drawn uniformly with replacement. Draw k of run r is a pure function of (seeds[r], k, size), so a
    run draws the same rows whether it trains alone or beside others, and a resumed run goes on where it stopped.
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
        self.widths = (spec.obs_dim, spec.act_dim, 1, 1, spec.obs_dim, 1)
        self.rows = torch.empty(runs, capacity, sum(self.widths), device=device)  # [R, capacity, row]
        self.added = 0  # transitions ever added, per run
        self.draws = 0  # minibatches ever drawn

    @property
    def size(self) -> int:
        """Transitions held, per run."""
        return min(self.added, self.capacity)

    @property
    def runs(self) -> int:
        return self.rows.shape[0]

    def add(self, obs: Any, action: Any, reward: Any, cost: Any, next_obs: Any, terminated: Any) -> None:
        """Append n transitions to every run: obs [R, n, S], action [R, n, A], the rest [R, n] (arrays or tensors)."""
        device = self.rows.device
        values = (obs, action, reward, cost, next_obs, terminated)
        parts = [torch.as_tensor(value, dtype=torch.float32, device=device) for value in values]
        rows = torch.cat([p if p.dim() == 3 else p.unsqueeze(-1) for p in parts], dim=-1)  # [R, n, row]
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            raise ValueError(f"Replay.add: got rows {list(rows.shape)}, wanted [{self.runs}, n, {self.rows.shape[-1]}]")
        self._write(self.added, rows)
        self.added += rows.shape[1]

    def sample(self, batch_size: int) -> Batch:
        """A minibatch of `batch_size` rows for every run."""
        if self.size == 0:
            raise RuntimeError("Replay.sample: the replay is empty; add transitions first")
        index = np.stack([self._indices(seed, batch_size) for seed in self.seeds])  # [R, B]
        self.draws += 1
        rows = self.rows[torch.arange(self.runs).unsqueeze(1), torch.from_numpy(index)]  # [R, B, row]
        obs, action, reward, cost, next_obs, terminated = rows.split(self.widths, dim=-1)
        return Batch(obs, action, reward.squeeze(-1), cost.squeeze(-1), next_obs, terminated.squeeze(-1))

    def select(self, keep: Sequence[int]) -> Replay:
        """The replay of the runs `keep` alone."""
        kept = Replay.__new__(Replay)
        kept.__dict__.update(self.__dict__, rows=self.rows[list(keep)], seeds=[self.seeds[r] for r in keep])
        return kept

    def state_dict(self, since: int = 0) -> dict[str, Any]:
        """Counters, and the rows [R, k, row] numbered `since`..`added` (those still held), oldest first."""
        first = max(since, self.added - self.capacity)
        index = torch.arange(first, self.added, device=self.rows.device) % self.capacity
        return {"added": self.added, "draws": self.draws, "since": first, "rows": self.rows[:, index].cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take one `state_dict` back; several that continue one another may be loaded in their order."""
        rows = state["rows"]
        if rows.shape[0] != self.runs or rows.shape[-1] != self.rows.shape[-1]:
            wanted = f"[{self.runs}, k, {self.rows.shape[-1]}]"
            raise ValueError(f"Replay: saved rows are {list(rows.shape)}, wanted {wanted}: another task or other runs")
        self._write(state["since"], rows.to(self.rows.device))
        self.added, self.draws = state["added"], state["draws"]

    def _write(self, first: int, rows: Tensor) -> None:
        end, kept = first + rows.shape[1], min(rows.shape[1], self.capacity)
        index = torch.arange(end - kept, end, device=self.rows.device) % self.capacity
        self.rows[:, index] = rows[:, rows.shape[1] - kept :]

    def _indices(self, seed: int, batch_size: int) -> np.ndarray:
        bits = np.random.Philox(key=seed & (2**64 - 1), counter=self.draws << 64)
        return np.random.Generator(bits).integers(self.size, size=batch_size)
