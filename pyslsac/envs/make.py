"""From a task's name to running environments: `make_vec`, and what can be named."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyslsac.envs import safety_gymnasium
from pyslsac.envs.errors import TaskError, close_matches
from pyslsac.envs.single import Single, env_seeds

if TYPE_CHECKING:
    from pyslsac.envs.vector import VectorEnv

BACKENDS = ("auto", "safety-gymnasium", "gymnasium")
TOYS = {  # name: where it lives, time limit
    "pyslsac/Bandit-v0": ("pyslsac.envs.bandit:Bandit", 1),
    "pyslsac/LinearQuadratic-v0": ("pyslsac.envs.linear_quadratic:LinearQuadratic", 10),
}


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
    from pyslsac.envs.vector import VectorEnv

    if num_envs < 1 or (workers is not None and workers < 0):
        raise TaskError(f"num_envs is {num_envs}, wanted at least 1; workers is {workers}, wanted None or at least 0")
    create = functools.partial(creator(task, backend), **kwargs)
    name = task if isinstance(task, str) else getattr(task, "__name__", repr(task))
    make = functools.partial(make_single, create, name, cost_key=cost_key, horizon=horizon)
    if workers is None:  # a toy's step is shorter than a message
        workers = 0 if task in TOYS else _cores()
    return VectorEnv(make, seeds=env_seeds(seed, num_envs), workers=min(workers, num_envs))


def _cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_single(create: Callable[[], Any], name: str, **options: Any) -> Single:
    """One environment, made by `create`, under the name that errors shall call it."""
    return Single(create(), name, **options)


def creator(task: str | Callable[..., Any], backend: str) -> Callable[..., Any]:
    """What makes one environment of `task`; it travels to worker processes, so it imports there what it needs."""
    if backend not in BACKENDS:
        close = close_matches(backend, BACKENDS)
        raise TaskError(f"there is no backend {backend!r}{close}; there are {', '.join(BACKENDS)}")
    if not isinstance(task, str):
        return task
    import gymnasium

    register()
    known = gymnasium.registry
    origin = str(known[task].entry_point) if task in known else task
    if backend == "safety-gymnasium" or (backend == "auto" and origin.startswith(("Safety", "safety_gymnasium."))):
        return functools.partial(safety_gymnasium.make, task)
    if ":" in task:
        return functools.partial(make_own, task)
    if task not in known:
        raise TaskError(
            f"there is no task {task!r}{close_matches(task, known)}; `pyslsac list tasks` shows what there is, "
            "and a Gymnasium id of your own is written module:Id"
        )
    return functools.partial(gymnasium.make, gymnasium.spec(task), disable_env_checker=True)


def make_own(task: str, **kwargs: Any) -> Any:
    """The environment "module:Id": gymnasium imports the module, which registers the id."""
    import gymnasium

    try:
        return gymnasium.make(task, disable_env_checker=True, **kwargs)
    except (ModuleNotFoundError, gymnasium.error.UnregisteredEnv) as error:
        raise TaskError(f"there is no task {task!r}: {error}") from error


def register() -> None:
    """Make the toys known to gymnasium.make; make_vec does so by itself."""
    from gymnasium.envs import registration

    for name, (entry_point, steps) in TOYS.items():
        if name not in registration.registry:
            registration.register(name, entry_point=entry_point, max_episode_steps=steps)


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
    return [release, Listing("gymnasium", sorted(TOYS))]
