"""CVPO's E-step: the two numbers behind the weights of its sampled actions."""

import torch
from torch import Tensor

from pyslsac.ops import _library
from pyslsac.ops.reference import estep_dual as reference

_op = _library.define(
    "estep_dual(Tensor q, Tensor eta, Tensor multiplier, float eps, float budget, int steps, float maximum) "
    "-> (Tensor, Tensor)",
    reference.estep_dual,
    lambda q, eta, multiplier, *rest: (torch.empty_like(eta), torch.empty_like(multiplier)),
)


def estep_dual(
    q: Tensor, eta: Tensor, multiplier: Tensor, eps: float, budget: float, *, steps: int = 15, maximum: float = 20.0
) -> tuple[Tensor, Tensor]:
    """(eta, multiplier) [R] after `steps` damped Newton steps on (u = log eta, multiplier) from those given.

    They go down the dual of: earn the most with weights w of K actions a state that keep KL(w || 1/K) <= eps and
    E_w[Q_c] <= budget on the mean over states,

        g(eta, multiplier) = eta eps + multiplier budget + eta mean_B log mean_K exp(z / eta),  z = Q_r - multiplier Q_c

    In u the Hessian of g is often indefinite, so H_uu = η² g_ηη + |η g_η|, H_um = η g_ηm, H_mm = g_mm, and 1e-6 I is
    added. A step minimises that quadratic model over multiplier in [0, maximum], |step in u| <= 1.5 and eta in
    [1e-3, 1e3], one variable after the other, so that each makes the best of the other's bounds. Of the step times
    1, 1/2, 1/4, 1/16 and 0 the one with the least g is taken, so that g ends no higher than it starts, rounding apart;
    of those that only rounding tells apart the longest, or rounding would say where the last steps stop.

    q [R, 2, B, K] holds Q_r and Q_c; eta, multiplier [R]; all float64, for step sizes are chosen by comparing g, which
    near the optimum differs by less than float32 tells. Where it is compiled a step shorter than 1e-12 is a run's last.
    No gradient. Raises RuntimeError where an argument does not fit. Source: the dual is that of Liu et al. 2022 (the
    authors' code gives it to SciPy's SLSQP); the steps are ours.
    """
    return _op(q.contiguous(), eta.contiguous(), multiplier.contiguous(), eps, budget, steps, maximum)
