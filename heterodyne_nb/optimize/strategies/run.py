"""One optimisation while it runs: evaluations counted and guarded, the best kept, stop obeyed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import OptimizeResult

from heterodyne_nb.errors import HeterodyneError, OptimizationError
from heterodyne_nb.optimize.strategies.problem_view import (
    CURVATURE_STEP,
    GRADIENT_STEP,
    NormalEquations,
    ProblemView,
    differences,
    view_problem,
)
from heterodyne_nb.optimize.strategies.strategy import OptimizationStrategy
from heterodyne_nb.progress import ProgressEvent, careful, ignore_progress

T = TypeVar("T")

_ROUNDS = 100
FINAL = ("iteration limit", "known optimum", "cancelled", "time limit")

#: Why a run ended: (converged, message). The key is the result's ``stop_reason``.
ENDINGS: dict[str, tuple[bool, str]] = {
    "gradient tolerance": (True, "converged: the gradient vanishes"),
    "step tolerance": (True, "converged: the step is below its tolerance"),
    "cost tolerance": (True, "converged: the objective no longer changes"),
    "simplex tolerance": (True, "converged: the simplex has shrunk to its tolerance"),
    "rounding": (
        True,
        "converged: slopes and curvature are those of a minimum, and rounding hides what is below",
    ),
    "small steps": (False, "small steps, not converged: the slopes still promise a parameter change"),
    "flat": (
        False,
        "not converged: the objective hardly changes along some direction, so no single point is best",
    ),
    "another method": (
        True,
        "converged: a trust region from the same start found a lower minimum than this method, and it is given",
    ),
    "own criterion": (True, "converged by the strategy's own criterion"),
    "known optimum": (True, "on the way to an optimum that is known"),
    "not converged": (False, "the strategy did not converge"),
    "nothing to fit": (True, "every parameter is fixed"),
    "trust radius": (False, "no lower value within the smallest trust region"),
    "line search failed": (False, "no lower value along the search direction"),
    "subproblem failed": (False, "no descent in the quadratic model: it is numerically singular"),
    "derivatives not finite": (False, "the derivatives are not finite at the best point"),
    "bounds moved": (False, "the bounds of the internal coordinates kept moving with the point"),
    "iteration limit": (False, "iteration limit reached before convergence"),
    "cancelled": (False, "cancelled"),
    "time limit": (False, "time limit"),
}


class EndRun(Exception):
    """Ends a run from inside a solver; `reason` is a key of :data:`ENDINGS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Run:
    """State of one optimisation.

    Attributes: ``best_z`` (n,): Best point evaluated so far. ``nfev``, ``njev``, ``nit``: Evaluations of the
    objective, of its normal equations, and iterations. ``history``: (iteration, best objective), starting at
    iteration 0. ``notes``: What the strategy adds to its result. ``tells_noise``: The objective is a χ² that says
    what a change by one standard error is (``reduced``). Then changes far below that are not worth a pass; of any
    other function nothing is known but its rounding.
    """

    def __init__(self, view: ProblemView, strategy: OptimizationStrategy, objective: Any = None) -> None:
        self.view, self._strategy = view, strategy
        self._reduced = getattr(objective, "reduced", float)
        self.tells_noise = hasattr(objective, "reduced")
        self._on_progress = careful(strategy.on_progress or ignore_progress)
        self.best_z, self.best_fun = view.z0.copy(), np.inf
        self.nfev = self.njev = self.nit = 0
        self.history: list[tuple[int, float]] = []
        self.notes: dict[str, Any] = {}
        self._worst = -np.inf
        self._latest: NormalEquations | None = None

    def start(self) -> float:
        """Evaluate the start point, once, whatever the stop token says; it must be finite."""
        fun = self._count(self._guarded(self.view.fun, self.view.z0), self.view.z0)
        if not np.isfinite(fun):
            raise OptimizationError(
                f"the objective is {fun} at the start",
                where=self._strategy.name,
                expected="a finite number",
                hint="choose other start values or bounds",
            )
        self._report()
        return fun

    @property
    def stop(self) -> Any:
        """The stop token of the strategy."""
        return self._strategy.stop

    @property
    def looks_again(self) -> bool:
        """Whether a minimum that the strategy found is to be compared with that of another one."""
        return self._strategy.looks_again

    @property
    def noise(self) -> float:
        """Change of the objective by one standard error of one parameter; 0 where that means nothing."""
        return float(self._reduced(self.best_fun)) if self.tells_noise else 0.0

    def negligible(self, ftol: float) -> float:
        """Relative decrease not worth going on for: `ftol` where the noise is known, otherwise rounding."""
        return ftol if self.tells_noise else min(ftol, 4.0 * float(np.finfo(float).eps))

    def gradient_vanishes(self, z: np.ndarray, gradient: np.ndarray, gtol: float) -> bool:
        """Whether the largest free slope is below `gtol` of the objective (absolute below 1), or of rounding zero.

        Only a χ² has a unit, and coordinates with one; elsewhere a tolerance would depend on the units.
        """
        unit = gtol * max(1.0, abs(self.best_fun)) if self.tells_noise else 0.0
        return self.projected_gradient(z, gradient) <= unit

    def short(self, step: np.ndarray, z: np.ndarray, xtol: float) -> bool:
        """Whether a step is below `xtol` of the largest coordinate (of 1 at least); of every coordinate without noise."""
        if self.tells_noise:
            return bool(np.max(np.abs(step)) <= xtol * max(1.0, float(np.max(np.abs(z)))))
        return bool((np.abs(step) <= min(xtol, 1e-13) * np.abs(z)).all())

    def evaluate(self, z: np.ndarray) -> float:
        """Objective at z (clipped to the bounds) as it is, possibly NaN or infinite."""
        self.check_stop()
        inside = self.view.clip(z)
        if np.isfinite(self.best_fun) and np.array_equal(inside, self.best_z):
            return self.best_fun
        return self._count(self._guarded(self.view.fun, inside), inside)

    def value(self, z: np.ndarray) -> float:
        """Objective at z, with a finite wall where it is not finite: above everything seen."""
        fun = self.evaluate(z)
        return fun if np.isfinite(fun) else self.wall

    @property
    def wall(self) -> float:
        """A finite value above every value seen, to stand for NaN and infinity."""
        return self._worst + 10.0 * (abs(self._worst) or 1.0)

    def normal_equations(self, z: np.ndarray) -> NormalEquations | None:
        """χ², gradient and Gauss-Newton matrix at z; None when not offered or not finite there."""
        self.check_stop()
        inside = self.view.clip(z)
        equations = self._guarded(self.view.normal_equations, inside)
        if equations is None:
            return None
        if equations is not self._latest:  # the view keeps the last ones
            self._latest = equations
            self.njev += 1
            self._count(float(equations.chi2), inside)
        parts = (equations.chi2, equations.gradient, equations.hessian)
        return equations if all(np.isfinite(part).all() for part in parts) else None

    def value_and_gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Objective and gradient at z: from the normal equations, or by central differences."""
        if self.view.offers_normal_equations:
            equations = self.normal_equations(z)
            if equations is None:
                return self.wall, np.zeros_like(z)
            return float(equations.chi2), np.array(equations.gradient, float)
        fun = self.evaluate(z)
        if not np.isfinite(fun):
            return self.wall, np.zeros_like(z)
        return fun, self.differences(z, fun, GRADIENT_STEP)[0]

    def differences(self, z: np.ndarray, fun: float, step: float = CURVATURE_STEP) -> tuple[np.ndarray, ...]:
        """Gradient and diagonal Hessian at z by differences; see :func:`differences.differences`."""
        return differences(self.evaluate, z, fun, self.view.lower, self.view.upper, step)

    def unblocked(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Gradient with zero where a bound stops the descent."""
        blocked = ((z <= self.view.lower) & (gradient > 0)) | ((z >= self.view.upper) & (gradient < 0))
        return np.where(blocked, 0.0, gradient)

    def projected_gradient(self, z: np.ndarray, gradient: np.ndarray) -> float:
        """Largest gradient component along which the bounds still allow descent."""
        return float(np.max(np.abs(self.unblocked(z, gradient)), initial=0.0))

    def iteration(self) -> None:
        """Close an iteration: history, progress event, stop check."""
        self.nit += 1
        self._report()
        self.check_stop()

    def settle(self) -> bool:
        """Move the bounds to the best point; True when it leant on one that has moved away."""
        before, view = self.best_z, self.view
        lower, upper, near = view.lower.copy(), view.upper.copy(), 1e-6 * (1.0 + np.abs(before))
        self.best_z = view.settle(before)
        freed = (before - lower <= near) & (view.lower < lower - near)
        freed |= (upper - before <= near) & (view.upper > upper + near)
        return bool(freed.any() or (np.abs(self.best_z - before) > near).any())

    def end_if_adrift(self, z: np.ndarray) -> None:
        """Raise :class:`EndRun` where z stands for another point: derivatives there are not those at z."""
        meant = self.view.stands_for(self.view.clip(z))
        if (np.abs(meant - z) > 1e-6 * (1.0 + np.abs(z))).any():
            raise EndRun("bounds moved")

    def check_stop(self) -> None:
        """Raise :class:`EndRun` when the stop token asks for it."""
        stop = self._strategy.stop
        if stop is not None and stop.reason is not None:
            raise EndRun(stop.reason)

    def result(self, reason: str, message: str | None = None) -> OptimizeResult:
        """The result at the best point so far, told in the words of :data:`ENDINGS`."""
        success, told = ENDINGS[reason]
        return OptimizeResult(
            x=self.view.to_x(self.best_z),
            fun=self.best_fun,
            success=success,
            message=message or told,
            nfev=self.nfev,
            njev=self.njev,
            nit=self.nit,
            method=self._strategy.name,
            history=list(self.history),
            stop_reason=reason,
            **self.notes,
        )

    def _count(self, fun: float, z: np.ndarray) -> float:
        self.nfev += 1
        if np.isfinite(fun):
            self._worst = max(self._worst, fun)
            if fun < self.best_fun:
                self.best_fun, self.best_z = fun, z.copy()
        return fun

    def _guarded(self, function: Callable[[np.ndarray], T], z: np.ndarray) -> T:
        try:
            with np.errstate(all="ignore"):  # far trial points overflow; what is not finite is a wall
                return function(z)
        except HeterodyneError:
            raise
        except Exception as error:
            raise OptimizationError(
                f"the objective raised {type(error).__name__}: {error}",
                where=f"{self._strategy.name}, evaluation {self.nfev + 1}",
                hint=f"it happened at x = {np.array2string(self.view.to_x(z), precision=6)}",
            ) from error

    def _report(self) -> None:
        self.history.append((self.nit, self.best_fun))
        if self._strategy.on_progress in (None, ignore_progress):
            return
        chi2 = self._reduced(self.best_fun)
        parameters = dict(zip(self.view.names, self.view.to_x(self.best_z).tolist(), strict=True))
        message = f"iteration {self.nit}: {chi2:.6g} after {self.nfev} evaluations"
        self._on_progress(ProgressEvent(self._strategy.name, None, chi2, parameters, message))


@dataclass(kw_only=True, eq=False)
class IterativeStrategy(OptimizationStrategy):
    """A strategy that only has to write :meth:`_minimise`: view, guards, stop and result are here."""

    def optimize(
        self, objective_func: Callable[[np.ndarray], float], initial_params: Sequence[float] | np.ndarray
    ) -> OptimizeResult:
        """Minimise; see :meth:`OptimizationStrategy.optimize`."""
        self.require_ready()
        view = view_problem(objective_func, initial_params, bounds=self.bounds, scale=self.scale)
        run = Run(view, self, objective_func)
        run.start()
        from heterodyne_nb.optimize.strategies.confirm import confirmed  # it needs the run

        return run.result(confirmed(run, self._settled(run)) if view.z0.size else "nothing to fit")

    def run_again(self, view: ProblemView) -> Run:
        """A run of this strategy from the start of a function's view, as far as it goes."""
        run = Run(view, self)
        run.start()
        self._settled(run)
        return run

    def _settled(self, run: Run) -> str:
        """Minimise, and again from the answer while it leans on bounds that hold only elsewhere."""
        reason = "iteration limit"
        for _ in range(_ROUNDS):
            before = run.best_fun
            try:
                reason = self._minimise(run)
            except EndRun as end:
                reason = end.reason
            except HeterodyneError:
                raise
            except Exception as error:  # of a solver, whose own classes need not be installed
                raise OptimizationError(
                    f"its solver raised {type(error).__name__}: {error}",
                    where=self.name,
                    hint="choose another method, such as 'gauss_newton' or 'trf'",
                ) from error
            gained = before - run.best_fun > 1e-10 * abs(run.best_fun)
            if reason in FINAL or not gained or not (run.settle() or reason == "bounds moved"):
                break
        return reason

    @abstractmethod
    def _minimise(self, run: Run) -> str:
        """Iterate from ``run.best_z`` and return why it ended (a key of :data:`ENDINGS`)."""
