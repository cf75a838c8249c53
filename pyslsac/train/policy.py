"""Trained policies, read back from a seed folder's newest good checkpoint: to act, and to be evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pyslsac.agents import config_for, make_agent
from pyslsac.agents.base import Agent
from pyslsac.data import Spec
from pyslsac.envs import VectorEnv, make_vec
from pyslsac.train.atomic import write_atomic
from pyslsac.train.checkpoint import read_latest
from pyslsac.train.evaluate import evaluate, summarise
from pyslsac.train.plan import CALLABLE
from pyslsac.train.settings import Settings, read_settings


class Policy:
    """policy(obs [S] or [n, S]) -> action [A] or [n, A] in the task's own units, float32 NumPy arrays.

    `low` and `high` [A] are the task's action box, `spec` its sizes, `env_steps` the age of the checkpoint.
    """

    def __init__(self, agent: Agent, low: NDArray[np.float32], high: NDArray[np.float32], env_steps: int) -> None:
        self.agent, self.low, self.high, self.env_steps = agent, low, high, env_steps
        self.spec: Spec = agent.spec

    def __call__(self, obs: ArrayLike, deterministic: bool = True) -> NDArray[np.float32]:
        """The policy's mode, or with deterministic=False a sample; ValueError for observations of another size."""
        rows = np.asarray(obs, dtype=np.float32)
        if rows.ndim not in (1, 2) or rows.shape[-1] != self.spec.obs_dim:
            raise ValueError(f"obs: got shape {rows.shape}, wanted [{self.spec.obs_dim}] or [n, {self.spec.obs_dim}]")
        observed = torch.tensor(rows).reshape(1, -1, self.spec.obs_dim)  # [1, n, S]
        with torch.no_grad():
            unit = self.agent.act(observed, deterministic=deterministic)[0].float().cpu().numpy()  # [n, A]
        action = self.low + (unit + 1) / 2 * (self.high - self.low)
        return np.clip(action, self.low, self.high).reshape(*rows.shape[:-1], -1)


def load_policy(folder: str | Path, device: torch.device | str = "cpu") -> Policy:
    """The policy of the run in `folder`, "runs/.../seed-000"; needs neither the environment nor the replay.

    Raises ValueError where there is no run and CheckpointError where it has no good checkpoint.
    """
    _, agent, state = load_run(Path(folder), device)
    box = state["facts"]["task"]
    low, high = (np.asarray(box[name], dtype=np.float32) for name in ("action_low", "action_high"))
    return Policy(agent, low, high, int(state["loop"]["env_steps"]))


def load_run(folder: Path, device: torch.device | str = "cpu") -> tuple[Settings, Agent, dict[str, Any]]:
    """Settings, agent (one run) and whole state of the newest good checkpoint in `folder`."""
    settings = read_settings(folder)
    state = read_latest(folder)
    sizes = {name: int(state["facts"]["task"][name]) for name in ("obs_dim", "act_dim", "horizon")}
    config = config_for(settings.algo, overrides=settings.agent)
    agent = make_agent(settings.algo, Spec(**sizes), config, device=device, seed=[settings.seed])
    agent.load_state_dict(state["loop"]["agent"])
    return settings, agent, state


def evaluate_run(
    folder: Path, episodes: int, deterministic: bool = True, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Play `episodes` episodes with the run in `folder`; what came out, as it is now in its eval.json.

    The first episodes are those that training itself plays at this step, so the same number of them gives the same.
    Raises ValueError for a task that was given as a function.
    """
    settings, agent, state = load_run(folder, device)
    if settings.task.startswith(CALLABLE):
        raise ValueError(f"{folder} was trained on {settings.task}, which has no name to make it by: use load_policy")

    def make(count: int, seeds: list[int]) -> VectorEnv:
        return make_vec(settings.task, num_envs=count, seed=seeds, cost_key=settings.cost_key, **settings.env)

    steps = int(state["loop"]["env_steps"])
    played = evaluate(agent, make, [settings.seed], episodes, occasion=steps, deterministic=deterministic)[0]
    about = {"env_steps": steps, "updates": int(state["loop"]["updates"]), "deterministic": deterministic}
    entry = about | summarise(played, getattr(agent.config, "risk_level", 1.0))
    path = folder / "eval.json"
    evaluations = json.loads(path.read_bytes())["evaluations"] if path.is_file() else []
    write_atomic(path, json.dumps({"evaluations": [*evaluations, entry]}, indent=1).encode())
    return entry
