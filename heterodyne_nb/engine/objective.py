"""The objective of a two-time fit: χ² at published parameters, with its normal equations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.engine.contrast import ContrastOffset
from heterodyne_nb.engine.normal import NormalEquations, normal_equations
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.engine.products import products_at
from heterodyne_nb.models.coordinates import Coordinates

if TYPE_CHECKING:
    from heterodyne_nb.engine.one_time import OneTimeProblem

FloatArray = NDArray[np.float64]


class Objective:
    """χ²(theta) of a :class:`Problem`, contrast and offset eliminated, priors included.

    Parameters
    ----------
    problem : Problem
    contrast : {"per_bin", "shared", "per_q", "smooth_phi"}
        How contrast and offset are tied over bins.

    Attributes
    ----------
    parameter_names : tuple of str
        Published names, p of them.
    bounds : (p, 2)
        Published bounds.
    free : (p,) bool
        Parameters fitted on their own.
    x0 : (p,)
        Start values.
    moving : (P,) int
        Parameters that the internal coordinates can move.
    linear : ContrastOffset
        Contrast and offset of the bins.
    evaluations : int
        Passes over the data so far.
    """

    problem: Any

    def __init__(self, problem: Problem | OneTimeProblem, *, contrast: str = "per_bin") -> None:
        self.problem, self.contrast = problem, contrast
        table = problem.table
        self.parameter_names = table.names
        self.bounds = np.array(table.bounds)
        self.free = np.array(table.vary)
        self.x0 = np.array(table.values)
        self.linear = ContrastOffset(contrast, problem.q, problem.phi, table, problem.scale)
        self.coordinates = Coordinates(table, problem.model.curve_specs, *problem.ends)
        self.moving = np.flatnonzero(np.any(self.coordinates.jacobian(self.x0) != 0, axis=1))
        self.evaluations = 0
        self._priors = [(i, *p) for i, p in enumerate(table.prior) if p is not None]

    def __call__(self, theta: ArrayLike) -> float:
        """χ² at a published vector (p,); infinite where the curves are unphysical."""
        theta = np.asarray(theta, float)
        if not self.physical(theta):
            return float("inf")
        return self.equations(theta, derivatives=False).chi2

    def physical(self, theta: FloatArray) -> bool:
        """Whether all curves stay inside their limits at all times, to rounding."""
        return bool(np.all(np.isfinite(theta))) and self.problem.model.physical(theta, *self.problem.ends)

    def equations(
        self, theta: ArrayLike, *, derivatives: bool = True, wanted: NDArray[np.int64] | None = None
    ) -> NormalEquations:
        """Normal equations by the published parameters.

        Parameters
        ----------
        theta : (p,)
        derivatives : bool
            Whether gradient and matrix are asked for, or only χ².
        wanted : (P,) int, optional
            Parameters whose rows are filled; default those that the fit can move.
        """
        theta = np.asarray(theta, float)
        if wanted is None:
            wanted = self.moving if derivatives else self.moving[:0]
        self.evaluations += 1
        local = normal_equations(self.weighted_products(theta, wanted), self.linear)
        p = len(theta)
        gradient, hessian = np.zeros(p), np.zeros((p, p))
        gradient[wanted] = local.gradient
        hessian[np.ix_(wanted, wanted)] = local.hessian
        extra = 0.0
        for i, mean, width in self._priors:
            pull = (theta[i] - mean) / width
            extra += pull**2
            gradient[i] += 2 * pull / width
            hessian[i, i] += 2 / width**2
        return replace(local, chi2=local.chi2 + extra, gradient=gradient, hessian=hessian)

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """Products over pixels divided by sigma², (B, P+3, P+3)."""
        return products_at(self.problem, theta, wanted) / self.problem.sigma[:, None, None] ** 2

    def normal_equations(self, theta: ArrayLike) -> NormalEquations:
        """Normal equations by the internal coordinates at a published vector."""
        theta = np.asarray(theta, float)
        published = self.equations(theta)
        jacobian = self.coordinates.jacobian(theta)
        return replace(
            published,
            gradient=jacobian.T @ published.gradient,
            hessian=jacobian.T @ published.hessian @ jacobian,
        )

    def to_internal(self, theta: ArrayLike) -> FloatArray:
        """Internal coordinates of a published vector."""
        return self.coordinates.to_internal(np.asarray(theta, float))

    def from_internal(self, z: ArrayLike) -> FloatArray:
        """Published vector of internal coordinates, inside all bounds."""
        return self.coordinates.from_internal(np.asarray(z, float))

    def internal_bounds(self, theta: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Box of the internal coordinates, at a published vector."""
        return self.coordinates.internal_bounds(np.asarray(theta, float))

    @property
    def n_free(self) -> int:
        """Number of fitted numbers, contrast and offset included."""
        return self.coordinates.size + self.linear.size

    def reduced(self, chi2: float) -> float:
        """χ² per degree of freedom."""
        return chi2 / max(self.problem.n_data - self.n_free, 1)

    def model(self) -> Any:
        """The model being fitted."""
        return self.problem.model
