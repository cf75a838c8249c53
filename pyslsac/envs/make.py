"""From a task's name to running environments: `make_vec`, and what can be named."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyslsac.envs import safety_gymnasium
from pyslsac.envs.errors import TaskError, close_matches
from pyslsac.envs.single import Single

if TYPE_CHECKING:
    from pyslsac.envs.vector import VectorEnv

TOYS = {
    "pyslsac/Bandit-v0": "pyslsac.envs.bandit:Bandit",
    "pyslsac/LinearQuadratic-v0": "pyslsac.envs.linear_quadratic:LinearQuadratic",
}
BACKENDS = ("auto", "safety-gymnasium", "gymnasium")


def make_vec(
    task: str | Callable[..., Any],
    num_envs: int = 1,
    *,
    seed: int | Sequence[int] = 0,
    backend: str = "auto",
    workers: int | None = None,
    cost_key: str = "cost",
    horizon: int | None = None,
    **kwargs: Any,
) -> VectorEnv:
    """num_envs environments of `task`: a safety-gymnasium task, a Gymnasium id, "module:Id" or a callable making one.

    seed: one for all, from which each environment's is derived, or one per environment. workers: processes to step them
    in (0: none but this one); no number depends on it. cost_key: where info holds the cost. horizon: steps until an
    episode is truncated, needed where the task has no limit of its own. kwargs go to the environment's constructor.
    Raises TaskError for what cannot be made or trained on.
    """
    from pyslsac.envs.vector import VectorEnv, env_seeds

    if num_envs < 1:
        raise TaskError(f"num_envs is {num_envs}, wanted at least 1")
    make = functools.partial(_make_single, _resolve(task, backend), kwargs, cost_key=cost_key, horizon=horizon)
    if workers is None:
        workers = 0 if task in TOYS else len(os.sched_getaffinity(0))
    return VectorEnv(make, seeds=env_seeds(seed, num_envs), workers=min(workers, num_envs))


@dataclass(frozen=True)
class Listing:
    """The tasks of one backend, or why it offers none."""

    backend: str
    tasks: list[str]
    problem: str | None = None


def list_tasks() -> list[Listing]:
    """What can be named here, by backend. Any Gymnasium id whose info holds a cost can be named besides."""
    try:
        release = Listing("safety-gymnasium", safety_gymnasium.task_names())
    except TaskError as error:
        release = Listing("safety-gymnasium", [], str(error))
    return [release, Listing("pyslsac", sorted(TOYS))]


def _resolve(task: str | Callable[..., Any], backend: str) -> tuple[str, Callable[..., Any]]:
    """The task's name, and what makes one environment of it; both travel to worker processes."""
    if backend not in BACKENDS:
        raise TaskError(
            f"backend: got {backend!r}, wanted one of {', '.join(BACKENDS)}{close_matches(backend, BACKENDS)}"
        )
    if not isinstance(task, str):
        return getattr(task, "__name__", repr(task)), task
    if task in TOYS:
        module, _, name = TOYS[task].partition(":")
        return task, getattr(importlib.import_module(module), name)
    import gymnasium

    known = set(gymnasium.registry)
    if backend == "safety-gymnasium" or (backend == "auto" and task.startswith("Safety") and task not in known):
        return task, functools.partial(safety_gymnasium.make, task)
    if ":" in task:  # gymnasium imports the module before the colon
        return task, functools.partial(gymnasium.make, task, disable_env_checker=True)
    if task not in known:
        raise TaskError(
            f"there is no task {task!r}{close_matches(task, known | set(TOYS))}; "
            "`pyslsac list tasks` names them; a Gymnasium id of your own is written module:Id"
        )
    return task, functools.partial(gymnasium.make, gymnasium.spec(task), disable_env_checker=True)


def _make_single(
    resolved: tuple[str, Callable[..., Any]], kwargs: dict[str, Any], *, cost_key: str, horizon: int | None
) -> Single:
    name, create = resolved
    return Single(create(**kwargs), name, cost_key=cost_key, horizon=horizon)
