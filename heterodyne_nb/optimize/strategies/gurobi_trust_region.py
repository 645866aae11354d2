"""Iterative trust-region sequential quadratic programming, its subproblem solved by Gurobi.

The trust-region subproblem as a quadratic program in Gurobi: one environment, one reused model.

Gurobi's tolerances are absolute (1e-9 at best), while a converging fit takes steps from 1 down to
1e-10. So the program is solved for u with d_i = s_i u_i, where s_i = min(Δ, t/√H_ii) is the step to be
expected along coordinate i, t = max |g_i|/√H_ii, and the cost is divided by max |g_i s_i|. Then the
coefficients and u are of order one however small the step or the trust region is. A step beyond 10⁹
times the expected one is not trusted: wider bounds on u would only cost Gurobi its precision.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Literal

import numpy as np

from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.optimize.strategies.gauss_newton import LocalModel, local_model, next_model
from heterodyne_nb.optimize.strategies.run import IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import Readiness, register
from heterodyne_nb.options import GurobiOptions

Norm = Literal["box", "ball"]

_LOCK = threading.RLock()  # a Gurobi environment serves one thread at a time
_ENVIRONMENT: list[Any] = []

_OTHER_METHOD = "or choose another method, such as 'gauss_newton' or 'trf'"
_INSTALL = f"pip install gurobipy, {_OTHER_METHOD}"
_LICENCE = (
    "install a licence (free for academics), or reinstall gurobipy from pip, whose own licence is enough "
    f"for these sizes, {_OTHER_METHOD}"
)
_SIZE = f"fix or tie parameters, install a full licence, {_OTHER_METHOD}"
_FURTHEST = 1e9
_RIDGES = (1e-12, 1e-8, 1e-4)  # relative to the diagonal; the larger ones where rounding spoils the first
_PARAMETERS = {
    "Threads": 1,
    "OptimalityTol": 1e-9,
    "FeasibilityTol": 1e-9,
    "BarConvTol": 1e-12,
    "BarQCPConvTol": 1e-10,
}


def gurobi_readiness() -> Readiness:
    """Whether gurobipy is installed and its licence lets an environment start."""
    try:
        import gurobipy
    except ImportError as error:
        return Readiness("missing", f"gurobipy is not installed ({error})", _INSTALL)
    except Exception as error:  # it is there, but its library cannot be loaded
        return Readiness(
            "missing", f"gurobipy cannot be imported ({type(error).__name__}: {error})", _INSTALL
        )
    try:
        environment()
    except gurobipy.GurobiError as error:
        return Readiness("unlicensed", f"Gurobi refused to start: {error}", _LICENCE)
    return Readiness("ready", f"Gurobi {'.'.join(map(str, gurobipy.gurobi.version()))}")


def environment() -> Any:
    """The process's one silent Gurobi environment, started when first asked for."""
    import gurobipy

    with _LOCK:
        if not _ENVIRONMENT:
            _ENVIRONMENT.append(gurobipy.Env(params={"OutputFlag": 0}))
        return _ENVIRONMENT[0]


class TrustRegionProgram:
    """min gᵀd + ½ dᵀH d with lower ≤ d ≤ upper and |d_i| ≤ Δ (box) or ‖d‖₂ ≤ Δ (ball).

    Use it as a context manager; the model is built once and its numbers are replaced at each solve.

    ``size``: Number of variables. ``norm`` {"box", "ball"}.
    """

    def __init__(self, size: int, norm: Norm = "box") -> None:
        self._size, self._norm = size, norm
        self._ball: Any = None
        self._model: Any = None
        self._u: Any = None

    def __enter__(self) -> TrustRegionProgram:
        import gurobipy

        try:
            with _LOCK:
                self._model = gurobipy.Model(env=environment())
                for key, value in _PARAMETERS.items():
                    self._model.setParam(key, value)
                self._u = self._model.addMVar(self._size, lb=-np.inf, name="u")
        except gurobipy.GurobiError as error:  # a licence can also expire after it was found ready
            raise _told(error, self._size) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _LOCK:
            self._model.dispose()

    def solve(
        self, gradient: np.ndarray, hessian: np.ndarray, lower: np.ndarray, upper: np.ndarray, radius: float
    ) -> np.ndarray | None:
        """The best step d, or None when Gurobi finds no descent.

        ``gradient`` (n,). ``hessian`` (n, n): Positive semidefinite. ``lower``, ``upper`` (n,): Room for d; contains
        0. ``radius``: Δ.

        Raises OptimizationError: The licence is too small, or Gurobi fails.
        """
        low, high = np.maximum(lower, -radius), np.minimum(upper, radius)
        unit, cost = _expected_step(gradient, hessian, radius)
        if cost == 0.0:
            return np.zeros_like(gradient)
        form, linear = _semidefinite(hessian * np.outer(unit, unit) / cost), unit * gradient / cost
        low_u, high_u = np.maximum(low / unit, -_FURTHEST), np.minimum(high / unit, _FURTHEST)
        for ridge in _RIDGES:
            damped = form + ridge * np.diag(np.diag(form))
            u = self._solve_scaled(damped, linear, low_u, high_u, None)
            if u is not None and self._norm == "ball" and np.linalg.norm(unit * u) > radius:
                u = self._solve_scaled(damped, linear, low_u, high_u, unit / radius)
            if u is not None and linear @ u + 0.5 * u @ form @ u <= 0.0:
                return self._within(unit * u, low, high, radius)
        return None

    def _solve_scaled(
        self,
        form: np.ndarray,
        linear: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        per_radius: np.ndarray | None,
    ) -> np.ndarray | None:
        """Solve for u, None when Gurobi gives up; `per_radius` is s/Δ for the ball, None to leave it out."""
        import gurobipy

        try:
            with _LOCK:
                self._u.LB, self._u.UB = low, high
                self._replace_ball(per_radius)
                self._model.setMObjective(0.5 * form, linear, 0.0, self._u, self._u, self._u)
                self._model.optimize()
                return np.array(self._u.X) if self._model.SolCount > 0 else None
        except gurobipy.GurobiError as error:
            raise _told(error, self._size) from error

    def _replace_ball(self, per_radius: np.ndarray | None) -> None:
        if self._ball is not None:
            self._model.remove(self._ball)
            self._ball = None
        if per_radius is not None:
            self._ball = self._model.addMQConstr(np.diag(per_radius**2), None, "<", 1.0, self._u, self._u)

    def _within(self, step: np.ndarray, low: np.ndarray, high: np.ndarray, radius: float) -> np.ndarray:
        """Take out what the solver's tolerance let through."""
        inside = np.clip(step, low, high)
        norm = float(np.linalg.norm(inside))
        return np.asarray(inside * (radius / norm) if self._norm == "ball" and norm > radius else inside)


def _expected_step(gradient: np.ndarray, hessian: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """The step s to be expected along each coordinate, and the largest cost |g_i s_i| of one."""
    diagonal = np.diag(hessian).copy()
    largest = float(np.max(diagonal, initial=0.0))
    diagonal = np.maximum(diagonal, 1e-12 * largest) if largest > 0.0 else np.ones_like(diagonal)
    newton = 1.0 / np.sqrt(diagonal)
    unit = np.minimum(newton * np.max(np.abs(newton * gradient), initial=0.0), radius)
    return unit, float(np.max(np.abs(unit * gradient), initial=0.0))


def _semidefinite(form: np.ndarray) -> np.ndarray:
    """The nearest positive semidefinite matrix: rounding may have left negative eigenvalues."""
    values, vectors = np.linalg.eigh(0.5 * (form + form.T))
    mended = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(0.5 * (mended + mended.T))


def _told(error: Any, size: int) -> OptimizationError:
    import gurobipy

    codes = gurobipy.GRB.Error
    if error.errno == codes.SIZE_LIMIT_EXCEEDED:
        told, hint = f"{size} free parameters are more than this Gurobi licence allows", _SIZE
    elif error.errno == codes.NO_LICENSE:
        told, hint = f"Gurobi has no valid licence: {error}", _LICENCE
    else:
        told, hint = f"Gurobi failed: {error}", _OTHER_METHOD[3:]
    return OptimizationError(told, where="gurobi", hint=hint)


_DEFAULTS = GurobiOptions()


@register
@dataclass(kw_only=True, eq=False)
class GurobiTrustRegionStrategy(IterativeStrategy):
    """Trust-region SQP with Gurobi.

    At each iterate the step minimises gᵀd + ½ dᵀH d inside the trust region |d| ≤ Δ and the bounds. H
    is the full Gauss-Newton matrix when the objective offers it; for a plain callable g and the
    diagonal of H are central differences, and the rest of H is learnt from the steps taken. A step
    that lowers the objective is accepted and Δ grows; otherwise Δ shrinks and the step is tried anew.
    Gurobi is never replaced by another solver: where it cannot run, that is an error.

    Parameters
    ----------
    norm : {"box", "ball"}
        |d_i| ≤ Δ for every scaled coordinate, or ‖d‖₂ ≤ Δ.
    curvature : {"secant", "diagonal"}
        For a plain callable: learn the off-diagonal part of H by BFGS updates, or leave it zero.
    initial_radius, max_radius, min_radius : float
        Δ at the start, its largest, and the smallest at which the search gives up; scaled coordinates.
    expand, shrink : float
        Factors of Δ after an accepted and after a rejected step.
    accept : float
        Least ratio of actual to predicted decrease that is accepted.
    gtol : float
        Largest projected gradient at the end, relative to the objective (absolute below 1).
    ftol : float
        Decrease in one iteration, relative to the objective, below which it is not worth going on.
    xtol : float
        Step, in scaled coordinates, at which to stop.
    max_iterations : int, optional
        Default 100 for each parameter, 300 where the objective does not tell its noise.
    """

    name: ClassVar[str] = "gurobi"
    needs_gradient: ClassVar[bool] = True
    uses_normal_equations: ClassVar[bool] = True

    norm: Norm = _DEFAULTS.norm
    curvature: Literal["secant", "diagonal"] = _DEFAULTS.curvature
    initial_radius: float = _DEFAULTS.initial_radius
    max_radius: float = _DEFAULTS.max_radius
    min_radius: float = _DEFAULTS.min_radius
    expand: float = _DEFAULTS.expand
    shrink: float = _DEFAULTS.shrink
    accept: float = _DEFAULTS.accept
    gtol: float = _DEFAULTS.gtol
    ftol: float = _DEFAULTS.ftol
    xtol: float = _DEFAULTS.xtol

    @classmethod
    def ready(cls) -> Readiness:
        """Whether gurobipy is installed and licensed; starts the shared environment to find out."""
        return gurobi_readiness()

    def _minimise(self, run: Run) -> str:
        limit = self.max_iterations or (100 if run.tells_noise else 300) * run.best_z.size
        model = local_model(run, run.best_z, run.best_fun)
        radius = self.initial_radius
        with TrustRegionProgram(model.z.size, self.norm) as program:
            while run.nit < limit:
                if run.gradient_vanishes(model.z, model.gradient, self.gtol):
                    return "gradient tolerance"
                lower, upper = run.view.lower - model.z, run.view.upper - model.z
                step = program.solve(model.gradient, model.hessian, lower, upper, radius)
                if step is None:
                    return "subproblem failed"
                reason = self._too_small(run, model, step, radius)
                if reason is None:
                    model, radius, reason = self._try(run, model, step, radius)
                    run.iteration()
                if reason is not None:
                    return reason
        return "iteration limit"

    def _try(
        self, run: Run, model: LocalModel, step: np.ndarray, radius: float
    ) -> tuple[LocalModel, float, str | None]:
        """Take the step or shrink the trust region; the third entry says why to end, if so."""
        fun, promised = run.value(model.z + step), model.decrease(step)
        gained, least = model.fun - fun, run.negligible(self.ftol) * abs(model.fun)
        if gained > self.accept * promised:
            done = 0.25 * promised < gained <= least and radius >= 1e-3 * self.max_radius
            following = next_model(run, model, run.view.settle(model.z + step), fun, self.curvature)
            return following, min(self.expand * radius, self.max_radius), "cost tolerance" if done else None
        if self._free(step, radius) and promised <= 10.0 * least:  # within what differences can measure
            return model, radius, "cost tolerance"
        smaller = self.shrink * min(radius, self._length(step))
        return model, smaller, "trust radius" if smaller < self.min_radius else None

    def _too_small(self, run: Run, model: LocalModel, step: np.ndarray, radius: float) -> str | None:
        """Why a step that the trust region did not cut is not worth taking, or None when it is."""
        if not self._free(step, radius):
            return None
        if model.decrease(step) <= 1e-2 * run.negligible(self.ftol) * abs(model.fun):
            return "cost tolerance"
        if run.short(step, model.z, self.xtol):
            return "step tolerance"
        return None

    def _free(self, step: np.ndarray, radius: float) -> bool:
        return self._length(step) < 0.99 * radius

    def _length(self, step: np.ndarray) -> float:
        return float(np.max(np.abs(step)) if self.norm == "box" else np.linalg.norm(step))
