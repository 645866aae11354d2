"""Optimisers behind one call, ``strategy.optimize(objective, x0)``, and the losses they share."""

from heterodyne_nb.engine.losses import Loss, get_loss, robust_scale
from heterodyne_nb.optimize.classical import ClassicalOptimizer
from heterodyne_nb.optimize.strategies.gauss_newton import GaussNewtonStrategy
from heterodyne_nb.optimize.strategies.gurobi_trust_region import GurobiTrustRegionStrategy
from heterodyne_nb.optimize.strategies.scipy_strategies import LBFGSBStrategy, NelderMeadStrategy
from heterodyne_nb.optimize.strategies.strategy import (
    STRATEGIES,
    OptimizationStrategy,
    Readiness,
    create_strategy,
    register,
    strategy_name,
)
from heterodyne_nb.optimize.strategies.trf import TRFStrategy
from heterodyne_nb.options import LOSSES

__all__ = [
    "LOSSES",
    "STRATEGIES",
    "ClassicalOptimizer",
    "GaussNewtonStrategy",
    "GurobiTrustRegionStrategy",
    "LBFGSBStrategy",
    "Loss",
    "NelderMeadStrategy",
    "OptimizationStrategy",
    "Readiness",
    "TRFStrategy",
    "create_strategy",
    "get_loss",
    "register",
    "robust_scale",
    "strategy_name",
]
