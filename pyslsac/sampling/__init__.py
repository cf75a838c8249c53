"""Samplers of actions from what critics say of them."""

from pyslsac.sampling.langevin import Schedule, annealed, climb, constant, sample

__all__ = ["Schedule", "annealed", "climb", "constant", "sample"]
