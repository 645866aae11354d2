"""How far a number can lie from its value at the fit when the parameters stay inside their bounds.

The 95 % set of the parameters is an ellipsoid around the fit, {s : sᵀ V⁻¹ s <= q²}; a number linear in them then
lies within q standard errors. Bounds cut the ellipsoid, and the number lies between its least and its largest value
in what is left. That loses no truth, for the truth obeys the bounds. Where a weakly determined exponent rests on its
bound the two differ several-fold (tests/benchmarks/coverage_study.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Added to the correlation matrix: directions without a variance are not moved along.
_RIDGE = 1e-9
#: Corners of a path a coordinate, at most: each bound is met and left about once.
_CORNERS = 10
#: Rounding of moves and forces.
_STILL = 1e-12


@dataclass(frozen=True, eq=False)
class Reach:
    """An ellipsoid of steps, and the box they must stay in.

    Attributes
    ----------
    covariance : (n, n)
        Of the coordinates; those without a variance stay where they are.
    lower, upper : (n,)
        Room of a step, ``lower <= 0 <= upper``.
    """

    covariance: FloatArray
    lower: FloatArray
    upper: FloatArray

    def extents(self, slopes: FloatArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far numbers go down and up.

        Parameters
        ----------
        slopes : (m, n)
            Derivatives of the numbers by the coordinates.
        distances : (m,)
            Size of the ellipsoid for each, in standard errors.

        Returns
        -------
        down, up : (m,)
            Neither is negative, neither is larger than the distance times the standard error.
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
