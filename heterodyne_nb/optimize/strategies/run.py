"""One optimisation while it runs: evaluations counted and guarded, the best kept, stop obeyed.

Whether the answer of a run is a minimum: slopes and curvature there, whatever made the run stop.

Small steps or a small relative decrease also come from a narrow valley, a plateau, or an objective whose rounding hides
its slope (f + 1e8). So the answer counts as converged only when the Newton step from it is a small part of every
parameter, the Hessian is positive definite beyond its own error, and the rounding of the objective leaves every
parameter determined. None of these depends on the units of the objective or of the parameters.

A function has minima of its own making besides: a plateau that rounding curves, a period missed. Methods without a model of
the curvature end there more often, so a trust region goes the same way again (``looks_again``), and the lower end is given.

An objective that tells its noise (``reduced``) is judged by that noise instead: there a direction that the data hardly
determine is the normal case, and it belongs in the error bars.
"""

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


_EPS = float(np.finfo(float).eps)
_ROUNDING = 4.0 * _EPS  # of one evaluation, relative
_NEWTON = 1e-5  # largest Newton step, relative to the parameter
_RESOLVED = 1e-4  # largest part of a parameter that rounding may hide
_NIL = 1e-8  # of the start: no smaller parameter has digits
_POLISH = 10


@dataclass(frozen=True)
class Curvature:
    """Second-order picture of the objective at a point, over the coordinates that bounds leave free."""

    free: np.ndarray  #: (n,)
    gradient: np.ndarray  #: (k,)
    hessian: np.ndarray  #: (k, k)
    error: float  #: Of an entry of the Hessian scaled to a diagonal of ones.
    resolution: float  #: Change of the objective that rounding hides.


def confirmed(run: Run, reason: str) -> str:
    """Why the run ended, after looking whether its answer is a minimum; Newton steps that still help are taken.

    ``reason``: A key of :data:`~heterodyne_nb.optimize.strategies.run.ENDINGS`, as the strategy gave it.
    """
    if run.tells_noise or reason in FINAL or not run.best_z.size:
        return reason
    try:
        verdict = _polished(run)
        if verdict == "minimum" and run.looks_again and _lower_elsewhere(run):
            verdict, reason = _polished(run), "another method"
    except EndRun as end:
        return end.reason
    converged = ENDINGS[reason][0]
    if verdict == "minimum":
        return reason if converged else "rounding"
    return verdict if converged else reason


def _polished(run: Run) -> str:
    """The verdict on the best point after Newton steps that help."""
    for _ in range(_POLISH):
        verdict, step = _judge(run)
        before = run.best_fun
        if step is None or not (run.value(run.best_z + step) < before):
            break
    return verdict


def _lower_elsewhere(run: Run) -> bool:
    """Whether a trust region from the same start ends lower; its end is then the best point of the run."""
    from heterodyne_nb.optimize.strategies.trf import TRFStrategy  # it needs the run

    again = TRFStrategy(stop=run.stop).run_again(run.view)
    run.nfev, run.njev = run.nfev + again.nfev, run.njev + again.njev
    if not again.best_fun < run.best_fun - 1e-9 * abs(run.best_fun):
        return False
    run.best_z, run.best_fun = again.best_z, again.best_fun
    return True


def _judge(run: Run) -> tuple[str, np.ndarray | None]:
    """A verdict on the best point, and the Newton step from it where that can be trusted."""
    seen = curvature(run)
    if seen is None or not seen.free.any():
        return ("small steps" if seen is None else "minimum"), None
    diagonal = np.diag(seen.hessian)
    if not (np.isfinite(seen.hessian).all() and (diagonal > 0.0).all()):
        return "flat", None
    unit = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(seen.hessian * np.outer(unit, unit))
    if values[0] <= 3.0 * len(values) * seen.error:
        return "flat", None
    root = unit[:, None] * vectors / np.sqrt(values)  # its square is the inverse Hessian
    spread = np.sqrt(np.sum(root**2, axis=1))
    newton = -root @ (root.T @ seen.gradient)
    z = run.best_z[seen.free]
    near_zero = np.clip(
        np.sqrt(abs(run.best_fun)) * spread, _NIL, 1e-3
    )  # what is a small change of a vanishing one
    size = np.maximum(np.abs(z), near_zero)
    hidden = np.sqrt(2.0 * seen.resolution) * spread
    step = np.zeros_like(run.best_z)
    step[seen.free] = newton
    if (hidden > _RESOLVED * size).any():
        return "flat", step
    return ("small steps" if (np.abs(newton) > _NEWTON * size).any() else "minimum"), step


def curvature(run: Run) -> Curvature | None:
    """From the normal equations, or by differences; None where the derivatives are not finite."""
    z, fun = run.best_z.copy(), run.best_fun
    if run.view.offers_normal_equations:
        equations = run.normal_equations(z)
        if equations is None:
            return None
        free = _free(run, z, np.asarray(equations.gradient, float))
        hessian = np.asarray(equations.hessian, float)[np.ix_(free, free)]
        return Curvature(free, np.asarray(equations.gradient, float)[free], hessian, _EPS, 0.0)
    noise = _ROUNDING * abs(fun) + float(np.finfo(float).tiny)
    gradient, diagonal = run.differences(z, fun)
    with np.errstate(
        all="ignore"
    ):  # where rounding and curvature weigh the same, within a hundredth of the parameter
        best = np.sqrt(2.0 * np.sqrt(_EPS) * abs(fun) / np.abs(diagonal))
    size = np.where(z != 0.0, np.abs(z), 1.0)
    steps = np.clip(np.where(np.isfinite(best), best, 0.0), 1e-6 * size, 1e-2 * size)
    free = _free(run, z, gradient)
    free &= (z - steps >= run.view.lower) & (z + steps <= run.view.upper)
    gradient, hessian = _by_differences(run, z, fun, steps, np.flatnonzero(free))
    h = steps[free]
    with np.errstate(all="ignore"):
        error = float(np.max(noise / (h**2 * np.diag(hessian)), initial=0.0))
    return Curvature(free, gradient, hessian, error, noise)


def _free(run: Run, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Coordinates that no bound stops."""
    return np.asarray((run.unblocked(z, gradient) == gradient) & (run.view.lower < run.view.upper))


def _by_differences(
    run: Run, z: np.ndarray, fun: float, steps: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (k,) and Hessian (k, k) over the coordinates `free` by central differences."""

    def at(*moves: tuple[int, float]) -> float:
        moved = z.copy()
        for i, sign in moves:
            moved[i] += sign * steps[i]
        return run.evaluate(moved)

    gradient, hessian = np.zeros(len(free)), np.zeros((len(free), len(free)))
    for a, i in enumerate(free):
        up, down = at((i, 1.0)), at((i, -1.0))
        gradient[a] = (up - down) / (2.0 * steps[i])
        hessian[a, a] = (up - 2.0 * fun + down) / steps[i] ** 2
        for b, j in enumerate(free[:a]):
            corners = at((i, 1.0), (j, 1.0)) + at((i, -1.0), (j, -1.0))
            corners -= at((i, 1.0), (j, -1.0)) + at((i, -1.0), (j, 1.0))
            hessian[a, b] = hessian[b, a] = corners / (4.0 * steps[i] * steps[j])
    return gradient, hessian
