"""Solvers of the cone programs: which there are, what they accept, and who takes over when one fails."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

from heterodyne_nb.errors import FitWarning, OptimizationError, warn
from heterodyne_nb.optimize.strategies.gurobi_qp import gurobi_readiness
from heterodyne_nb.optimize.strategies.strategy import Readiness
from heterodyne_nb.options import SOLVERS

_CLARABEL = ("tol_gap_abs", "tol_gap_rel", "tol_feas")


@dataclass(frozen=True)
class ConeSolver:
    """A solver that CVXPY can call.

    Attributes
    ----------
    name : str
        As CVXPY calls it.
    semidefinite : bool
        Whether it takes matrix inequalities besides second-order cones.
    options : dict
        Its settings: tolerances tight enough for steps of a hundredth of an error bar.
    remedy : str
        How to get it.
    loose : dict
        Its settings where it cannot meet those: good for a tenth of an error bar.
    """

    name: str
    semidefinite: bool
    options: dict[str, Any] = field(default_factory=dict)
    remedy: str = ""
    loose: dict[str, Any] = field(default_factory=dict)


# In the order in which they take over from one that fails.
for _solver in (
    ConeSolver(
        "CLARABEL",
        True,
        dict.fromkeys(_CLARABEL, 1e-10),
        "pip install clarabel",
        dict.fromkeys(_CLARABEL, 1e-6),
    ),
    ConeSolver("SCS", True, {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 50_000}, "pip install scs"),
    ConeSolver("MOSEK", True, {}, "pip install mosek, and its licence"),
    ConeSolver("COPT", True, {}, "pip install coptpy, and its licence"),
    ConeSolver("CVXOPT", True, {}, "pip install cvxopt"),
    ConeSolver("ECOS", False, {"abstol": 1e-10, "reltol": 1e-10, "feastol": 1e-10}, "pip install ecos"),
    ConeSolver("GUROBI", False, {"BarQCPConvTol": 1e-10, "Threads": 1}, "pip install gurobipy"),
):
    SOLVERS[_solver.name] = _solver


def solver_name(name: str) -> str:
    """The known solver that `name` spells, in any case.

    Raises
    ------
    ConfigurationError
        No such solver; the nearest is offered.
    """
    return SOLVERS.find(name)


def solver_readiness(name: str) -> Readiness:
    """Whether a solver is installed, and where we can tell, licensed."""
    import cvxpy as cp

    solver: ConeSolver = SOLVERS[solver_name(name)]
    if solver.name == "GUROBI":
        return gurobi_readiness()
    if solver.name in cp.installed_solvers():
        return Readiness("ready", f"{solver.name} through CVXPY {cp.__version__}")
    return Readiness("missing", f"CVXPY does not find {solver.name}", solver.remedy)


def require_solver(name: str) -> str:
    """The solver's name in full, or an error that says what to install.

    Raises
    ------
    ConfigurationError, OptimizationError
        Unknown, or not ready.
    """
    name = solver_name(name)
    state = solver_readiness(name)
    if not state:
        raise OptimizationError(
            f"solver {name} cannot run here ({state.state}): {state.detail}",
            where="solver",
            hint=f"{state.remedy}, or choose another solver, such as 'CLARABEL'",
        )
    return name


class SolverChain:
    """The chosen solver, and those that take over for a program it fails on.

    Parameters
    ----------
    name : str
        The chosen solver; it must be ready.
    semidefinite : bool
        Whether the programs have matrix inequalities.

    Attributes
    ----------
    used : str
        The solver that gave the latest answer.
    fallbacks : list of str
        Who took over from whom and why, each told once and also warned of.
    """

    def __init__(self, name: str = "CLARABEL", *, semidefinite: bool = False) -> None:
        self.used = require_solver(name)
        self.fallbacks: list[str] = []
        able = {key for key, solver in SOLVERS.items() if solver.semidefinite or not semidefinite}
        others = [key for key in SOLVERS if key in able and key != self.used and solver_readiness(key)]
        self._order = [self.used, *others]
        if self.used not in able:
            self._order = others
            self._tell(self.used, "it takes no matrix inequalities", others[0])

    def solve(self, problem: Any) -> None:
        """Solve a CVXPY problem in place, by the next solver where one fails.

        Raises
        ------
        OptimizationError
            Every ready solver failed.
        """
        failed: list[tuple[str, str]] = []
        for name in self._order:
            why = _attempt(problem, SOLVERS[name])
            if why is not None and SOLVERS[name].options:
                why = _attempt(problem, replace(SOLVERS[name], options=SOLVERS[name].loose))
            if why is None:
                for one, reason in failed:
                    self._tell(one, reason, name)
                self.used = name
                return
            failed.append((name, why))
        told = "; ".join(f"{name}: {why}" for name, why in failed)
        raise OptimizationError(f"no solver gave an answer ({told})", where="solver")

    def _tell(self, name: str, why: str, heir: str) -> None:
        text = f"solver {name} gave no answer ({why}); {heir} took its place"
        if text not in self.fallbacks:
            self.fallbacks.append(text)
            warn(text, FitWarning)


def _attempt(problem: Any, solver: ConeSolver) -> str | None:
    """Why the solver gave no usable answer; None when it did."""
    import cvxpy as cp

    options = dict(solver.options)
    if solver.name == "GUROBI":
        from heterodyne_nb.optimize.strategies.gurobi_qp import environment

        options["env"] = environment()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate answer is judged by the true worst case
            problem.solve(solver=solver.name, warm_start=True, **options)
    except (cp.SolverError, ValueError, ArithmeticError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    except Exception as error:  # a solver's own exception classes, which need not be installed
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None if problem.status in ("optimal", "optimal_inaccurate") else str(problem.status)
