"""Optimizers and what surrounds a gradient step."""

from pyslsac.ops.adam import clip_runs
from pyslsac.optim.adam import Adam
from pyslsac.optim.asgld import ASGLD
from pyslsac.optim.conjugate_gradient import conjugate_gradient
from pyslsac.optim.entropy import EntropyCoefficient
from pyslsac.optim.members import minimise_members
from pyslsac.optim.metrics import mean_metrics
from pyslsac.optim.minimise import Metrics, minimise
from pyslsac.optim.polyak import polyak_update
from pyslsac.optim.trust_region import TrustRegion

__all__ = [
    "ASGLD",
    "Adam",
    "EntropyCoefficient",
    "Metrics",
    "TrustRegion",
    "clip_runs",
    "conjugate_gradient",
    "mean_metrics",
    "minimise",
    "minimise_members",
    "polyak_update",
]
