"""Environments: any task by name, stepped by threads or worker processes. Nothing here needs torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyslsac.envs.errors import TaskError, WorkerDied, WorkerError
    from pyslsac.envs.make import backend_of, list_tasks, make_vec, register
    from pyslsac.envs.single import spread_seed
    from pyslsac.envs.vector import VectorEnv

__all__ = [
    "TaskError",
    "VectorEnv",
    "WorkerDied",
    "WorkerError",
    "backend_of",
    "list_tasks",
    "make_vec",
    "register",
    "spread_seed",
]

_HOMES = {
    "TaskError": "errors",
    "VectorEnv": "vector",
    "WorkerDied": "errors",
    "WorkerError": "errors",
    "backend_of": "make",
    "list_tasks": "make",
    "make_vec": "make",
    "register": "make",
    "spread_seed": "single",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: gymnasium takes a third of a second to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
