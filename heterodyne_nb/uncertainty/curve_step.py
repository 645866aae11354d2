"""A long step taken for the curves instead of the parameters: curves are what the data determine.

Along a direction that the data hardly determine (an exponent against its amplitude, say) one Gauss-Newton step is long,
and to second order it also changes the curves where they are well known, which the data would not allow. So the step
is read as a step of the curves, and the parameters are those whose curves come nearest to it, every curve and time
counted in its own standard error. No pixel is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import Objective
from heterodyne_nb.uncertainty.delta import jacobian

FloatArray = NDArray[np.float64]

#: Times at which curves are compared: so many evenly spaced in time and in its logarithm.
_TIMES = 6
#: Levenberg-Marquardt steps towards the nearest curves, the first damping, and the gain (squares of standard errors)
#: that is not worth another one.
_ROUNDS, _DAMPING, _ENOUGH = 25, 1e-3, 1e-3
#: Standard errors of curves below this share of the largest of the curve count as this.
_SHARPEST = 1e-3


@dataclass(frozen=True, eq=False)
class CurveStep:
    """Turns steps of the internal coordinates at a point into parameters.

    Attributes
    ----------
    objective : Objective
    theta : (p,)
        The point.
    covariance : (n, n)
        Of the internal coordinates there; its scale does not matter.
    """

    objective: Objective
    theta: FloatArray
    covariance: FloatArray

    def moved(self, step: FloatArray) -> FloatArray:
        """Published vector (p,) for a step (n,) of the internal coordinates."""
        objective = self.objective
        z = objective.to_internal(self.theta) + step
        if not self._slopes.size:
            return objective.from_internal(z)
        wanted = self._here + self._slopes @ step
        theta = objective.from_internal(z)
        gap = (self._values(theta) - wanted) / self._errors
        damping = _DAMPING
        for _ in range(_ROUNDS):
            slopes = self._slopes_at(theta) / self._errors[:, None]
            matrix = slopes.T @ slopes
            matrix += damping * np.diag(np.diag(matrix) + 1e-12 * np.trace(matrix))
            trial = objective.from_internal(z - np.linalg.solve(matrix, slopes.T @ gap))
            found = (self._values(trial) - wanted) / self._errors
            gained = gap @ gap - found @ found
            if gained > 0:
                z, theta, gap = objective.to_internal(trial), trial, found
                damping *= 0.2
            else:
                damping *= 10.0
            if 0 <= gained < _ENOUGH or damping > 1e6:
                break
        return theta

    def _values(self, theta: FloatArray) -> FloatArray:
        """Curves at a few times, the coordinates that belong to no curve, and parameters with a prior."""
        curves = self.objective.problem.model.curves(theta, self._times)
        parts = [np.asarray(curve, float) for curve in curves.values()]
        return np.concatenate([*parts, self.objective.to_internal(theta)[self._alone], theta[self._expected]])

    @cached_property
    def _times(self) -> FloatArray:
        first, last = self.objective.problem.ends
        return np.unique(
            np.concatenate([np.geomspace(first, last, _TIMES), np.linspace(first, last, _TIMES)])
        )

    @cached_property
    def _alone(self) -> NDArray[np.int64]:
        """Coordinates of parameters in no curve with a parametrisation."""
        inside = sum(len(curve.indices) for curve in self.objective.coordinates.curves)
        return np.arange(inside, self.objective.coordinates.size)

    @cached_property
    def _expected(self) -> NDArray[np.int64]:
        """Parameters with a prior."""
        return np.flatnonzero([prior is not None for prior in self.objective.problem.table.prior])

    @cached_property
    def _here(self) -> FloatArray:
        return self._values(self.theta)

    @cached_property
    def _slopes(self) -> FloatArray:
        return self._slopes_at(self.theta)

    def _slopes_at(self, theta: FloatArray) -> FloatArray:
        """d(values) / dz, (m, n)."""
        model, chain = self.objective.problem.model, self.objective.coordinates.jacobian(theta)
        if not model.curve_units:
            return np.zeros((0, chain.shape[1]))
        every = jacobian(
            lambda p: np.concatenate([np.asarray(c, float) for c in model.curves(p, self._times).values()]),
            theta,
        )
        return np.concatenate([every @ chain, np.eye(chain.shape[1])[self._alone], chain[self._expected]])

    @cached_property
    def _errors(self) -> FloatArray:
        """Standard errors of the values, up to a common factor; none is zero."""
        variance = np.einsum("mi,ij,mj->m", self._slopes, self.covariance, self._slopes)
        errors = np.sqrt(np.maximum(variance, 0.0))
        count = len(self._times)
        for at in range(0, len(errors) - len(self._alone) - len(self._expected), count):
            own = errors[at : at + count]
            own[:] = np.maximum(own, _SHARPEST * max(float(own.max()), 1e-300))
        return np.maximum(errors, 1e-300)
