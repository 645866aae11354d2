"""Gradient and diagonal curvature of a plain function by differences that bounds and gaps cannot break."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Relative steps: best for the gradient alone, and a compromise that also resolves the curvature (whose
#: own best, eps^1/4, would leave too large an error of third order in the gradient near a minimum).
GRADIENT_STEP = float(np.finfo(float).eps ** (1 / 3))
CURVATURE_STEP = float(np.finfo(float).eps ** 0.3)


def differences(
    fun: Callable[[np.ndarray], float],
    z: np.ndarray,
    f0: float,
    lower: np.ndarray,
    upper: np.ndarray,
    step: float = CURVATURE_STEP,
) -> tuple[np.ndarray, np.ndarray]:
    """Second-order differences of `fun` at z, two evaluations a coordinate.

    Central where the bounds allow, one-sided with two points at a bound. A coordinate with only one
    finite neighbour gets a one-sided slope and no curvature; with none, zero for both.

    Parameters
    ----------
    fun : callable
        May return NaN or infinity.
    z : ndarray (n,)
    f0 : float
        ``fun(z)``, finite.
    lower, upper : ndarray (n,)
        No point outside is evaluated.
    step : float
        Step relative to ``max(1, |z_i|)``.

    Returns
    -------
    gradient, curvature : ndarray (n,)
        Curvature is the diagonal of the Hessian, NaN where it could not be measured.
    """
    gradient, curvature = np.zeros_like(z), np.full_like(z, np.nan)
    for i in range(z.size):
        a, b = _offsets(z[i], lower[i], upper[i], step)
        fa, fb = (_neighbour(fun, z, i, offset) for offset in (a, b))
        gradient[i], curvature[i] = _three_point(a, fa - f0, b, fb - f0)
    return gradient, curvature


def _offsets(z: float, lower: float, upper: float, step: float) -> tuple[float, float]:
    h = step * max(1.0, abs(z))
    up, down = upper - z, z - lower
    if up >= h and down >= h:
        return h, -h
    if max(up, down) >= 2 * h:
        return (h, 2 * h) if up > down else (-h, -2 * h)
    reach = max(up, down)
    return (reach, 0.5 * reach) if up > down else (-reach, -0.5 * reach)


def _neighbour(fun: Callable[[np.ndarray], float], z: np.ndarray, i: int, offset: float) -> float:
    moved = z.copy()
    moved[i] += offset
    return fun(moved)


def _three_point(a: float, da: float, b: float, db: float) -> tuple[float, float]:
    """Slope and curvature of the parabola through (0, 0), (a, da) and (b, db)."""
    if np.isfinite(da) and np.isfinite(db):
        span = a * b * (b - a)
        return (b * b * da - a * a * db) / span, 2.0 * (a * db - b * da) / span
    if np.isfinite(da):
        return da / a, np.nan
    if np.isfinite(db):
        return db / b, np.nan
    return 0.0, np.nan
