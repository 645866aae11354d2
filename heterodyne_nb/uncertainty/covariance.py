"""Parameter errors that respect correlated pixels.

Pixels (t1, t2) of a two-time map share frames with thousands of others, so (JᵀJ)⁻¹ understates errors. The
covariance here is the dyadic cluster-robust one: frames are cut into clusters, a tile (k1, k2) is a dyad, and scores
of tiles that share a cluster are taken as correlated (Aronow, Samii & Assenova 2015; Cameron & Miller 2014):

    V = A⁻¹ [ sum_bk Ŝ_bk Ŝ_bkᵀ - sum_{b, k1 < k2} s_b,k1k2 s_b,k1k2ᵀ ] A⁻¹,   S_bk = sum of the scores of tiles with k

in bin b, Ŝ corrected for what the fit took up. Bins are separate sets of speckles and count as independent. What all
frames of a bin have in common, such as the few speckles of a reference that never moves, scatters between bins only and
is not seen.

A fit to photons has other tiles: clusters of neighbouring pixels, which see speckles of their own and are independent
(THEORY 9). There V is A⁻¹ [ sum_b G/(G - 1) sum_g (s_bg - s̄_b)(s_bg - s̄_b)ᵀ ] A⁻¹, the share of a pixel in the means that
counts are divided by included (:mod:`heterodyne_nb.engine.pixel_clusters`); tests/benchmarks/frames_study.py has its coverage.

A parameter that rests on a bound counts as free here: as fixed it would make the others look better known than they
are, since the bound was met by chance. Bands of curves then reach as far as the bounds let them
(:class:`heterodyne_nb.uncertainty.bands.BoundedEllipsoid`). tests/benchmarks/coverage_study.py counts how often they
hold the truth.

A contrast or offset that rests on a limit counts as free, too, and there the answer is biased: noise takes the contrast
of half of the bins past a limit that the truth lies on, these are held, and the parameters follow the other half. Speckle
of contrast 1 moved J_sample by 0.8 of its error, and its bands held the truth in 84-88 % of experiments
(tests/benchmarks/frames_study.py). Bands therefore are those around the answer without limits, as far as it follows to
first order, and hold the reported one.

A fit bends towards the noise, so its residuals, and with them the scores of the tiles, are smaller than the noise
was. With H the leverage of a cluster (its share of the Gauss-Newton matrix, whitened by the whole), (I - H)⁻¹ takes
that back; it is what leaving the cluster out would give (the CR3 of MacKinnon, Nielsen & Webb 2023). The root of it
(CR2) would do for independent clusters; those here follow each other in time, and bands of a single component then
held the truth in 86 % of experiments (tests/benchmarks/coverage_study.py). A cluster is the tiles of one bin that
hold a block of frames; a tile off the diagonal belongs to two, so its own square is subtracted once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine import Objective, Tiles
from heterodyne_nb.uncertainty.bands import BoundedEllipsoid

#: Clusters of frames of the covariance: as long as speckle lives in runs that see a decay or two. With 12 the bands of
#: a single component held the truth in 80-90 % of experiments, with 6 in 90-94 % (tests/benchmarks/coverage_study.py).
ERROR_CLUSTERS = 6
#: Directions with a relative eigenvalue below this hold no information: the rounding of the sums over pixels.
_NULL = 1e-13
#: So does a coordinate whose curvature is below this, relative to the largest.
_NOTHING = 1e-24
#: Least ratio of a dyadic variance to the naive one: frames in common make errors larger, not smaller.
LEAST_DYADIC = 0.25
#: Least share of a cluster's information that the rest must hold: where it holds none, nothing can be corrected.
_LEAST_LEFT = 1e-3


#: Errors by which noise takes contrast or offset past a limit that the truth keeps.
NOISE = 3.0


@dataclass(frozen=True)
class Covariance:
    """Covariance of the published parameters and what could not be estimated."""

    covariance: FloatArray  #: (p, p): Dyadic cluster-robust; a prior counts as a measurement.
    noise: FloatArray  #: (p, p): The part of it that the noise of the pixels makes.
    naive: FloatArray  #: (p, p) (JᵀJ)⁻¹ with the residual variance, for comparison.
    at_bound: NDArray[np.bool_]  #: (p,): Parameters that rest on a bound; their errors are those without it.
    hessian: FloatArray  #: (p, p): Gauss-Newton matrix of χ² by all varying published parameters.
    tiles: FloatArray  #: (B, T, p, p): Part of (JᵀJ)⁻¹ that white noise in each tile makes up.
    reach: BoundedEllipsoid  #: Steps that the covariance allows, in coordinates that bounds confine.
    moves: FloatArray  #: (p, n): Published parameters by these coordinates.
    linear: FloatArray  #: (B, 2): Standard errors of contrast and offset of each bin.
    #: (B, 2): How far from their limits they would go without them, in these errors; 0 where no limit holds them.
    pull: FloatArray
    passing: FloatArray  #: (p,): The same for published parameters and their bounds.
    #: (p,): Where the parameters would go if noise could take contrast and offset past their limits.
    shift: FloatArray
    speckles: bool = False  #: Whether the tiles are clusters of pixels, which are independent.

    @property
    def inflation(self) -> float:
        """How much more χ² scatters than that of independent pixels: dyadic over naive variance, at least 1."""
        naive = np.diag(self.naive)
        known = naive > 0
        ratios = np.diag(self.noise)[known] / naive[known]
        return max(1.0, float(np.median(ratios))) if known.any() else 1.0

    def freedom(self, slopes: FloatArray) -> FloatArray:
        """Degrees of freedom of the variances of quantities with derivatives ``slopes`` (m, p), shape (m,)."""
        shares = np.einsum("mp,btpq,mq->btm", slopes, self.tiles, slopes, optimize=True)
        return independent_freedom(shares) if self.speckles else degrees_of_freedom(shares)

    def extents(self, slopes: FloatArray, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far such quantities go down and up in so many standard errors (m,) inside the bounds, (m,) each."""
        return self.reach.extents(slopes @ self.moves, distances)


def estimate_covariance(
    objective: Objective, theta: FloatArray, *, clusters: int = ERROR_CLUSTERS, tiles: Tiles | None = None
) -> Covariance:
    """Covariance of a fit's published parameters at its optimum.

    ``theta`` (p,): The optimum, published. ``clusters``: Clusters of frames. ``tiles``: Those of :func:`error_tiles`,
    where they are known: no pass is made over the data.
    """
    every = np.flatnonzero(objective.problem.table.vary)
    tiles = tiles or error_tiles(objective, theta, clusters)
    if tiles is None:
        local = objective.equations(theta, wanted=_rows(objective))
        sums, curvature = Tiles.at(objective, theta, clusters, local=local), local.hessian
    else:
        local, few = tiles.equations(), objective.problem.blocks(clusters)
        sums = tiles.merged(few) or Tiles.at(objective, theta, few, wanted=tiles.wanted)
        curvature = local.among(len(theta), tiles.wanted).hessian
    hessian, square = np.zeros((len(theta), len(theta))), np.ix_(every, every)
    hessian[square] = curvature[square]
    jacobian = objective.coordinates.jacobian(theta)
    inner = internal_covariance(sums, local.chi2)
    known, n = prior_curvature(sums), objective.coordinates.size
    prior = inner.full[:n] @ known @ inner.full[:, :n]
    matrix, lower, upper = objective.coordinates.room(theta)
    back = np.linalg.inv(matrix)
    step = -inner.full @ sums.joint_scores.sum(axis=(0, 1))
    covariance = jacobian @ (inner.dyadic + prior) @ jacobian.T
    moved, errors = jacobian @ step[:n], np.sqrt(np.maximum(np.diag(covariance), 0.0))
    levels, linear = np.stack([sums.contrast, sums.offset], axis=1), objective.linear
    pull = _beyond(levels, linear.lower, linear.upper, linear.design @ step[n:], inner.linear)
    return Covariance(
        covariance,
        jacobian @ inner.dyadic @ jacobian.T,
        jacobian @ inner.naive @ jacobian.T,
        _at_bound(objective, theta),
        hessian,
        jacobian @ inner.tiles @ jacobian.T,
        BoundedEllipsoid(back @ (inner.dyadic + prior) @ back.T, lower, upper),
        jacobian @ matrix,
        inner.linear,
        pull,
        _beyond(theta, objective.bounds[:, 0], objective.bounds[:, 1], moved, errors),
        jacobian @ _let_go(sums, inner.full, step, pull),
        sums.independent,
    )


def error_tiles(objective: Objective, theta: FloatArray, blocks: int) -> Tiles | None:
    """All that errors, χ² and the record of residuals are made of, in one pass; None where that takes several.

    ``theta`` (p,): The optimum, published. ``blocks``: Blocks of frames.
    """
    if not objective.adds_up:
        return None
    return Tiles.at(objective, theta, blocks, wanted=_rows(objective))


def _rows(objective: Objective) -> NDArray[np.int64]:
    """Parameters that the fit moves or that are not fixed."""
    return np.union1d(objective.moving, np.flatnonzero(objective.problem.table.vary))


def _let_go(sums: Tiles, full: FloatArray, step: FloatArray, pull: FloatArray) -> FloatArray:
    """How far the coordinates (n,) move when contrast and offset are let go beyond the limits that hold them.

    At most by :data:`NOISE` errors: where the data pull further it is not noise that does.
    """
    n, design = sums.objective.coordinates.size, sums.objective.linear.design
    held = np.flatnonzero(np.any((design != 0) & (pull != 0)[:, :, None], axis=(0, 1)))
    if not held.size:
        return np.zeros(n)
    share = min(1.0, NOISE / float(np.abs(pull).max()))
    at = n + held
    return np.asarray(full[:n, at] @ np.linalg.lstsq(full[np.ix_(at, at)], share * step[at], rcond=None)[0])


def _beyond(
    values: FloatArray, lower: FloatArray, upper: FloatArray, moved: FloatArray, errors: FloatArray
) -> FloatArray:
    """How far from the limits that hold them values would go in a step without limits, in standard errors."""
    edge = 1e-9 * np.maximum(np.abs(values), 1.0)
    beyond = np.where(values >= upper - edge, np.maximum(moved, 0.0), 0.0)
    beyond += np.where(values <= lower + edge, np.minimum(moved, 0.0), 0.0)
    return np.divide(beyond, errors, out=np.zeros_like(beyond), where=errors > 0)


@dataclass(frozen=True)
class InternalCovariance:
    """Covariances of the n internal coordinates; priors count in the curvature, not as noise."""

    #: dyadic, naive, inverse (n, n): Dyadic; (JᵀJ)⁻¹ with the residual variance; and for pixels of the stated sigma.
    dyadic: FloatArray
    naive: FloatArray
    inverse: FloatArray
    tiles: FloatArray  #: (B, T, n, n): Part of ``inverse`` that white noise in each tile makes up.
    full: FloatArray  #: As ``inverse``, the m coefficients of contrast and offset included.
    linear: FloatArray  #: (B, 2): Standard errors of contrast and offset of each bin.


def internal_covariance(sums: Tiles, chi2: float) -> InternalCovariance:
    """Covariances from the tiles and χ² at an optimum."""
    objective = sums.objective
    n, known = objective.coordinates.size, prior_curvature(sums)
    every = pseudo_inverse(sums.joint_matrix + known)
    total, shares = dyadic_parts(sums, every)
    inverse = every[:n, :n]
    noise = objective.reduced(chi2)
    naive, design = noise * inverse, objective.linear.design
    dyadic, least = (
        np.einsum("bia,ac,bic->bi", design, part[n:, n:], design, optimize=True)
        for part in (total, LEAST_DYADIC * noise * every)
    )
    stated = np.einsum("bia,ac,bic->bi", design, (every @ known @ every)[n:, n:], design, optimize=True)
    errors = np.sqrt(np.maximum(np.maximum(dyadic, least), 0.0) + stated)
    return InternalCovariance(_at_least(total[:n, :n], naive), naive, inverse, shares, every, errors)


def prior_curvature(sums: Tiles) -> FloatArray:
    """What priors add to the joint matrix (n + m, n + m)."""
    objective = sums.objective
    by_theta = objective.priors.curvature(objective.coordinates.jacobian(sums.theta))
    return np.asarray(block_diag(by_theta, objective.linear.curvature()))


def dyadic_parts(
    sums: Tiles, inverse: FloatArray, step: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Dyadic covariance of all coordinates, and what white noise in each tile adds to that of the first n.

    ``inverse``: Inverse of the joint matrix; zero for coordinates that stay. ``step``: The noise is that of the
    residuals after this step. Returns ``shares`` (B, T, n, n): Of ``inverse``.
    """
    n, (bins, tiles) = sums.objective.coordinates.size, sums.products.shape[:2]
    total, shares = np.zeros_like(inverse), np.zeros((bins, tiles, n, n))
    for b in range(bins):
        acting, matrices = sums.of_bin(b)
        root = _root(inverse[np.ix_(acting, acting)])[0]
        leverage = root.T @ matrices @ root
        scores = sums.joint_scores[b][:, acting]
        if step is not None:
            scores = scores + matrices @ step[acting]
        scores = scores @ root
        meat = independent_meat(scores) if sums.independent else corrected_meat(scores, leverage)
        mine = acting[acting < n]
        here = root[: len(mine)]
        total[np.ix_(acting, acting)] += root @ meat @ root.T
        shares[b][:, mine[:, None], mine] = here @ leverage @ here.T
    return total, shares


def _root(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R with R Rᵀ = matrix (positive semidefinite) and its pseudo-inverse; units are taken out first."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(unit, unit))
    good = values > _NULL * np.max(values, initial=0.0)
    values, vectors = values[good], vectors[:, good]
    return scale[:, None] * vectors * np.sqrt(values), (vectors / np.sqrt(values)).T / unit


def _at_least(dyadic: FloatArray, naive: FloatArray) -> FloatArray:
    """The dyadic covariance, in no direction below ``LEAST_DYADIC`` of the naive: few clusters can leave it negative."""
    root, back = _root(naive)
    values, vectors = np.linalg.eigh(back @ dyadic @ back.T)
    half = root @ vectors * np.sqrt(np.maximum(values, LEAST_DYADIC))
    return np.asarray(half @ half.T)


def _at_bound(objective: Objective, theta: FloatArray) -> NDArray[np.bool_]:
    """Parameters on a published bound, and those that set a coordinate on the edge of its box."""
    z, (lower, upper) = objective.to_internal(theta), objective.internal_bounds(theta)
    out = _on_a_bound(objective, theta)
    for k in np.flatnonzero((z - lower < 1e-6) | (upper - z < 1e-6)):
        out[list(objective.coordinates.sets[k])] = True
    return out


def _on_a_bound(objective: Objective, theta: FloatArray) -> NDArray[np.bool_]:
    """Fitted parameters that rest on a published bound."""
    near = 1e-9 * np.abs(theta)
    out = np.zeros(len(theta), bool)
    fitted = objective.coordinates.order
    lower, upper = objective.bounds.T
    out[fitted] = ((theta - lower <= near) | (upper - theta <= near))[fitted]
    return out


def whitening(matrix: FloatArray) -> FloatArray:
    """W (n, r) with Wᵀ A W = 1 for a Gauss-Newton matrix A, on the r directions that carry information."""
    scale, values, vectors = _informed(matrix, 1e-11)
    return vectors / np.sqrt(values) / scale[:, None]


def pseudo_inverse(matrix: FloatArray) -> FloatArray:
    """Inverse on the directions that carry information."""
    scale, values, vectors = _informed(matrix, _NULL)
    return (vectors / values) @ vectors.T / np.outer(scale, scale)


def _informed(matrix: FloatArray, null: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scales (n,), and eigenvalues (r,) and vectors (n, r) of the scaled matrix that are more than ``null`` of the
    largest."""
    diagonal = np.diag(matrix)
    known = diagonal > _NOTHING * np.max(diagonal, initial=0.0)
    scale = np.sqrt(np.where(known, diagonal, np.inf))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    good = values > null * np.max(values, initial=0.0)
    return scale, values[good], vectors[:, good]


def cluster_count(tiles: int) -> int:
    """Number c of clusters of frames from the number c (c + 1) / 2 of tiles."""
    return round((math.sqrt(8 * tiles + 1) - 1) / 2)


def membership(clusters: int) -> FloatArray:
    """Which tile holds which cluster, (c, T), 1 or 0; tile of clusters (late >= early) is late (late + 1) / 2 + early."""
    late, early = np.tril_indices(clusters)
    k = np.arange(clusters)[:, None]
    return np.asarray(((late == k) | (early == k)).astype(float))


def dyadic_sum(scores: FloatArray) -> FloatArray:
    """Sum (k, k) of the products of scores (B, T, k) of all pairs of tiles of a bin that share a cluster of frames.

    Its expectation is the variance of the total score; where clusters are few, directions of negative variance are
    possible.
    """
    clusters = cluster_count(scores.shape[1])
    late, early = np.tril_indices(clusters)
    own = np.einsum("kt,bti->bki", membership(clusters), scores).reshape(-1, scores.shape[2])
    off = scores[:, late != early].reshape(-1, scores.shape[2])
    return np.asarray(own.T @ own - off.T @ off)


def dyadic_meat(scores: FloatArray) -> FloatArray:
    """The dyadic sum of scores (B, T, k), T = c (c + 1) / 2, made positive semidefinite.

    Of scores as they are, with c / (c - 1) for few clusters, not corrected for what the fit took up.
    """
    clusters = cluster_count(scores.shape[1])
    values, vectors = np.linalg.eigh(clusters / (clusters - 1) * dyadic_sum(scores))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def corrected_meat(scores: FloatArray, leverage: FloatArray) -> FloatArray:
    """Variance of the sum of one bin's tile scores when tiles that share frames are correlated.

    ``scores`` (T, k): Scores of the tiles in coordinates in which the inverse Gauss-Newton matrix is the unit matrix.
    ``leverage`` (T, k, k): Gauss-Newton matrix of each tile in the same coordinates; the sum over all bins is the
    unit matrix. Returns (k, k): Symmetric; directions of negative variance are possible where there are few clusters.
    """
    clusters = cluster_count(len(scores))
    member = membership(clusters)
    own = _undo_fit(member @ scores, np.einsum("kt,tij->kij", member, leverage))
    late, early = np.tril_indices(clusters)
    off = _undo_fit(scores[late != early], leverage[late != early])
    return own.T @ own - off.T @ off


def independent_meat(scores: FloatArray) -> FloatArray:
    """Variance (k, k) of the sum of one bin's scores (G, k) when its clusters, of neighbouring pixels, are independent."""
    apart = scores - scores.mean(axis=0)
    return np.asarray(len(scores) / (len(scores) - 1.0) * apart.T @ apart)


def independent_freedom(shares: FloatArray) -> FloatArray:
    """Degrees of freedom (m,) of such a variance: G - 1 of each bin, pooled after Satterthwaite; shares as below."""
    by_bin = shares.sum(axis=1)
    return np.asarray((shares.shape[1] - 1.0) * _ratio(by_bin.sum(axis=0) ** 2, (by_bin**2).sum(axis=0)))


def _undo_fit(scores: FloatArray, leverage: FloatArray) -> FloatArray:
    """(I - H)⁻¹ s of every cluster or tile."""
    values, vectors = np.linalg.eigh(leverage)
    left = np.maximum(1.0 - values, _LEAST_LEFT)
    turned = np.einsum("kij,ki->kj", vectors, scores) / left
    return np.asarray(np.einsum("kij,kj->ki", vectors, turned))


def degrees_of_freedom(shares: FloatArray) -> FloatArray:
    """Degrees of freedom of a dyadic variance, Satterthwaite's (Bell & McCaffrey 2002) for noise of two kinds.

    With h the variance that noise in each tile gives the quantity: (sum h)² / sum h h' over pairs of tiles of a bin
    that share frames if the noise of tiles is independent, (sum g)² / sum g² with g = sum h of a cluster if the sums
    of clusters are, their noise being that of frames. Speckle has some of either; returned is the geometric mean.

    ``shares`` (B, T, m): h of m quantities. Returns (m,): At least 1.
    """
    member = membership(cluster_count(shares.shape[1]))
    related = (member.T @ member > 0).astype(float)
    pairs = np.einsum("btm,tu,bum->m", shares, related, shares, optimize=True)
    of_clusters = np.einsum("kt,btm->bkm", member, shares)
    white = _ratio(shares.sum(axis=(0, 1)) ** 2, pairs)
    common = _ratio(of_clusters.sum(axis=(0, 1)) ** 2, (of_clusters**2).sum(axis=(0, 1)))
    return np.sqrt(white * common)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """A quotient of at least 1; 1 where nothing is below."""
    return np.maximum(np.divide(above, below, out=np.ones_like(above), where=below > 0), 1.0)
