"""The objectives of fits: χ², or a robust loss, at published parameters, with its normal equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.cells import CellProblem, cell_means
from heterodyne_nb.engine.losses import Loss, get_loss, robust_scale
from heterodyne_nb.engine.normal import ContrastOffset, NormalEquations, Priors, normal_equations
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.engine.pixels import used_rows, z_rows
from heterodyne_nb.engine.problem import OneTimeProblem, Problem
from heterodyne_nb.engine.products import (
    Weighting,
    products_at,
    tile_products_at,
    weighted_tiles,
)
from heterodyne_nb.engine.spread import Spread
from heterodyne_nb.models.coordinates import Coordinates

_ROWS = 64
_NONE = np.zeros(0, np.int64)
_STEP = 1e-4


class Objective:
    """χ²(theta) of a :class:`Problem`, contrast and offset eliminated, priors included.

    ``contrast`` {"per_bin", "shared", "per_q", "smooth_phi"}: How contrast and offset are tied over bins.

    Attributes: ``parameter_names``: Published names, p of them. ``bounds`` (p, 2): Published bounds. ``free`` (p,):
    Parameters fitted on their own. ``x0`` (p,): Start values. ``moving`` (P,): Parameters that the internal
    coordinates can move. ``linear``: Contrast and offset of the bins. ``evaluations``: Passes over the data so far.
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
        self._last: tuple[tuple[bytes, bytes], NormalEquations] | None = None
        self.priors = Priors(table)

    def __call__(self, theta: ArrayLike) -> float:
        """χ² at a published vector (p,); infinite where the curves are unphysical."""
        theta = np.asarray(theta, float)
        if not self.physical(theta):
            return float("inf")
        return self.equations(theta, derivatives=False).chi2

    @property
    def adds_up(self) -> bool:
        """Whether the products of all tiles are those of all pixels: no weights, and no photons in clusters of pixels."""
        return type(self) is Objective and not isinstance(self.problem.data, PhotonData)

    def physical(self, theta: FloatArray) -> bool:
        """Whether all curves stay inside their limits at all times, to rounding."""
        return bool(np.all(np.isfinite(theta))) and self.problem.model.physical(theta, *self.problem.ends)

    def equations(
        self, theta: ArrayLike, *, derivatives: bool = True, wanted: NDArray[np.int64] | None = None
    ) -> NormalEquations:
        """Normal equations by the published parameters.

        ``theta`` (p,). ``derivatives``: Whether gradient and matrix are asked for, or only χ². ``wanted`` (P,):
        Parameters whose rows are filled; default those that the fit can move.
        """
        theta = np.asarray(theta, float)
        if wanted is None:
            wanted = self.moving if derivatives or self._by_photons else self.moving[:0]
        point = theta.tobytes(), wanted.tobytes()
        if self._last is not None and self._last[0] == point:
            return self._last[1]
        self.evaluations += 1
        local = normal_equations(self.weighted_products(theta, wanted), self.linear)
        local = self.priors.added(local.among(len(theta), wanted), theta)
        if self._by_photons:
            self._last = point, local
        return local

    @property
    def _by_photons(self) -> bool:
        """Whether a pass costs seconds: then it finds the derivatives with χ², which mostly are asked for next."""
        return isinstance(getattr(self.problem, "data", None), PhotonData)  # one-time problems have none

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """Products over pixels divided by sigma², (B, P+3, P+3)."""
        return np.asarray(products_at(self.problem, theta, wanted) / self.problem.sigma[:, None, None] ** 2)

    def tile_products(
        self, theta: FloatArray, wanted: NDArray[np.int64], blocks: int, weighting: Weighting | None = None
    ) -> FloatArray:
        """The same over each tile of blocks of frames, with the weights of a robust loss, (B, T, P+3, P+3)."""
        return weighted_tiles(self.problem, theta, wanted, blocks, weighting)

    def weighting(self, contrast: FloatArray, offset: FloatArray) -> Weighting:
        """Weights of the loss for the residuals at contrast and offset (B,)."""
        return Weighting(contrast, offset)

    def converged_weighting(self, theta: FloatArray) -> Weighting | None:
        """Those of a robust loss where reweighting has come to rest; None for least squares."""
        return None

    def slope_ratio(self, theta: FloatArray, contrast: FloatArray, offset: FloatArray) -> float:
        """Curvature of the loss over its weights; 1 for least squares."""
        return 1.0

    def subset(self, keep: NDArray[np.bool_]) -> Objective:
        """The same objective on some of the bins; ``keep`` (B,) bool."""
        return type(self)(self.problem.subset(keep), contrast=self.contrast)

    def normal_equations(self, theta: ArrayLike) -> NormalEquations:
        """Normal equations by the internal coordinates at a published vector."""
        theta = np.asarray(theta, float)
        return self.equations(theta).by(self.coordinates.jacobian(theta))

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
        return float(chi2 / max(self.problem.n_data - self.n_free, 1))

    def model(self) -> Any:
        """The model being fitted."""
        return self.problem.model


def residual_scale(problem: Problem, theta: FloatArray, contrast: FloatArray, offset: FloatArray) -> float:
    """Robust scale (normalised MAD) of all residuals in units of sigma, at given contrast and offset (B,)."""
    return float(np.median(_of_bins(problem, _scales, theta, Levels(contrast, offset, problem.sigma))))


@dataclass(frozen=True)
class Levels:
    """Contrast, offset and noise of every bin, (B,) each."""

    contrast: FloatArray
    offset: FloatArray
    sigma: FloatArray

    def subset(self, some: slice) -> Levels:
        """Those of some of the bins."""
        return Levels(self.contrast[some], self.offset[some], self.sigma[some])


def _of_bins(
    problem: Problem, function: Callable[..., FloatArray], theta: FloatArray, levels: Levels, *more: Any
) -> Any:
    """``function(problem, theta, *more, levels)``, where the maps are."""
    if isinstance(problem.data, Spread):
        return problem.data.of_bins(problem.model, function, theta, *more, by_bin=levels)
    return function(problem, theta, *more, levels)


def _scales(problem: Problem, theta: FloatArray, levels: Levels) -> FloatArray:
    """Robust scale of the residuals of every bin, (B,)."""
    bins = (some.start for some in problem.windows(1))
    return np.array([robust_scale(np.concatenate(list(_residuals(problem, theta, b, levels)))) for b in bins])


def _slopes(problem: Problem, theta: FloatArray, loss: Loss, scale: float, levels: Levels) -> FloatArray:
    """Sums of the slope of psi and of the weights over every bin, (B, 2)."""
    out = np.zeros((problem.n_bins, 2))
    for b in (some.start for some in problem.windows(1)):
        for r in _residuals(problem, theta, b, levels):
            u = r / scale
            above, below = u + _STEP, u - _STEP
            psi = loss.weight(above) * above - loss.weight(below) * below
            out[b] += float(psi.sum()) / (2 * _STEP), float(loss.weight(u).sum())
    return out


def _residuals(problem: Problem, theta: FloatArray, b: int, levels: Levels) -> Iterator[FloatArray]:
    """Residuals of one bin in units of sigma, some rows at a time."""
    if isinstance(problem, CellProblem):
        own: Any = problem.subset(np.arange(problem.n_bins) == b)
        z = next(cell_means(own, theta, _NONE))
        yield (
            (z[-1] - levels.offset[b] - levels.contrast[b] * z[-3])
            * np.sqrt(own.weights[0])
            / levels.sigma[b]
        )
        return
    for j0 in range(0, len(problem.t), _ROWS):
        j1 = min(j0 + _ROWS, len(problem.t))
        z = z_rows(problem, theta, _NONE, b, j0, j1)
        used = used_rows(problem, b, j0, j1) > 0
        yield (z[-1] - levels.offset[b] - levels.contrast[b] * z[-3])[used] / levels.sigma[b]


class RobustObjective(Objective):
    """Sum of a robust loss over pixels, minimised over contrast and offset by reweighting.

    ``problem``, ``contrast``: See :class:`Objective`. ``loss`` {"huber", "soft_l1", "cauchy", "tukey"}. ``scale``:
    Scale of the residuals in units of sigma; see :func:`residual_scale`. ``start`` (contrast, offset): Where the
    reweighting starts, at every point alike, so that the objective is a function of theta.
    """

    #: Most reweighting rounds at one point, and the relative change of the loss at which they end.
    ROUNDS, TOLERANCE = 30, 1e-10

    def __init__(
        self,
        problem: Problem,
        *,
        loss: str,
        scale: float,
        start: tuple[FloatArray, FloatArray],
        contrast: str = "per_bin",
    ) -> None:
        super().__init__(problem, contrast=contrast)
        self.loss, self.scale, self.start = get_loss(loss), scale, start
        self._reweighted: tuple[bytes, Weighting] | None = None  # of the last point

    def slope_ratio(self, theta: FloatArray, contrast: FloatArray, offset: FloatArray) -> float:
        """Mean slope of psi(u) = weight(u) u over the mean weight, at given contrast and offset (B,).

        The weighted normal matrix times this is the curvature of the loss (Huber & Ronchetti, ch. 7): beyond
        its tuning constant a loss is flatter than its weights, and errors are larger than they say.
        """
        levels = Levels(contrast, offset, self.problem.sigma)
        every = _of_bins(self.problem, _slopes, theta, levels, self.loss, self.scale)
        slope, weight = every.sum(axis=0).tolist()
        return float(max(slope, 0.1 * weight) / weight)

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """Products with the weights of the converged residuals.

        The data's square is replaced so that χ² of the products is the loss itself.
        """
        weighting = self.converged_weighting(theta)
        return weighted_tiles(self.problem, theta, wanted, 1, weighting)[:, 0]

    def weighting(self, contrast: FloatArray, offset: FloatArray) -> Weighting:
        """See :meth:`Objective.weighting`."""
        return Weighting(contrast, offset, self.loss.name, self.loss.tuning, self.scale)

    def subset(self, keep: NDArray[np.bool_]) -> RobustObjective:
        """See :meth:`Objective.subset`."""
        contrast, offset = (np.asarray(x)[keep] for x in self.start)
        return RobustObjective(
            self.problem.subset(keep), loss=self.loss.name, scale=self.scale, start=(contrast, offset),
            contrast=self.contrast,
        )  # fmt: skip

    def converged_weighting(self, theta: FloatArray) -> Weighting:
        """See :meth:`Objective.converged_weighting`; asked again at the same point it takes no pass."""
        point, known = np.asarray(theta, float).tobytes(), self._reweighted
        if known is None or known[0] != point:
            known = self._reweighted = point, self._reweigh(theta)
        return known[1]

    def _reweigh(self, theta: FloatArray) -> Weighting:
        contrast, offset = self.start
        before = np.inf
        inverse = 1.0 / self.problem.sigma[:, None, None] ** 2
        for _ in range(self.ROUNDS):
            weighting = self.weighting(contrast, offset)
            products, rho = tile_products_at(self.problem, theta, _NONE, 1, weighting)
            total = float(rho.sum())
            if before - total <= self.TOLERANCE * total:
                return weighting
            before = total
            best = self.linear.solve(products[:, 0] * inverse)
            contrast, offset = best.contrast, best.offset
        return weighting
