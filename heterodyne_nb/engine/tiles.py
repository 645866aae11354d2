"""Sums over tiles of the data at one point: what errors, resampling and robust fits are made of.

A tile is the pixels of one bin between two blocks of frames (for g2 a block of lags). Its products hold χ², scores and
Gauss-Newton matrix, so other weights of tiles, bins left out and priors moved cost no further pass over the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.engine.normal import NormalEquations, normal_equations, residual_of
from heterodyne_nb.engine.objective import Objective

#: Blocks of frames of bootstrap, jackknife, scenarios and stripes; each should be longer than noise stays correlated.
BLOCKS = 12


@dataclass(frozen=True, eq=False)
class Tiles:
    """Weighted products of every tile at one point; see :meth:`at`."""

    objective: Objective
    theta: FloatArray  #: (p,): Published parameters.
    wanted: IntArray  #: (P,): Parameters by which there are derivatives.
    blocks: int  #: Blocks of frames (of lags), c; there are T = c (c + 1) / 2 tiles (c of lags).
    #: Sums over the pixels of a tile of z zᵀ / sigma², z = (derivatives, M, 1, data); robust weights included.
    products: FloatArray
    #: contrast, offset (B,): Those for the residuals.
    contrast: FloatArray
    offset: FloatArray
    slope: float = 1.0  #: Curvature of the loss over its weights (1 for least squares).

    @classmethod
    def at(
        cls,
        objective: Objective,
        theta: ArrayLike,
        blocks: int = BLOCKS,
        *,
        wanted: ArrayLike | None = None,
        local: NormalEquations | None = None,
        weighted: bool = True,
    ) -> Self:
        """Products of every tile at a point, in one pass, and one before it where contrast and offset are asked of it.

        ``theta`` (p,): Published parameters. ``blocks``: Blocks of frames, or fewer where the data are few.
        ``wanted`` (P,): Parameters by which derivatives are asked for; default those that the fit can move, and then
        the curvature of a robust loss is found, too. ``local``: Those of the objective at theta, where they are
        known: for contrast and offset. ``weighted``: Whether a robust loss weights the pixels; else each counts once.
        """
        theta = np.array(theta, float)
        rows = objective.moving if wanted is None else np.asarray(wanted, np.int64)
        blocks = objective.problem.blocks(blocks)
        if local is None and objective.adds_up:
            products = objective.tile_products(theta, rows, blocks)
            best = objective.linear.solve(products.sum(axis=1))
            return cls(objective, theta, rows, blocks, products, best.contrast, best.offset)
        local = local or objective.equations(theta, derivatives=False)
        inner = local.contrast, local.offset
        slope = objective.slope_ratio(theta, *inner) if wanted is None else 1.0
        weighting = objective.weighting(*inner) if weighted else None
        products = objective.tile_products(theta, rows, blocks, weighting)
        return cls(objective, theta, rows, blocks, products, *inner, slope)

    @property
    def places(self) -> tuple[IntArray, IntArray]:
        """Block of t2 and of t1 of every tile, (T,) each."""
        late, early = self.objective.problem.places(self.blocks)
        return late, early

    @property
    def independent(self) -> bool:
        """Whether tiles share nothing: blocks of lags, or clusters of pixels."""
        late, early = self.places
        return bool(np.all(late == early))

    def merged(self, blocks: int) -> Self | None:
        """The same over fewer, longer blocks of frames; None where these do not begin with some of its own."""
        if self.blocks % blocks or self.independent:
            return None
        late, early = (place // (self.blocks // blocks) for place in self.places)
        products = np.zeros((len(self.products), blocks * (blocks + 1) // 2, *self.products.shape[2:]))
        for tile, one in enumerate(late * (late + 1) // 2 + early):
            products[:, one] += self.products[:, tile]
        return replace(self, blocks=blocks, products=products)

    def subset(self, keep: NDArray[np.bool_]) -> Self:
        """The same with the tiles of some bins only, ``keep`` (B,) bool; those of the others are 0."""
        return replace(self, products=self.products * np.asarray(keep)[:, None, None, None])

    # -- all tiles together ----------------------------------------------------------------------

    def summed(self, weights: FloatArray | None = None) -> FloatArray:
        """Products of every bin, (B, P + 3, P + 3), the tiles counted with weights (B, T), default 1."""
        if weights is None:
            return np.asarray(self.products.sum(axis=1))
        return np.asarray(np.einsum("bt,btij->bij", weights, self.products))

    def equations(
        self, weights: FloatArray | None = None, means: FloatArray | None = None
    ) -> NormalEquations:
        """Normal equations by the wanted published parameters, priors included.

        ``weights`` (B, T): Default 1. ``means``: Centres of the priors, default those of the fit.
        """
        local = normal_equations(self.summed(weights), self.objective.linear)
        return self.objective.priors.added(local, self.theta, self.wanted, means)

    def internal(self, local: NormalEquations) -> tuple[FloatArray, FloatArray]:
        """Gradient (n,) and matrix (n, n) of χ² by the internal coordinates, the loss's curvature included."""
        found = local.by(self._jacobian)
        return found.gradient, found.hessian * self.slope

    # -- tile by tile ----------------------------------------------------------------------------

    @cached_property
    def joint_scores(self) -> FloatArray:
        """Scores of χ²/2 of every tile by the n coordinates and m coefficients of contrast and offset, (B, T, n + m)."""
        return np.asarray(
            np.einsum("btij,bj->bti", self.products[:, :, :-1, -3:], residual_of(self.contrast, self.offset))
            @ self.outer
        )

    @cached_property
    def joint_matrix(self) -> FloatArray:
        """Gauss-Newton matrix of χ²/2 of all tiles by the same, (n + m, n + m); no priors."""
        total = self._inner.sum(axis=1)
        return np.asarray(
            self.slope * np.einsum("bia,bij,bjc->ac", self.outer, total, self.outer, optimize=True)
        )

    @cached_property
    def outer(self) -> FloatArray:
        """Derivatives of a bin's residual by the same are ``z @ outer``, z without data, (B, P + 2, n + m)."""
        design, jacobian = self.objective.linear.design, self._jacobian
        bins, (count, n), m = len(design), jacobian.shape, design.shape[2]
        out = np.zeros((bins, count + 2, n + m))
        out[:, :count, :n] = self.contrast[:, None, None] * jacobian
        out[:, count:, n:] = design
        return out

    def of_bin(self, b: int) -> tuple[IntArray, FloatArray]:
        """Which of these act on a bin (k,), and the matrices of its tiles by them (T, k, k)."""
        acting = np.flatnonzero(np.any(self.outer[b] != 0, axis=0))
        outer = self.outer[b][:, acting]
        return acting, self.slope * (outer.T @ self._inner[b] @ outer)

    def scores(self, step: FloatArray | None = None) -> FloatArray:
        """Score of χ²/2 of every tile by the internal coordinates, contrast and offset eliminated, (B, T, n).

        With ``step`` (n,): to first order, those at the point this far away.
        """
        scores = self.joint_scores @ self._follow
        if step is None:
            return scores
        reduced = self.outer @ self._follow
        return np.asarray(scores + np.einsum("btij,bj->bti", self._inner, reduced @ step) @ reduced)

    def matrix(self) -> FloatArray:
        """Matrix of χ²/2 by the internal coordinates, contrast and offset eliminated and without priors, (n, n)."""
        return 0.5 * self.internal(normal_equations(self.summed(), self.objective.linear))[1]

    def residual_record(self) -> xr.Dataset:
        """What a two-time fit leaves over: χ², mean residual and number of pixels of every unweighted tile.

        Returns: ``chi2_tile``, ``residual_tile`` (c2 - model) and ``pixels_tile`` on (bin, block2, block1), NaN (0
        pixels) above the diagonal; ``block_start`` and ``block_end`` (s) on (block1,): first and last frame of each
        block.
        """
        problem, inner = self.objective.problem, -residual_of(self.contrast, self.offset)
        tail = self.products[:, :, -3:, -3:]
        count = np.rint(tail[:, :, 1, 1] * problem.sigma[:, None] ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.einsum("bti,bi->bt", tail[:, :, 1], inner) / tail[:, :, 1, 1]
        chi2 = np.maximum(np.einsum("bi,btij,bj->bt", inner, tail, inner), 0.0)
        dims, seconds = ("bin", "block2", "block1"), {"units": "s"}
        first, last = problem.block_ends(self.blocks)
        named = {"units": "1", "long_name": "mean of c2 - model"}
        return xr.Dataset(
            {
                "chi2_tile": (dims, self._square(np.where(count > 0, chi2, np.nan))),
                "residual_tile": (dims, self._square(np.where(count > 0, mean, np.nan)), named),
                "pixels_tile": (
                    dims,
                    np.nan_to_num(self._square(count)),
                    {"long_name": "pixels in the tile"},
                ),
                "block_start": ("block1", first, seconds),
                "block_end": ("block1", last, seconds),
            }
        )

    def _square(self, values: FloatArray) -> FloatArray:
        """(B, T) to (B, c, c), NaN above the diagonal."""
        out = np.full((len(values), self.blocks, self.blocks), np.nan)
        out[:, *self.places] = values
        return out

    @cached_property
    def _follow(self) -> FloatArray:
        """How coordinates move themselves and, with them, contrast and offset, (n + m, n)."""
        linear, total, n = self.objective.linear, self.summed(), self._jacobian.shape[1]
        cross = np.einsum("b,bpi,bia->pa", self.contrast, total[:, :-3, -3:-1], linear.design)
        return np.concatenate([np.eye(n), -linear.solve(total).share(self._jacobian.T @ cross)])

    @cached_property
    def _jacobian(self) -> FloatArray:
        return self.objective.coordinates.jacobian(self.theta)[self.wanted]

    @property
    def _inner(self) -> FloatArray:
        return self.products[:, :, :-1, :-1]


def residual_record(
    objective: Objective, theta: ArrayLike, blocks: int = BLOCKS, local: NormalEquations | None = None
) -> xr.Dataset:
    """:meth:`Tiles.residual_record` at a point, in one pass without derivatives and without weights."""
    return Tiles.at(objective, theta, blocks, wanted=(), local=local, weighted=False).residual_record()
