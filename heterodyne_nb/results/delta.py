"""The delta method: the covariance of a function of the parameters, to first order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Half-width of a 95 % band in standard errors of a normal law.
NORMAL_95 = 1.959963984540054
#: Relative step of a central difference that balances truncation and rounding: cube root of epsilon.
_STEP = float(np.cbrt(np.finfo(float).eps))
#: Parameters smaller than this are stepped as if they had this size (an exponent or rate near zero).
_FLOOR = 1e-3


def jacobian(function: Callable[[FloatArray], FloatArray], values: FloatArray) -> FloatArray:
    """Central differences of a vector function.

    Parameters
    ----------
    function : callable
        Array of shape (p,) to array of shape (m,).
    values : array, shape (p,)
        Where to differentiate.

    Returns
    -------
    array, shape (m, p)
    """
    columns = []
    for i, value in enumerate(values):
        step = _STEP * max(abs(value), _FLOOR)
        up, down = values.copy(), values.copy()
        up[i], down[i] = value + step, value - step
        columns.append((function(up) - function(down)) / (up[i] - down[i]))
    return np.stack(columns, axis=-1)


def propagate(
    function: Callable[[FloatArray], FloatArray], values: FloatArray, covariance: FloatArray
) -> FloatArray:
    """Return the standard error of every component of a function of the parameters.

    Parameters
    ----------
    function : callable
        Array of shape (p,) to array of shape (m,).
    values : array, shape (p,)
    covariance : array, shape (p, p)
        NaN where unknown: components that depend on such a parameter get NaN.

    Returns
    -------
    array, shape (m,)
    """
    slopes = jacobian(function, np.asarray(values, dtype=float))
    known = np.isfinite(covariance)
    filled = np.where(known, covariance, 0.0)
    variance = np.einsum("mi,ij,mj->m", slopes, filled, slopes)
    unknown = ~known.diagonal()
    doubtful = np.any(slopes[:, unknown] != 0, axis=1)
    return np.where(doubtful, np.nan, np.sqrt(np.maximum(variance, 0.0)))


def curve_bands(
    model: Any, parameters: FloatArray, covariance: FloatArray, t: FloatArray
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """95 % bands of a model's curves from the covariance of its parameters.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    parameters : array, shape (p,)
    covariance : array, shape (p, p)
    t : array, shape (n_t,)
        Times in s.

    Returns
    -------
    dict of str to (lower, upper)
        Arrays of shape (n_t,) in the curve's unit.
    """
    middle = model.curves(parameters, t)
    if not middle:
        return {}
    stacked = propagate(
        lambda p: np.concatenate([np.asarray(c, dtype=float) for c in model.curves(p, t).values()]),
        parameters,
        covariance,
    )
    halves = np.split(NORMAL_95 * stacked, len(middle))
    return {
        name: (curve - half, curve + half) for (name, curve), half in zip(middle.items(), halves, strict=True)
    }
