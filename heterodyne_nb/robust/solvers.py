"""The cone programs: tens of rows whatever the number of pixels, built once, their numbers replaced at each step.

Everything is said in units of χ² relative to the present point, so that a decrease by a hundredth of an error bar
is not lost in the rounding of a χ² of millions, and in scaled steps x with δ = size·x, so that all columns are of
order one. Quadratics enter by a factor K with KᵀK = H/2, which compresses the residuals of all pixels to n rows.
Here, too: which solvers there are, what they accept, and who takes over when one fails.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import FitWarning, OptimizationError, warn
from heterodyne_nb.optimize.strategies.gurobi_trust_region import gurobi_readiness
from heterodyne_nb.optimize.strategies.strategy import Readiness
from heterodyne_nb.options import SOLVERS

#: A coordinate whose curvature is below this, relative to the largest, holds no information.
_NOTHING = 1e-24
_CLARABEL = ("tol_gap_abs", "tol_gap_rel", "tol_feas")


@dataclass(frozen=True)
class ConeSolver:
    """A solver that CVXPY can call."""

    name: str  #: As CVXPY calls it.
    semidefinite: bool  #: Whether it takes matrix inequalities besides second-order cones.
    #: Its settings: tolerances tight enough for steps of a hundredth of an error bar.
    options: dict[str, Any] = field(default_factory=dict)
    remedy: str = ""  #: How to get it.
    #: Its settings where it cannot meet those: good for a tenth of an error bar.
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

    Raises ConfigurationError: No such solver; the nearest is offered.
    """
    return SOLVERS.find(name)


def solver_readiness(name: str) -> Readiness:
    """Whether a solver is installed, and where we can tell, licensed."""
    try:
        import cvxpy as cp
    except Exception as error:
        why = f"CVXPY cannot be imported ({type(error).__name__}: {error})"
        return Readiness("missing", why, "pip install --force-reinstall cvxpy")
    solver: ConeSolver = SOLVERS[solver_name(name)]
    if solver.name == "GUROBI":
        return gurobi_readiness()
    if solver.name in cp.installed_solvers():
        return Readiness("ready", f"{solver.name} through CVXPY {cp.__version__}")
    return Readiness("missing", f"CVXPY does not find {solver.name}", solver.remedy)


def require_solver(name: str) -> str:
    """The solver's name in full, or an error that says what to install.

    Raises ConfigurationError, OptimizationError: Unknown, or not ready.
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

    ``name``: The chosen solver; it must be ready. ``semidefinite``: Whether the programs have matrix inequalities.

    Attributes: ``used``: The solver that gave the latest answer. ``fallbacks``: Who took over from whom and why, each
    told once and also warned of.
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

        Raises OptimizationError: Every ready solver failed.
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
    try:
        if solver.name == "GUROBI":
            from heterodyne_nb.optimize.strategies.gurobi_trust_region import environment

            options["env"] = environment()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate answer is judged by the true worst case
            problem.solve(solver=solver.name, warm_start=True, **options)
    except (cp.SolverError, ValueError, ArithmeticError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    except Exception as error:  # a solver's own exception classes, which need not be installed
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None if problem.status in ("optimal", "optimal_inaccurate") else str(problem.status)


@dataclass(frozen=True)
class Quadratic:
    """value + gradientᵀδ + ½ δᵀ hessian δ, the Gauss-Newton model of a χ²."""

    value: float
    gradient: FloatArray
    hessian: FloatArray

    def after(self, step: FloatArray) -> float:
        """Its value after a step."""
        return float(self.value + self.gradient @ step + 0.5 * step @ self.hessian @ step)


@dataclass(frozen=True)
class Cap:
    """A limit of the nominal χ², ``allowance`` above that of the nominal fit; overshoot costs ``weight`` a unit."""

    limit: float
    allowance: float
    weight: float


def root(matrix: FloatArray) -> FloatArray:
    """K (n, n) with KᵀK = matrix, columns scaled first; what is negative or next to nothing by rounding counts as 0."""
    diagonal = np.diag(matrix)
    known = diagonal > _NOTHING * np.max(diagonal, initial=0.0)
    scale = np.sqrt(np.where(known, diagonal, 0.0))
    unit = np.where(known, 1.0 / np.where(known, scale, 1.0), 0.0)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) * np.outer(unit, unit))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * scale)


def step_sizes(hessian: FloatArray, reach: FloatArray) -> FloatArray:
    """Typical step of each coordinate: one error of the coordinate by itself, at most what the box allows."""
    diagonal = np.maximum(0.5 * np.diag(hessian), np.finfo(float).tiny)
    return np.minimum(1.0 / np.sqrt(diagonal), np.where(reach > 0, reach, 1.0))


def newton_gain(model: Quadratic) -> float:
    """Decrease of the quadratic model by a full step, damped a little where it is singular."""
    damped = model.hessian + 1e-6 * np.diag(np.maximum(np.diag(model.hessian), np.finfo(float).tiny))
    return float(0.5 * model.gradient @ np.linalg.solve(damped, model.gradient))


class ConeProgram(ABC):
    """A parametrised CVXPY program over a step δ in a box; subclasses add their cones.

    ``size``: Number of coordinates n.
    """

    def __init__(self, size: int, chain: SolverChain) -> None:
        self.size, self.chain = size, chain
        self._made: Any = None
        self.duals: Any = None

    def solve(
        self, model: Any, lower: FloatArray, upper: FloatArray, cap: Cap | None = None
    ) -> tuple[FloatArray, float]:
        """Best step inside lower ≤ δ ≤ upper, and the program's value there in units of χ².

        ``model``: Of the subclass; ``model.plain`` is the nominal χ². ``lower``, ``upper`` (n,). ``cap``: What the
        nominal χ² may rise to.

        Raises OptimizationError: No solver gave an answer.
        """
        if self._made is None:
            self._made = self._build()
        sizes = step_sizes(model.plain.hessian, np.maximum(upper, -lower))
        unit = self._fill(model, sizes)
        self._fill_cap(model.plain, sizes, unit, cap)
        self.lower.value, self.upper.value = lower / sizes, upper / sizes
        self.chain.solve(self._made)
        step = np.clip(sizes * np.asarray(self.x.value), lower, upper)
        return step, self.base(model) + unit * float(self._made.value)

    def _box(self) -> list[Any]:
        """Variables and constraints that all programs share: the box and the cap."""
        import cvxpy as cp

        n = self.size
        self.x = cp.Variable(n)
        self.lower, self.upper = cp.Parameter(n), cp.Parameter(n)
        self._cap_root, self._cap_slope, self._cap_room = (
            cp.Parameter((n, n)),
            cp.Parameter(n),
            cp.Parameter(),
        )
        self._cap_weight = cp.Parameter(nonneg=True)
        over = cp.Variable(nonneg=True)
        self.overshoot = self._cap_weight * over
        room = self._cap_room + over - self._cap_slope @ self.x
        cone = below(self._cap_root @ self.x, room, 1.0)
        return [self.x >= self.lower, self.x <= self.upper, cone]

    def _fill_cap(self, plain: Quadratic, sizes: FloatArray, unit: float, cap: Cap | None) -> None:
        """‖K δ‖² ≤ room + overshoot − gᵀδ, in units of the allowance."""
        if cap is None:
            self._cap_root.value, self._cap_slope.value = np.zeros((self.size,) * 2), np.zeros(self.size)
            self._cap_room.value, self._cap_weight.value = 1.0, 0.0
            return
        scale = max(cap.allowance, 1e-12)
        self._cap_root.value = root(0.5 * plain.hessian) * sizes / np.sqrt(scale)
        self._cap_slope.value = plain.gradient * sizes / scale
        self._cap_room.value = (cap.limit - plain.value) / scale
        self._cap_weight.value = cap.weight * scale / unit

    @abstractmethod
    def base(self, model: Any) -> float:
        """Value from which the program's value is counted."""

    @abstractmethod
    def _build(self) -> Any:
        """Make the program with all its parameters."""

    @abstractmethod
    def _fill(self, model: Any, sizes: FloatArray) -> float:
        """Set the parameters, and return the unit of the value in χ²."""


def below(quadratic: Any, linear: Any, factor: Any) -> Any:
    """The cone ‖quadratic‖² ≤ linear · factor."""
    import cvxpy as cp

    return cp.SOC(linear + factor, cp.hstack([2.0 * quadratic, linear - factor]))
