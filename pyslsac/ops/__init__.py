"""Ops that run compiled on CPU and CUDA, and on a plain-torch reference everywhere else."""

from pyslsac.ops._library import backend
from pyslsac.ops.adam import adam_
from pyslsac.ops.asgld import asgld_
from pyslsac.ops.estep_dual import estep_dual
from pyslsac.ops.implicit_quantiles import implicit_quantiles
from pyslsac.ops.langevin_chain import Chain, QGroup, action_grad, langevin_chain
from pyslsac.ops.langevin_step import langevin_step, langevin_step_
from pyslsac.ops.perceptron import perceptron
from pyslsac.ops.philox_integers import philox_integers
from pyslsac.ops.philox_normal import philox_normal
from pyslsac.ops.quantile_huber import quantile_huber
from pyslsac.ops.reverse_chain import reverse_chain
from pyslsac.ops.tanh_normal import tanh_normal

__all__ = [
    "Chain",
    "QGroup",
    "action_grad",
    "adam_",
    "asgld_",
    "backend",
    "estep_dual",
    "implicit_quantiles",
    "langevin_chain",
    "langevin_step",
    "langevin_step_",
    "perceptron",
    "philox_integers",
    "philox_normal",
    "quantile_huber",
    "reverse_chain",
    "tanh_normal",
]
