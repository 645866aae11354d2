"""Tiles at the optimum, weighted anew: the estimate that other weights would have given, without a new pass.

For weights w on the tiles the weighted sums give the normal equations of the weighted problem at the old optimum,
contrast and offset eliminated exactly; one Gauss-Newton step inside the bounds, in the coordinates of the fit, leads to
the new estimate. It is exact where the model is linear in those coordinates over the distance moved. More steps can be
asked for; each then costs one pass over the pixels.

Along a direction that the data hardly determine (an exponent against its amplitude, say) one step is long, and to second
order it also changes the curves where they are well known, which the data would not allow. So the step is read as a step
of the curves, and the parameters are those whose curves come nearest to it, every curve and time counted in its own
standard error: curves are what the data determine. No pixel is needed for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import NormalEquations, Objective, Tiles
from heterodyne_nb.optimize.strategies.gauss_newton import bounded_step
from heterodyne_nb.uncertainty.bands import jacobian
from heterodyne_nb.uncertainty.covariance import Covariance, estimate_covariance

#: Added to the scaled diagonal, so that a direction without any information stays where it is.
_RIDGE = 1e-9
#: Halvings of a step that made the weighted χ² worse.
_HALVINGS = 6
#: Times at which curves are compared: so many evenly spaced in time and in its logarithm.
_TIMES = 6
#: Levenberg-Marquardt steps towards the nearest curves, the first damping, and the gain (squares of standard errors)
#: that is not worth another one.
_ROUNDS, _DAMPING, _ENOUGH = 25, 1e-3, 1e-3
#: Standard errors of curves below this share of the largest of the curve count as this.
_SHARPEST = 1e-3


@dataclass(frozen=True, eq=False)
class CurveStep:
    """Turns steps of the internal coordinates at a point into parameters."""

    objective: Objective
    theta: FloatArray  #: (p,): The point.
    covariance: FloatArray  #: (n, n): Of the internal coordinates there; its scale does not matter.

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
        return np.asarray(np.maximum(errors, 1e-300))


@dataclass(frozen=True, eq=False)
class Reweighting(Tiles):
    """The tiles at a fit's optimum, with the estimates that other weights of them would have given."""

    def step(
        self,
        weights: FloatArray | None,
        means: FloatArray | None = None,
        tilt: FloatArray | None = None,
        steps: int = 1,
    ) -> FloatArray:
        """Published vector (p,) after Gauss-Newton steps of the weighted problem plus tilt · z.

        Beyond one each costs a pass over the pixels; one that makes the sum worse is halved, and given up when that
        does not help.

        ``weights`` (B, T): Of the tiles; None for 1. ``means``: Centres of the priors. ``tilt`` (n,): By the internal
        coordinates z.
        """
        if steps == 1:
            return self.moved(self.equations(weights, means), tilt)
        here, objective = self, self.objective
        slope = np.zeros(objective.coordinates.size) if tilt is None else tilt

        def height(at: Reweighting) -> float:
            return at.equations(weights, means).chi2 + float(slope @ objective.to_internal(at.theta))

        for _ in range(steps):
            local, level = here.equations(weights, means), height(here)
            candidates = (here.moved(local, tilt, 0.5**k) for k in range(_HALVINGS))
            there = (Reweighting.at(objective, theta, here.blocks) for theta in candidates)
            better = next((t for t in there if height(t) <= level), None)
            if better is None:
                break
            here = better
        return here.theta

    def moved(self, local: NormalEquations, tilt: FloatArray | None = None, share: float = 1.0) -> FloatArray:
        """Published vector (p,) a share of the step that normal equations ask for; bounds are respected.

        ``tilt`` (n,) is added to the gradient.
        """
        objective = self.objective
        if not objective.coordinates.size:
            return self.theta.copy()
        gradient, hessian = self.internal(local)
        if tilt is not None:
            gradient = gradient + tilt
        z = objective.to_internal(self.theta)
        lower, upper = objective.internal_bounds(self.theta)
        room = np.minimum(lower - z, 0.0), np.maximum(upper - z, 0.0)
        return self.curve_step.moved(share * bounded_step(_ridged(hessian), gradient, *room))

    @cached_property
    def curve_step(self) -> CurveStep:
        """How a step of the coordinates becomes parameters."""
        return CurveStep(self.objective, self.theta, self.covariance)

    @cached_property
    def naive(self) -> FloatArray:
        """Inverse of the matrix of χ²/2 by the internal coordinates (n, n): covariance for pixels of unit noise."""
        _, hessian = self.internal(self.equations())
        return np.asarray(np.linalg.inv(_ridged(0.5 * hessian)) if hessian.size else hessian)

    @cached_property
    def stated(self) -> Covariance:
        """The covariance that a fit states of its published parameters here."""
        return estimate_covariance(self.objective, self.theta)

    @cached_property
    def noise(self) -> FloatArray:
        """Dyadic covariance of the internal coordinates that the noise of the pixels makes, (n, n)."""
        back = np.linalg.pinv(self.objective.coordinates.jacobian(self.theta), rcond=1e-14)
        return back @ self.stated.noise @ back.T

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the internal coordinates (n, n), priors counted as measurements."""
        curvature = self.objective.priors.curvature(self.objective.coordinates.jacobian(self.theta))
        return self.noise + self.naive @ curvature @ self.naive

    def freedom(self, slopes: FloatArray) -> FloatArray:
        """Degrees of freedom of the variances of numbers with derivatives (m, p) by the published parameters."""
        return np.maximum(self.stated.freedom(np.atleast_2d(slopes)), 1.0)


def _ridged(hessian: FloatArray) -> FloatArray:
    diagonal = np.diag(hessian)
    if not diagonal.size:
        return hessian
    least = 1e-9 * max(float(diagonal.max()), 1e-300)
    return hessian + _RIDGE * np.diag(np.maximum(diagonal, least))
