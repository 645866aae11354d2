"""Tiles at the optimum, weighted anew: the estimate that other weights would have given, without a new pass.

The sums z zᵀ of every tile are kept. For weights w on the tiles the weighted sums give the normal equations of the
weighted problem at the old optimum, contrast and offset eliminated exactly; one Gauss-Newton step inside the bounds,
in the coordinates of the fit, leads to the new estimate. It is exact where the model is linear in those coordinates
over the distance moved. More steps can be asked for; each then costs one pass over the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import NormalEquations, Objective, RobustObjective, Weighting, tile_products_at
from heterodyne_nb.engine.normal import normal_equations
from heterodyne_nb.optimize.strategies.gauss_newton import bounded_step
from heterodyne_nb.uncertainty.clusters import cluster_count
from heterodyne_nb.uncertainty.curve_step import CurveStep
from heterodyne_nb.uncertainty.uncertainty import Covariance, estimate_covariance

FloatArray = NDArray[np.float64]

#: Added to the scaled diagonal, so that a direction without any information stays where it is.
_RIDGE = 1e-9
#: Halvings of a step that made the weighted χ² worse.
_HALVINGS = 6


@dataclass(frozen=True, eq=False)
class Tiles:
    """Weighted products of every tile at one point.

    Attributes
    ----------
    objective : Objective
    theta : (p,)
        Published parameters.
    products : (B, T, P + 3, P + 3)
        Sums over the pixels of a tile of z zᵀ / sigma², z = (derivatives, M, 1, data); robust weights included.
    slope : float
        Curvature of the loss over its weights (1 for least squares).
    """

    objective: Objective
    theta: FloatArray
    products: FloatArray
    slope: float = 1.0

    @property
    def clusters(self) -> int:
        """Number of clusters of frames, c; there are T = c (c + 1) / 2 tiles."""
        return cluster_count(self.products.shape[1])

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cluster of t2 and of t1 of every tile, (T,) each."""
        return np.tril_indices(self.clusters)

    def equations(
        self, weights: FloatArray | None = None, means: FloatArray | None = None
    ) -> NormalEquations:
        """Normal equations by the moving published parameters, priors included.

        Parameters
        ----------
        weights : (B, T), optional
            Default 1.
        means : (number of priors,), optional
            Centres of the priors, default those of the fit.
        """
        total = self.products.sum(axis=1)
        if weights is not None:
            total = np.einsum("bt,btij->bij", weights, self.products)
        return _with_priors(normal_equations(total, self.objective.linear), self, means)

    def internal(self, local: NormalEquations) -> tuple[FloatArray, FloatArray]:
        """Gradient (n,) and matrix (n, n) of χ² by the internal coordinates, the loss's curvature included."""
        jacobian = self.objective.coordinates.jacobian(self.theta)[self.objective.moving]
        return jacobian.T @ local.gradient, jacobian.T @ local.hessian @ jacobian * self.slope

    def step(
        self, weights: FloatArray | None, means: FloatArray | None = None, tilt: FloatArray | None = None
    ) -> FloatArray:
        """Published vector (p,) after one Gauss-Newton step of the weighted problem."""
        return self.moved(self.equations(weights, means), tilt)

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
        return self.noise + self.naive @ self.prior_curvature() @ self.naive

    def freedom(self, slopes: FloatArray) -> FloatArray:
        """Degrees of freedom of the variances of numbers with derivatives (m, p) by the published parameters."""
        return np.maximum(self.stated.freedom(np.atleast_2d(slopes)), 1.0)

    def prior_curvature(self) -> FloatArray:
        """Part of the priors in the matrix of χ²/2, (n, n)."""
        jacobian = self.objective.coordinates.jacobian(self.theta)
        curvature = np.zeros(len(self.theta))
        for i, _, width in priors_of(self.objective):
            curvature[i] = 1.0 / width**2
        return jacobian.T @ (curvature[:, None] * jacobian)

    def scores(self, step: FloatArray | None = None) -> FloatArray:
        """Score of χ²/2 of every tile by the internal coordinates, contrast and offset eliminated, (B, T, n).

        With ``step`` (n,): to first order, those at the point this far away.
        """
        local, reduced = self._reduced
        inner = np.stack([local.contrast, local.offset, -np.ones_like(local.contrast)], axis=1)
        against = np.einsum("btij,bj->bti", self.products[:, :, :, -3:], inner)[:, :, :-1]
        if step is not None:
            against = against + np.einsum("btij,bj->bti", self.products[:, :, :-1, :-1], reduced @ step)
        return np.einsum("bti,bin->btn", against, reduced)

    @cached_property
    def _reduced(self) -> tuple[NormalEquations, FloatArray]:
        """Equations without priors, and d(residual) = z · map by the internal coordinates, (B, P + 2, n)."""
        objective, linear = self.objective, self.objective.linear
        total = self.products.sum(axis=1)
        local, best = normal_equations(total, linear), linear.solve(total)
        jacobian = objective.coordinates.jacobian(self.theta)[objective.moving]
        cross = np.einsum("b,bpi,bia->pa", local.contrast, total[:, :-3, -3:-1], linear.design)
        mix = best.share(jacobian.T @ cross)
        by_theta = local.contrast[:, None, None] * jacobian
        return local, np.concatenate([by_theta, -linear.design @ mix], axis=1)

    def meat(self) -> FloatArray:
        """Covariance of the total score (n, n), pixels of common frames correlated; see ``uncertainty``."""
        _, hessian = self.internal(self.equations())
        return 0.25 * hessian @ self.noise @ hessian


def _ridged(hessian: FloatArray) -> FloatArray:
    diagonal = np.diag(hessian)
    if not diagonal.size:
        return hessian
    least = 1e-9 * max(float(diagonal.max()), 1e-300)
    return hessian + _RIDGE * np.diag(np.maximum(diagonal, least))


def tiles_at(objective: Objective, theta: FloatArray, clusters: int) -> Tiles:
    """Products of every tile at a point, in one pass.

    Parameters
    ----------
    objective : Objective
    theta : (p,)
    clusters : int
        Clusters of frames; no more than there are frames.
    """
    problem = objective.problem
    local = objective.equations(theta, derivatives=False)
    weighting, slope = Weighting(local.contrast, local.offset), 1.0
    if isinstance(objective, RobustObjective):
        weighting = Weighting(
            local.contrast, local.offset, objective.loss.name, objective.loss.tuning, objective.scale
        )
        slope = objective.slope_ratio(theta, local.contrast, local.offset)
    products, _ = tile_products_at(problem, theta, objective.moving, clusters, weighting)
    return Tiles(objective, np.array(theta, float), products / problem.sigma[:, None, None, None] ** 2, slope)


def refined(
    tiles: Tiles, weights: FloatArray | None, means: FloatArray | None, tilt: FloatArray | None, steps: int
) -> FloatArray:
    """Gauss-Newton steps of the weighted problem plus tilt · z; beyond one each costs a pass over the pixels.

    A step that makes the sum worse is halved, and given up when that does not help.
    """
    if steps == 1:
        return tiles.step(weights, means, tilt)
    here, objective = tiles, tiles.objective
    slope = np.zeros(objective.coordinates.size) if tilt is None else tilt

    def height(at: Tiles) -> float:
        return at.equations(weights, means).chi2 + float(slope @ objective.to_internal(at.theta))

    for _ in range(steps):
        local, level = here.equations(weights, means), height(here)
        candidates = (here.moved(local, tilt, 0.5**k) for k in range(_HALVINGS))
        there = (tiles_at(objective, theta, here.clusters) for theta in candidates)
        better = next((t for t in there if height(t) <= level), None)
        if better is None:
            break
        here = better
    return here.theta


def _with_priors(local: NormalEquations, tiles: Tiles, means: FloatArray | None) -> NormalEquations:
    """Add the priors of the fit to equations by the moving parameters."""
    priors = priors_of(tiles.objective)
    if not priors:
        return local
    place = {int(i): k for k, i in enumerate(tiles.objective.moving)}
    centres = np.array([mean for _, mean, _ in priors]) if means is None else means
    gradient, hessian, chi2 = local.gradient.copy(), local.hessian.copy(), local.chi2
    for (i, _, width), centre in zip(priors, centres, strict=True):
        pull = (tiles.theta[i] - centre) / width
        chi2 += pull**2
        if i in place:
            gradient[place[i]] += 2 * pull / width
            hessian[place[i], place[i]] += 2 / width**2
    return NormalEquations(chi2, gradient, hessian, local.contrast, local.offset, local.chi2_bin)


def priors_of(objective: Objective) -> list[tuple[int, float, float]]:
    """Parameter, mean and standard deviation of every prior."""
    return [(i, *prior) for i, prior in enumerate(objective.problem.table.prior) if prior is not None]
