"""Safe reinforcement learning with Langevin samplers: agents, an optimizer, fused ops, environments and a trainer.

`import pyslsac` makes our tasks known to Gymnasium; nothing else is imported before it is used, torch least of all.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyslsac import agents, data, envs, nn, ops, optim, plots, safety, sampling
    from pyslsac.agents import make_agent
    from pyslsac.train.policy import load_policy
    from pyslsac.train.run import TrainResult, train

    __version__: str

__all__ = [
    "TrainResult",
    "__version__",
    "agents",
    "data",
    "envs",
    "load_policy",
    "make_agent",
    "nn",
    "ops",
    "optim",
    "plots",
    "safety",
    "sampling",
    "train",
]

_HOMES = {  # names that live in a submodule; the other names are submodules
    "TrainResult": "pyslsac.train.run",
    "load_policy": "pyslsac.train.policy",
    "make_agent": "pyslsac.agents",
}


def __getattr__(name: str) -> Any:
    """Import the submodule that `name` is, or comes from, at its first use (PEP 562)."""
    if name == "__version__":
        try:
            return importlib.metadata.version("pyslsac")
        except importlib.metadata.PackageNotFoundError:
            return "0+not.installed"  # run from the source tree
    if name not in __all__:
        raise AttributeError(f"module 'pyslsac' has no attribute {name!r}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    return importlib.import_module(f"pyslsac.{name}")


def _register_tasks() -> None:
    from pyslsac.envs.make import register

    register()


if importlib.util.find_spec("gymnasium"):
    _register_tasks()


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
