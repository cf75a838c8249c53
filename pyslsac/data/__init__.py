"""What agents learn from: task sizes, minibatches, replay."""

from typing import TYPE_CHECKING, Any

from pyslsac.data.spec import Spec

if TYPE_CHECKING:
    from pyslsac.data.batch import Batch, Draws, NStepBatch, Tail
    from pyslsac.data.normalizer import RunningNormalizer
    from pyslsac.data.replay import Replay
    from pyslsac.data.rollout import Estimates, Rollout, gae
    from pyslsac.data.runs import map_runs, stack_runs

__all__ = [
    "Batch",
    "Draws",
    "Estimates",
    "NStepBatch",
    "Replay",
    "Rollout",
    "RunningNormalizer",
    "Spec",
    "Tail",
    "gae",
    "map_runs",
    "stack_runs",
]

_HOMES = dict.fromkeys(("Batch", "Draws", "NStepBatch", "Tail"), "batch")
_HOMES |= dict.fromkeys(("Estimates", "Rollout", "gae"), "rollout")
_HOMES |= dict.fromkeys(("map_runs", "stack_runs"), "runs")
_HOMES |= {"Replay": "replay", "RunningNormalizer": "normalizer"}


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for: environments import this package for `Spec` alone."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
