"""Bounded Levenberg-Marquardt on the normal equations: the default fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from heterodyne_nb.optimize.strategies.run import EndRun, IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import register
from heterodyne_nb.options import GaussNewtonOptions


@dataclass(frozen=True)
class LocalModel:
    """f(z + d) ≈ fun + gᵀd + ½ dᵀH d, with H positive semidefinite."""

    z: np.ndarray
    fun: float
    gradient: np.ndarray
    hessian: np.ndarray

    def decrease(self, step: np.ndarray) -> float:
        """Decrease the model promises for a step."""
        return -float(self.gradient @ step + 0.5 * step @ self.hessian @ step)


def local_model(run: Run, z: np.ndarray, fun: float) -> LocalModel:
    """Model at z: Gauss-Newton where offered, otherwise measured gradient and diagonal Hessian.

    Raises EndRun: The normal equations are not finite at z.
    """
    if not run.view.offers_normal_equations:
        gradient, diagonal = run.differences(z, fun)
        return LocalModel(z, fun, gradient, np.diag(usable_curvature(diagonal)))
    equations = run.normal_equations(z)
    if equations is None:
        raise EndRun("derivatives not finite")
    hessian = np.asarray(equations.hessian, float)
    return LocalModel(
        z, float(equations.chi2), np.asarray(equations.gradient, float), 0.5 * (hessian + hessian.T)
    )


def gain_left(run: Run) -> float:
    """Decrease that the slopes at the best point still promise, each coordinate by itself."""
    model = local_model(run, run.best_z, run.best_fun)
    slopes = run.unblocked(model.z, model.gradient)
    return float(0.5 * np.sum(slopes**2 / np.maximum(np.diag(model.hessian), np.finfo(float).tiny)))


def next_model(
    run: Run, old: LocalModel, z: np.ndarray, fun: float, curvature: Literal["secant", "diagonal"]
) -> LocalModel:
    """Model at the accepted point z; a plain callable's may keep what the old one had learnt."""
    new = local_model(run, z, fun)
    if run.view.offers_normal_equations or curvature == "diagonal":
        return new
    learnt = _with_diagonal(old.hessian, np.diag(new.hessian))
    hessian = damped_bfgs(learnt, z - old.z, new.gradient - old.gradient)
    return LocalModel(z, fun, new.gradient, hessian)


def damped_bfgs(hessian: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """BFGS update with Powell's damping (Nocedal & Wright, eq. 18.14-18.16): stays positive definite.

    ``hessian`` (n, n): Positive definite. ``step``, ``change`` (n,): Step taken and the change of gradient along it.
    """
    curved = hessian @ step
    expected = float(step @ curved)
    if expected <= 0.0:
        return hessian
    measured = float(step @ change)
    share = 1.0 if measured >= 0.2 * expected else 0.8 * expected / (expected - measured)
    damped = share * change + (1.0 - share) * curved
    return hessian - np.outer(curved, curved) / expected + np.outer(damped, damped) / float(step @ damped)


def usable_curvature(diagonal: np.ndarray) -> np.ndarray:
    """Positive curvatures: saddles count by their size, unmeasured entries as the median."""
    size = np.abs(diagonal)
    known = size[np.isfinite(size) & (size > 0.0)]
    typical = float(np.median(known)) if known.size else 1.0
    largest = float(np.max(known, initial=typical))
    return np.maximum(np.where(np.isfinite(size), size, typical), 1e-10 * largest)


def _with_diagonal(hessian: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """The matrix with the same correlations and a freshly measured diagonal."""
    kept = np.diag(hessian)
    usable = (kept > 0.0) & (diagonal > 0.0)  # rounding may have left neither
    factor = np.sqrt(np.where(usable, diagonal, 1.0) / np.where(usable, kept, 1.0))
    return np.asarray(hessian * np.outer(factor, factor))


_LARGEST_DAMPING = 1e14
#: Along a direction that the data hardly determine χ² falls forever, ever less. Enough when the last steps each
#: gained less than this share of the reduced χ² (an error of one sigma is a change by 1). Halfway to the iteration
#: limit less will do: of a fit that creeps for so long, correlated pixels make that many times too strict.
_QUIET = ((5, 1e-4), (10, 1e-2))
Quiet = tuple[tuple[int, float], tuple[int, float]]


def bounded_step(
    hessian: np.ndarray, gradient: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Minimise gᵀd + ½ dᵀH d over a box that contains 0, H positive definite (primal active set).

    ``hessian`` (n, n). ``gradient`` (n,). ``lower``, ``upper`` (n,): ``lower <= 0 <= upper``. Returns (n,): The step;
    bounds are met exactly.
    """
    n = len(gradient)
    step, free = np.zeros(n), np.ones(n, bool)
    free &= ~((lower >= 0) & (gradient > 0)) & ~((upper <= 0) & (gradient < 0))
    if free.all():
        whole = -np.linalg.solve(hessian, gradient)
        if ((lower <= whole) & (whole <= upper)).all():
            return whole
    for _ in range(4 * n + 4):
        target = step.copy()
        if free.any():
            right = -(gradient[free] + hessian[np.ix_(free, ~free)] @ step[~free])
            target[free] = np.linalg.solve(hessian[np.ix_(free, free)], right)
        reach, hit = _reach(step, target, lower, upper, free)
        step = step + reach * (target - step)
        if hit is not None:
            step[hit] = lower[hit] if target[hit] < lower[hit] else upper[hit]
            free[hit] = False
            continue
        slope = gradient + hessian @ step
        wrong = ~free & (((step <= lower) & (slope < 0)) | ((step >= upper) & (slope > 0)))
        wrong &= upper > lower
        if not wrong.any():
            return step
        free[np.argmax(np.where(wrong, np.abs(slope), -1.0))] = True
    return step


def _reach(
    step: np.ndarray, target: np.ndarray, lower: np.ndarray, upper: np.ndarray, free: np.ndarray
) -> tuple[float, int | None]:
    """How far towards the target the box allows, and which coordinate stops it."""
    move = target - step
    room = np.full(len(step), np.inf)
    up, down = free & (target > upper), free & (target < lower)
    room[up] = (upper[up] - step[up]) / move[up]
    room[down] = (lower[down] - step[down]) / move[down]
    hit = int(np.argmin(room))
    return (1.0, None) if room[hit] >= 1.0 else (max(float(room[hit]), 0.0), hit)


_DEFAULTS = GaussNewtonOptions()


@register
@dataclass(kw_only=True, eq=False)
class GaussNewtonStrategy(IterativeStrategy):
    """Gauss-Newton with Levenberg-Marquardt damping inside the bounds.

    Each step minimises the quadratic model of the normal equations plus a damping that is scaled by their
    diagonal (Marquardt) and steered by the ratio of actual to predicted decrease (Nielsen 1999). For a
    plain callable the model comes from differences and secant updates.

    Parameters
    ----------
    damping : float
        First damping, relative to the diagonal.
    accept : float
        Least ratio of actual to predicted decrease that is accepted.
    gtol, ftol, xtol : float
        Tolerances of the projected gradient (relative to the objective), the predicted decrease (likewise)
        and the step in scaled coordinates.
    max_iterations : int, optional
        Default 200, or 2000 where the objective does not tell its noise.
    """

    name: ClassVar[str] = "gauss_newton"
    needs_gradient: ClassVar[bool] = True
    uses_normal_equations: ClassVar[bool] = True
    quiet: ClassVar[Quiet] = _QUIET

    damping: float = _DEFAULTS.damping
    accept: float = _DEFAULTS.accept
    gtol: float = _DEFAULTS.gtol
    ftol: float = _DEFAULTS.ftol
    xtol: float = _DEFAULTS.xtol

    def _minimise(self, run: Run) -> str:
        limit = self.max_iterations or (200 if run.tells_noise else 2000)
        negligible = run.negligible(self.ftol)
        model = local_model(run, run.best_z, run.best_fun)
        damping, grow, scale = self.damping, 2.0, _diagonal(model)
        course = [model.fun]
        while run.nit < limit:
            if self._arrived(run, model):
                return "known optimum"
            if run.gradient_vanishes(model.z, model.gradient, self.gtol):
                return "gradient tolerance"
            lower, upper = run.view.lower - model.z, run.view.upper - model.z
            lower, upper = np.minimum(lower, 0.0), np.maximum(upper, 0.0)
            if not run.tells_noise:  # a start may be orders away, and a leap from it may end on a plateau
                reach = np.maximum(np.abs(model.z), 1.0)
                lower, upper = np.maximum(lower, -reach), np.minimum(upper, reach)
            step = bounded_step(model.hessian + np.diag(damping * scale), model.gradient, lower, upper)
            promised = model.decrease(step)
            if promised <= negligible * abs(model.fun):
                return "cost tolerance"
            if run.short(step, model.z, self.xtol):
                return "step tolerance"
            fun = run.value(model.z + step)
            ratio = (model.fun - fun) / promised
            if ratio > self.accept:
                course.append(fun)
                if _creeps(course, run.noise, *self.quiet[2 * run.nit > limit]):
                    return "cost tolerance"
                model = next_model(run, model, run.view.settle(model.z + step), fun, "secant")
                scale = np.maximum(_diagonal(model), 0.3 * scale)
                damping *= max(1.0 / 5.0, 1.0 - (2.0 * ratio - 1.0) ** 3)
                grow = 2.0
            else:
                damping, grow = damping * grow, grow * 2.0
            run.notes["damping"] = damping
            run.iteration()
            if damping > _LARGEST_DAMPING:
                return "trust radius"
        return "iteration limit"

    def _arrived(self, run: Run, model: LocalModel) -> bool:
        """Whether the way ahead leads to a place that is known already."""
        return False


def _creeps(course: list[float], noise: float, steps: int, gain: float) -> bool:
    """Whether each of the last accepted steps gained next to nothing of the objective."""
    gains = -np.diff(course[-1 - steps :])
    return len(gains) == steps and bool(np.all(gains <= gain * noise))


def _diagonal(model: LocalModel) -> np.ndarray:
    """Diagonal of the matrix, floored so that a direction without data is damped too."""
    diagonal = np.diag(model.hessian)
    return np.maximum(diagonal, 1e-9 * max(float(diagonal.max()), 1e-30))
