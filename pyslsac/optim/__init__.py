"""Optimizers and what surrounds a gradient step."""

from pyslsac.optim.asgld import ASGLD
from pyslsac.optim.entropy import EntropyCoefficient
from pyslsac.optim.minimise import Metrics, clip_runs, minimise
from pyslsac.optim.polyak import polyak_update
from pyslsac.optim.trust_region import TrustRegion

__all__ = [
    "ASGLD",
    "EntropyCoefficient",
    "Metrics",
    "TrustRegion",
    "clip_runs",
    "minimise",
    "polyak_update",
]
