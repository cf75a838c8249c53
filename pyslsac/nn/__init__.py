"""Networks, stacked over runs and ensemble members; no learning here."""

from pyslsac.nn.deterministic import Deterministic
from pyslsac.nn.ensemble import Ensemble, StackedLinear
from pyslsac.nn.fisher import fisher_product
from pyslsac.nn.flat import flat, unflat
from pyslsac.nn.frozen import frozen
from pyslsac.nn.gaussian import Gaussian, TanhGaussian
from pyslsac.nn.noise_conditioned import NoiseConditioned
from pyslsac.nn.normal_cost import NormalCost, normal_cvar, normal_target, wasserstein
from pyslsac.nn.quantile import QuantileNetwork
from pyslsac.nn.score import ScoreNetwork

__all__ = [
    "Deterministic",
    "Ensemble",
    "Gaussian",
    "NoiseConditioned",
    "NormalCost",
    "QuantileNetwork",
    "ScoreNetwork",
    "StackedLinear",
    "TanhGaussian",
    "fisher_product",
    "flat",
    "frozen",
    "normal_cvar",
    "normal_target",
    "unflat",
    "wasserstein",
]
