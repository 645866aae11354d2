"""Bounded Levenberg-Marquardt on the normal equations: the default fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from heterodyne_nb.optimize.strategies.curvature import LocalModel, local_model, next_model
from heterodyne_nb.optimize.strategies.run import IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import register
from heterodyne_nb.options import GaussNewtonOptions

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
