"""Ops that run compiled on CPU and CUDA, and on a plain-torch reference everywhere else."""

from pyslsac.ops._library import backend
from pyslsac.ops.asgld import asgld_
from pyslsac.ops.philox_normal import philox_normal

__all__ = ["asgld_", "backend", "philox_normal"]
