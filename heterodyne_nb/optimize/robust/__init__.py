"""Min-max fits: the worst law of the data, the worst sample of them, the worst instrument; with certificates."""

from heterodyne_nb.optimize.robust.ellipsoidal import EllipsoidalRobust
from heterodyne_nb.optimize.robust.optimizer import (
    ROBUST_STRATEGIES,
    RobustHeterodyneOptimizer,
    robust_name,
)
from heterodyne_nb.optimize.robust.radius import profile_radius
from heterodyne_nb.optimize.robust.scenario import ScenarioRobust
from heterodyne_nb.optimize.robust.sequential import RobustProblem, RobustStrategy, WorstCase
from heterodyne_nb.optimize.robust.solvers import SOLVERS, require_solver, solver_name, solver_readiness
from heterodyne_nb.optimize.robust.wasserstein import WassersteinDRO

__all__ = [
    "ROBUST_STRATEGIES",
    "SOLVERS",
    "EllipsoidalRobust",
    "RobustHeterodyneOptimizer",
    "ScenarioRobust",
    "RobustProblem",
    "RobustStrategy",
    "WassersteinDRO",
    "WorstCase",
    "profile_radius",
    "require_solver",
    "robust_name",
    "solver_name",
    "solver_readiness",
]
