"""Quadratic models of an objective around an iterate, from normal equations or from differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from heterodyne_nb.optimize.strategies.run import EndRun, Run


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
    return hessian * np.outer(factor, factor)
