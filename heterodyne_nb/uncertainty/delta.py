"""The delta method: the covariance of a function of the parameters, to first order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

FloatArray = NDArray[np.float64]

#: Half-width of a 95 % band in standard errors of a normal law.
NORMAL_95 = 1.959963984540054
#: Relative step of a central difference that balances truncation and rounding: cube root of epsilon.
_STEP = float(np.cbrt(np.finfo(float).eps))
#: Parameters smaller than this are stepped as if they had this size (an exponent or rate near zero).
_FLOOR = 1e-3
#: Times of a curve at which quantiles and bounds are computed: so many evenly spaced in time and in its logarithm.
_NODES = 8


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
    return _stderr(jacobian(function, np.asarray(values, dtype=float)), covariance)


def _stderr(slopes: FloatArray, covariance: FloatArray) -> FloatArray:
    known = np.isfinite(covariance)
    filled = np.where(known, covariance, 0.0)
    variance = np.einsum("mi,ij,mj->m", slopes, filled, slopes)
    unknown = ~known.diagonal()
    doubtful = np.any(slopes[:, unknown] != 0, axis=1)
    return np.where(doubtful, np.nan, np.sqrt(np.maximum(variance, 0.0)))


class Spread(Protocol):
    """What is known of the errors of a fit besides the covariance."""

    def freedom(self, slopes: FloatArray) -> FloatArray:
        """Degrees of freedom (m,) of the variances of numbers with derivatives (m, p)."""

    def extents(self, slopes: FloatArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far such numbers go down and up in so many standard errors (m,) inside the bounds, (m,) each."""


def curve_bands(
    model: Any,
    parameters: FloatArray,
    covariance: FloatArray,
    t: FloatArray,
    *,
    spread: Spread | None = None,
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """95 % bands of a model's curves from the covariance of its parameters, inside what is physical.

    J below 0 and fractions outside [0, 1] cannot be; a band is cut at the limits of its curve, which loses no truth. Curves are linear
    in the parameters here: on a logarithmic scale bands of a J near 0 were too narrow
    (tests/benchmarks/coverage_study.py).

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    parameters : array, shape (p,)
    covariance : array, shape (p, p)
    t : array, shape (n_t,)
        Times in s.
    spread : Spread, optional
        With it bands are Student's and reach as far as the bounds of the parameters let them; else they are normal
        and know of no bounds.

    Returns
    -------
    dict of str to (lower, upper)
        Arrays of shape (n_t,) in the curve's unit.
    """
    middle = {name: np.asarray(curve, dtype=float) for name, curve in model.curves(parameters, t).items()}
    if not middle:
        return {}
    slopes = jacobian(
        lambda p: np.concatenate([np.asarray(c, dtype=float) for c in model.curves(p, t).values()]),
        np.asarray(parameters, dtype=float),
    )
    error = np.split(_stderr(slopes, covariance), len(middle))
    parts = np.split(slopes, len(middle))
    bands = {}
    for (name, curve), one, slope in zip(middle.items(), error, parts, strict=True):
        down, up = (NORMAL_95 * one,) * 2 if spread is None else _reach(spread, slope, one)
        least, most = model.curve(name).range
        bands[name] = (
            np.maximum(curve - down, min(least, curve.min())),
            np.minimum(curve + up, max(most, curve.max())),
        )
    return bands


def _reach(spread: Spread, slopes: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How far a curve goes down and up, in 97.5 % quantiles of Student's law and inside the bounds.

    Quantile and share that the bounds leave are computed at a few times and interpolated: they change slowly.
    """
    every, nodes = np.arange(len(slopes)), _nodes(len(slopes))
    quantile = stdtrit(spread.freedom(slopes[nodes]), 0.975)
    full = quantile * error[nodes]
    sides = spread.extents(slopes[nodes], quantile)
    share = [np.divide(side, full, out=np.ones_like(full), where=full > 0) for side in sides]
    down, up = (error * np.interp(every, nodes, quantile * np.minimum(one, 1.0)) for one in share)
    return down, up


def _nodes(n: int) -> NDArray[np.int64]:
    """Places of a few times of n, dense at the beginning, where power laws change most."""
    places = np.concatenate([np.linspace(0, n - 1, _NODES), np.geomspace(1, n, _NODES) - 1])
    return np.unique(places.round().astype(int))
