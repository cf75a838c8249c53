"""From a task's name to running environments: `make_vec`, and what can be named."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyslsac.envs import safety_gymnasium
from pyslsac.envs.errors import TaskError, close_matches
from pyslsac.envs.group import Group, InProcess
from pyslsac.envs.native import tasks as native_tasks
from pyslsac.envs.single import Single, env_seeds
from pyslsac.envs.worker import Worker

if TYPE_CHECKING:
    from pyslsac.envs.vector import VectorEnv

BACKENDS = ("auto", "native", "safety-gymnasium", "gymnasium")
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
    autoreset: str = "same_step",
    cost_key: str = "cost",
    horizon: int | None = None,
    **kwargs: Any,
) -> VectorEnv:
    """num_envs environments of `task`: a Safety-Gymnasium task, a Gymnasium id, "module:Id" or a callable making one.

    seed: one for all, from which each environment's is derived, or one per environment. backend: "native" is our own
    form of Safety-Gymnasium's tasks, "safety-gymnasium" the release, "auto" the first that knows the task. workers:
    threads (native) or processes to step them in, 0: none but this one; no number depends on it. autoreset:
    "same_step" or "next_step". cost_key: where info holds the cost. horizon: steps until an episode is truncated, for
    tasks without a limit of their own. kwargs go to the environment's constructor. TaskError: what cannot be made or
    trained on.
    """
    from pyslsac.envs.vector import VectorEnv

    if num_envs < 1 or (workers is not None and workers < 0):
        raise TaskError(f"num_envs is {num_envs}, wanted at least 1; workers is {workers}, wanted None or at least 0")
    seeds = env_seeds(seed, num_envs)
    native = native_name(task, backend)
    if native is not None:
        threads = _cores() if workers is None else workers
        hire = functools.partial(_hire_fleet, native, min(threads, num_envs), horizon, kwargs)
        return VectorEnv(hire, seeds=seeds, autoreset=autoreset)
    create = functools.partial(creator(task, backend), **kwargs)
    name = task if isinstance(task, str) else getattr(task, "__name__", repr(task))
    make = functools.partial(make_single, create, name, cost_key=cost_key, horizon=horizon)
    if workers is None:  # a toy's step is shorter than a message
        workers = 0 if task in TOYS else _cores()
    members = min(workers, num_envs)
    if members == 0:
        return VectorEnv(lambda first, count: InProcess(Group(make, count, first)), seeds=seeds, autoreset=autoreset)
    hire_worker = functools.partial(Worker, make)
    return VectorEnv(hire_worker, seeds=seeds, members=members, apart=True, autoreset=autoreset)


def _hire_fleet(
    task: str, threads: int, horizon: int | None, kwargs: dict[str, Any], first: int, count: int
) -> InProcess:
    from pyslsac.envs.native.group import FleetGroup

    if kwargs:
        raise TaskError(
            f"{task}: the native backend takes no argument called {', '.join(sorted(kwargs))}; "
            f"gymnasium.make('pyslsac/{task}') takes render_mode, width, height and camera"
        )
    return InProcess(FleetGroup(task, count, threads, horizon))


def backend_of(task: str | Callable[..., Any], backend: str = "auto") -> str:
    """Which backend `make_vec` takes for `task`; TaskError where there is none."""
    if native_name(task, backend) is not None:
        return "native"
    create = creator(task, backend)
    release = isinstance(create, functools.partial) and create.func is safety_gymnasium.make
    return "safety-gymnasium" if release else "gymnasium"


def native_name(task: str | Callable[..., Any], backend: str) -> str | None:
    """What the native backend calls `task`, if it is to make it: with or without the prefix of our own ids."""
    name = task.removeprefix("pyslsac/") if isinstance(task, str) else None
    if backend in ("auto", "native") and name in native_tasks.STEPS:
        return name
    if backend == "native":
        raise TaskError(f"the native backend has no task {task!r}{close_matches(str(name), native_tasks.STEPS)}")
    return None


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
    """Make our tasks known to gymnasium.make; `import pyslsac` does so."""
    from gymnasium.envs import registration

    for name, (entry_point, steps) in TOYS.items():
        if name not in registration.registry:
            registration.register(name, entry_point=entry_point, max_episode_steps=steps)
    for task, steps in native_tasks.STEPS.items():
        if f"pyslsac/{task}" not in registration.registry:
            entry_point = "pyslsac.envs.native.single:NativeEnv"
            registration.register(
                f"pyslsac/{task}", entry_point=entry_point, max_episode_steps=steps, kwargs={"task": task}
            )


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
    return [Listing("native", list(native_tasks.STEPS)), release, Listing("gymnasium", sorted(TOYS))]
