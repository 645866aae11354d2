"""Trust-region-reflective least squares on compressed residuals.

SciPy's TRF wants residuals r and Jacobian A; a fit of two-time maps has millions of them and keeps
only χ² = rᵀr, the gradient g = 2Aᵀr and H = 2AᵀA. An orthogonal Q can always be found with
Q r = (√χ², 0, …, 0)ᵀ. In that basis the first row of Q A is gᵀ/(2√χ²) and the other rows K satisfy
KᵀK = H/2 − g gᵀ/(4χ²), the Schur complement of χ² in the augmented normal matrix
[[AᵀA, Aᵀr], [rᵀA, rᵀr]], so it is positive semidefinite. TRF sees n + 1 residuals with exactly the
cost, gradient and Gauss-Newton matrix of all pixels, and a trial step needs χ² only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import BFGS, OptimizeResult, least_squares, minimize

from heterodyne_nb.optimize.strategies.problem_view import NormalEquations, ProblemView
from heterodyne_nb.optimize.strategies.run import EndRun, IterativeStrategy, Run
from heterodyne_nb.optimize.strategies.strategy import register
from heterodyne_nb.options import TRFOptions

_FAR = 10.0  # in scaled coordinates, where a parameter is of order one
_TRF_REASONS = {1: "gradient tolerance", 2: "cost tolerance", 3: "step tolerance", 4: "cost tolerance"}
_DEFAULTS = TRFOptions()


@register
@dataclass(kw_only=True, eq=False)
class TRFStrategy(IterativeStrategy):
    """SciPy's trust-region-reflective method (Branch, Coleman & Li 1999).

    On an objective with normal equations it is ``scipy.optimize.least_squares(method="trf")`` on
    compressed residuals (exact, see the module). A plain callable has no residuals; there it is
    SciPy's ``trust-constr``, also a trust region with bounds, with a central-difference gradient and
    a BFGS Hessian.

    Parameters
    ----------
    ftol, xtol : float
        Relative change of the objective, and of the step, at which to stop.
    gtol : float
        Largest projected gradient at the end, in scaled coordinates, relative to the objective
        (absolute below 1).
    initial_radius : float
        First trust radius in scaled coordinates (with normal equations).
    max_iterations : int, optional
        Default 100 for each parameter (1000 where the objective does not tell its noise, plain callable: 500).
    """

    name: ClassVar[str] = "trf"
    needs_gradient: ClassVar[bool] = True
    uses_normal_equations: ClassVar[bool] = True

    ftol: float = _DEFAULTS.ftol
    xtol: float = _DEFAULTS.xtol
    gtol: float = _DEFAULTS.gtol
    initial_radius: float = _DEFAULTS.initial_radius

    def _minimise(self, run: Run) -> str:
        if run.view.offers_normal_equations:
            return self._least_squares(run)
        return self._trust_constr(run)

    def _least_squares(self, run: Run) -> str:
        size = run.best_z.size
        limit = self.max_iterations or (100 if run.tells_noise else 1000) * size
        origin = run.best_z.copy()  # from 0 SciPy starts with a trust radius of 1 in units of x_scale

        def residuals(step: np.ndarray) -> np.ndarray:
            return np.concatenate([[np.sqrt(max(run.value(origin + step), 0.0))], np.zeros(size)])

        def jacobian(step: np.ndarray) -> np.ndarray:  # asked for once per accepted point
            z = origin + step
            equations = run.normal_equations(z)
            if equations is None:
                raise EndRun("derivatives not finite")
            if run.njev > 1:
                run.iteration()
            if run.nit >= limit:
                raise EndRun("iteration limit")
            run.end_if_adrift(z)
            if run.gradient_vanishes(z, equations.gradient, self.gtol):
                raise EndRun("gradient tolerance")
            return compressed_jacobian(equations)

        done = least_squares(
            residuals,
            np.zeros(size),
            jacobian,
            bounds=_near(run.view.lower - origin, run.view.upper - origin),
            method="trf",
            x_scale=self.initial_radius if run.tells_noise else "jac",
            ftol=run.negligible(self.ftol),
            xtol=self.xtol,
            gtol=None,
            max_nfev=20 * limit,
        )
        return _TRF_REASONS.get(done.status, "iteration limit")

    def _trust_constr(self, run: Run) -> str:
        start = _interior(run.view)
        unit = max(abs(run.best_fun), np.finfo(float).tiny)  # trust-constr's tolerances are absolute

        def value_and_gradient(z: np.ndarray) -> tuple[float, np.ndarray]:
            fun, gradient = run.value_and_gradient(z)
            return fun / unit, gradient / unit

        def close_iteration(intermediate_result: OptimizeResult) -> None:
            run.iteration()
            if run.gradient_vanishes(intermediate_result.x, unit * intermediate_result.grad, self.gtol):
                raise EndRun("gradient tolerance")

        bounded = np.isfinite(run.view.lower).any() or np.isfinite(run.view.upper).any()
        done = minimize(
            value_and_gradient,
            start,
            jac=True,
            hess=_QuietBFGS(),
            method="trust-constr",
            bounds=run.view.bounds if bounded else None,
            callback=close_iteration,
            options={
                "maxiter": self.max_iterations or 500 * start.size,
                "xtol": self.xtol,
                "gtol": 1e-14,
                "barrier_tol": 1e-13,
            },
        )
        return {1: "gradient tolerance", 2: "step tolerance"}.get(done.status, "iteration limit")


def _near(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds without those far away: TRF stretches its trust region by the distance to each finite one.

    An iterate beyond a bound left out ends the round, and the next one starts with that bound near.
    """
    return np.where(lower < -_FAR, -np.inf, lower), np.where(upper > _FAR, np.inf, upper)


def _interior(view: ProblemView) -> np.ndarray:
    """The start moved off its bounds, where an interior-point method cannot begin."""
    margin = np.minimum(0.01, 0.1 * (view.upper - view.lower))
    return np.asarray(np.clip(view.z0, view.lower + margin, view.upper - margin))


class _QuietBFGS(BFGS):
    """BFGS that passes over a step without a change of gradient, instead of warning about it."""

    def update(self, delta_x: np.ndarray, delta_grad: np.ndarray) -> None:
        if np.any(delta_grad != 0.0):
            super().update(delta_x, delta_grad)


def compressed_jacobian(equations: NormalEquations) -> np.ndarray:
    """Jacobian (n+1, n) that belongs to the residual vector (√χ², 0, …, 0).

    ``equations``: χ² with its gradient g and Gauss-Newton matrix H. Returns: B with 2 Bᵀ(√χ², 0, …) = g and 2 BᵀB = H
    (see the module's derivation). Eigenvalues of the Schur complement that are negative (by rounding, or under a
    robust loss) count as zero.
    """
    gradient, normal = np.asarray(equations.gradient, float), 0.5 * np.asarray(equations.hessian, float)
    root = np.sqrt(max(float(equations.chi2), 0.0))
    first = gradient / (2.0 * root) if root > 0.0 else np.zeros_like(gradient)
    rest = normal - np.outer(first, first)
    scale = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(0.5 * (rest + rest.T) / np.outer(scale, scale))
    factor = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * scale
    return np.vstack([first, factor])
