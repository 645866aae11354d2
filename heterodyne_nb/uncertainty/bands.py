"""Errors and bands of what follows from the parameters, to first order (the delta method), inside their bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from heterodyne_nb.arrays import FloatArray

#: Half-width of a 95 % band in standard errors of a normal law.
NORMAL_95 = 1.959963984540054
#: Relative step of a central difference that balances truncation and rounding: cube root of epsilon.
_STEP = float(np.cbrt(np.finfo(float).eps))
#: Parameters smaller than this are stepped as if they had this size (an exponent or rate near zero).
_FLOOR = 1e-3
#: Times of a curve at which quantiles and bounds are computed: so many evenly spaced in time and in its logarithm.
_NODES = 8
#: Added to the correlation matrix: directions without a variance are not moved along.
_RIDGE = 1e-9
#: Corners of a path a coordinate, at most: each bound is met and left about once.
_CORNERS = 10
#: Rounding of moves and forces.
_STILL = 1e-12


def jacobian(function: Callable[[FloatArray], FloatArray], values: FloatArray) -> FloatArray:
    """Central differences of a vector function.

    ``function``: Array of shape (p,) to array of shape (m,). ``values`` (p,): Where to differentiate. Returns (m, p).
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

    ``function``: Array of shape (p,) to array of shape (m,). ``values`` (p,). ``covariance`` (p, p): NaN where
    unknown: components that depend on such a parameter get NaN. Returns (m,).
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

    @property
    def shift(self) -> FloatArray:
        """How far the middle of the bands is from the parameters, (p,)."""

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

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``parameters`` (p,). ``covariance`` (p, p). ``t``
    (n_t,): Times in s. ``spread``: With it bands are Student's and reach as far as the bounds of the parameters let
    them; else they are normal and know of no bounds. Returns (lower, upper): Arrays of shape (n_t,) in the curve's
    unit.
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
        if spread is not None:
            moved = slope @ spread.shift
            down, up = np.maximum(down - moved, 0.0), np.maximum(up + moved, 0.0)
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


@dataclass(frozen=True, eq=False)
class BoundedEllipsoid:
    """An ellipsoid of steps, and the box they must stay in.

    The 95 % set of the parameters is an ellipsoid around the fit, {s : sᵀ V⁻¹ s <= q²}; a number linear in them then
    lies within q standard errors. Bounds cut the ellipsoid, and the number lies between its least and its largest value
    in what is left. That loses no truth, for the truth obeys the bounds. Where a weakly determined exponent rests on its
    bound the two differ several-fold (tests/benchmarks/coverage_study.py).
    """

    covariance: FloatArray  #: (n, n): Of the coordinates; those without a variance stay where they are.
    #: lower, upper (n,): Room of a step, ``lower <= 0 <= upper``.
    lower: FloatArray
    upper: FloatArray

    def extents(self, slopes: FloatArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far numbers go down and up.

        ``slopes`` (m, n): Derivatives of the numbers by the coordinates. ``distances`` (m,): Size of the ellipsoid
        for each, in standard errors. Returns ``down, up`` (m,): Neither is negative, neither is larger than the
        distance times the standard error.
        """
        pairs = list(zip(slopes[:, self._known] * self._errors, distances, strict=True))
        down = [self._farthest(-slope, distance) for slope, distance in pairs]
        up = [self._farthest(slope, distance) for slope, distance in pairs]
        return np.array(down), np.array(up)

    def _farthest(self, slope: FloatArray, distance: float) -> float:
        """Largest rise of a number, its slope in standard errors of the coordinates."""
        precision, correlation = self._precision
        error = float(np.sqrt(max(float(slope @ correlation @ slope), 0.0)))
        if error == 0.0 or distance == 0.0:
            return 0.0
        lower, upper = self._room
        step = distance / error * (correlation @ slope)
        if np.all((step >= lower) & (step <= upper)):
            return distance * error
        step = _pulled(precision, slope, lower, upper, distance)
        return min(max(float(slope @ step), 0.0), distance * error)

    @cached_property
    def _known(self) -> NDArray[np.int64]:
        """Coordinates with a variance."""
        variance = np.diag(self.covariance)
        return np.flatnonzero(variance > 1e-24 * np.max(variance, initial=0.0))

    @cached_property
    def _errors(self) -> FloatArray:
        return np.sqrt(np.diag(self.covariance)[self._known])

    @cached_property
    def _room(self) -> tuple[FloatArray, FloatArray]:
        return self.lower[self._known] / self._errors, self.upper[self._known] / self._errors

    @cached_property
    def _precision(self) -> tuple[FloatArray, FloatArray]:
        """Inverse of the correlation matrix, and that matrix."""
        correlation = self.covariance[np.ix_(self._known, self._known)]
        correlation = correlation / np.outer(self._errors, self._errors)
        correlation = correlation + _RIDGE * np.eye(len(correlation))
        precision = np.linalg.inv(correlation)
        return 0.5 * (precision + precision.T), correlation


def _pulled(
    precision: FloatArray, slope: FloatArray, lower: FloatArray, upper: FloatArray, distance: float
) -> FloatArray:
    """Step to the largest rise of slope · s with sᵀ P s <= distance² in a box.

    It is the end of a path: s that minimises ½ sᵀ P s - pull slope · s in the box moves on straight lines as the pull
    grows, with a corner where a coordinate meets its bound or leaves it.
    """
    n = len(slope)
    step, free, force = np.zeros(n), np.ones(n, bool), np.zeros(n)
    for _ in range(_CORNERS * n):
        move = np.zeros(n)
        if free.any():
            move[free] = np.linalg.solve(precision[np.ix_(free, free)], slope[free])
        change = slope - precision @ move  # of the force with which bounds hold
        share, at = _next_corner(step, move, force, change, free, lower, upper)
        if at is None and not move.any():
            return step
        last = _to_distance(precision, step, move, distance)
        if at is None or last <= share:
            return step + last * move
        step, force = step + share * move, force + share * change
        if free[at]:
            step[at] = upper[at] if move[at] > 0 else lower[at]
        force[at], free[at] = 0.0, not free[at]
    return step


def _next_corner(
    step: FloatArray,
    move: FloatArray,
    force: FloatArray,
    change: FloatArray,
    free: NDArray[np.bool_],
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[float, int | None]:
    """How much more pull brings a coordinate to its bound or lets it go from there, and which one."""
    shares = np.full(len(step), np.inf)
    up, down = free & (move > _STILL), free & (move < -_STILL)
    shares[up] = (upper[up] - step[up]) / move[up]
    shares[down] = (lower[down] - step[down]) / move[down]
    at_upper = ~free & (step >= upper)
    eased = ~free & np.where(at_upper, change < -_STILL, change > _STILL) & (lower < upper)
    shares[eased] = -force[eased] / change[eased]
    at = int(np.argmin(shares))
    return (np.inf, None) if np.isinf(shares[at]) else (max(float(shares[at]), 0.0), at)


def _to_distance(precision: FloatArray, step: FloatArray, move: FloatArray, distance: float) -> float:
    """How far along a move the step is this long."""
    a, b, c = (float(x @ precision @ y) for x, y in ((move, move), (step, move), (step, step)))
    room = max(distance**2 - c, 0.0)
    return (float(np.sqrt(b * b + a * room)) - b) / a if a > 0 else np.inf
