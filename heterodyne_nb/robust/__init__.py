"""Min-max fits: the worst law of the data, the worst sample of them, the worst instrument; with certificates."""

from heterodyne_nb.options import SOLVERS
from heterodyne_nb.robust.bad_bins import detect_bad_bins
from heterodyne_nb.robust.ellipsoidal import EllipsoidalRobust
from heterodyne_nb.robust.optimizer import ROBUST_STRATEGIES, RobustHeterodyneOptimizer, robust_name
from heterodyne_nb.robust.radius import profile_radius
from heterodyne_nb.robust.robust_fit import fit_robust, radius_path
from heterodyne_nb.robust.scenario import ScenarioRobust
from heterodyne_nb.robust.sequential import RobustProblem, RobustStrategy, WorstCase
from heterodyne_nb.robust.solvers import require_solver, solver_name, solver_readiness
from heterodyne_nb.robust.wasserstein import WassersteinDRO

__all__ = [
    "EllipsoidalRobust",
    "ROBUST_STRATEGIES",
    "RobustHeterodyneOptimizer",
    "RobustProblem",
    "RobustStrategy",
    "SOLVERS",
    "ScenarioRobust",
    "WassersteinDRO",
    "WorstCase",
    "detect_bad_bins",
    "fit_robust",
    "profile_radius",
    "radius_path",
    "require_solver",
    "robust_name",
    "solver_name",
    "solver_readiness",
]
