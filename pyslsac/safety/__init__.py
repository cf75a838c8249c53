"""Constraints: budgets, multipliers, CVaR and the theorems about them."""

from pyslsac.safety.augmented import augmented_penalty, effective_multiplier, penalty_and_slope, pessimistic
from pyslsac.safety.budget import budget
from pyslsac.safety.cpo_dual import ConstrainedStep, solve_step
from pyslsac.safety.dual import Dual
from pyslsac.safety.means import Means
from pyslsac.safety.multiplier import LogMultiplier, Multiplier
from pyslsac.safety.multiplier_critic import CriticMultiplier
from pyslsac.safety.multiplier_pid import PIDMultiplier
from pyslsac.safety.risk import check_risk_level, empirical_cvar, tail_fractions
from pyslsac.safety.window import CostWindow

__all__ = [
    "ConstrainedStep",
    "CostWindow",
    "CriticMultiplier",
    "Dual",
    "LogMultiplier",
    "Means",
    "Multiplier",
    "PIDMultiplier",
    "augmented_penalty",
    "budget",
    "check_risk_level",
    "effective_multiplier",
    "empirical_cvar",
    "penalty_and_slope",
    "pessimistic",
    "solve_step",
    "tail_fractions",
]
