"""Networks, stacked over runs and ensemble members; no learning here."""

from pyslsac.nn.ensemble import Ensemble, StackedLinear
from pyslsac.nn.frozen import frozen
from pyslsac.nn.gaussian import Gaussian, TanhGaussian
from pyslsac.nn.quantile import QuantileNetwork

__all__ = ["Ensemble", "Gaussian", "QuantileNetwork", "StackedLinear", "TanhGaussian", "frozen"]
