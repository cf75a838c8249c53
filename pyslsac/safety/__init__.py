"""Constraints: budgets, multipliers, CVaR and the theorems about them."""

from pyslsac.safety.budget import budget
from pyslsac.safety.multiplier import CostWindow, Multiplier
from pyslsac.safety.risk import check_risk_level, empirical_cvar, tail_fractions

__all__ = ["CostWindow", "Multiplier", "budget", "check_risk_level", "empirical_cvar", "tail_fractions"]
