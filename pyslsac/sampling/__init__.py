"""Samplers of actions from what critics say of them."""

from pyslsac.sampling.diffusion import NoiseLevels, reverse, variance_exploding, within_box
from pyslsac.sampling.langevin import Schedule, annealed, climb, constant, sample
from pyslsac.sampling.pullback import values_and_pullback
from pyslsac.sampling.score_target import (
    DiffusionDraws,
    boxed_score_target,
    score_points,
    score_target,
    truncated_normal,
)

__all__ = [
    "DiffusionDraws",
    "NoiseLevels",
    "Schedule",
    "annealed",
    "boxed_score_target",
    "climb",
    "constant",
    "reverse",
    "sample",
    "score_points",
    "score_target",
    "truncated_normal",
    "values_and_pullback",
    "variance_exploding",
    "within_box",
]
