"""Networks, stacked over runs and ensemble members; no learning here."""

from pyslsac.nn.action_values import action_values
from pyslsac.nn.ensemble import Ensemble, StackedLinear
from pyslsac.nn.frozen import frozen
from pyslsac.nn.gaussian import Gaussian, TanhGaussian
from pyslsac.nn.noise_conditioned import NoiseConditioned
from pyslsac.nn.quantile import QuantileNetwork
from pyslsac.nn.score import ScoreNetwork

__all__ = [
    "Ensemble",
    "Gaussian",
    "NoiseConditioned",
    "QuantileNetwork",
    "ScoreNetwork",
    "StackedLinear",
    "TanhGaussian",
    "action_values",
    "frozen",
]
