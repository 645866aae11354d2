"""Products over pixels at one parameter vector, by whichever kernel suits the model: of every bin, or tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb import kernels
from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.cells import CellProblem, cell_means
from heterodyne_nb.engine.columns import column_chunks
from heterodyne_nb.engine.fast import entries, fading, separable_products
from heterodyne_nb.engine.losses import Loss, get_loss
from heterodyne_nb.engine.normal import residual_of
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.engine.pixel_clusters import cluster_products
from heterodyne_nb.engine.pixels import (
    LAMINAR,
    LOSS_CODES,
    SEPARABLE,
    block_edges,
    tile_products,
    used_rows,
    z_rows,
)
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.engine.spread import Spread
from heterodyne_nb.models import SeparableModel
from heterodyne_nb.models.curves import power_cumulative, power_cumulative_gradient
from heterodyne_nb.models.homodyne import LaminarFlowModel

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Weighting:
    """Per-pixel weights from the residual at given contrast and offset (both (B,)).

    ``loss`` is a name known to :mod:`heterodyne_nb.engine.losses`; ``tuning`` its constant, in units of
    the residual's scale, and ``scale`` that scale in units of sigma.
    """

    contrast: FloatArray
    offset: FloatArray
    loss: str = "linear"
    tuning: float = 1.0
    scale: float = 1.0

    def subset(self, some: slice) -> Weighting:
        """That of some of the bins."""
        return replace(self, contrast=self.contrast[some], offset=self.offset[some])


def products_at(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    """Sums of z zᵀ over used pixels t1 < t2 of every bin, z = (derivatives, M, 1, data).

    ``theta`` (p,): Published parameters. ``wanted`` (P,): Indices of the parameters whose derivatives are asked for.
    """
    kernels.require_threads()
    if isinstance(problem.data, Spread):
        return np.asarray(problem.data.of_bins(problem.model, products_at, theta, wanted))
    if isinstance(problem, CellProblem):
        return tile_products_at(problem, theta, wanted)[0][:, 0]
    if isinstance(problem.model, SeparableModel):
        out = _separable(problem, theta, wanted)
    else:
        out = tile_products_at(problem, theta, wanted)[0][:, 0]
    out[:, -2, -2] = problem.count
    out[:, -1, -2] = out[:, -2, -1] = problem.sum_data
    out[:, -1, -1] = problem.sum_squares
    return out


def tile_products_at(
    problem: Problem,
    theta: FloatArray,
    wanted: NDArray[np.int64],
    clusters: int = 1,
    weighting: Weighting | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Sums of weight z zᵀ over the used pixels of each tile, z = (derivatives, M, 1, data).

    ``theta`` (p,). ``wanted`` (P,). ``clusters``: Number of clusters of frames; tile of clusters (k2 >= k1) is ``k2
    (k2 + 1) / 2 + k1``. ``weighting``: Without, every pixel counts once. Returns ``rho`` (B, T): Sum of the loss of
    the residuals in units of sigma (zero contrast without a weighting).
    """
    b = problem.n_bins
    weighting = weighting or Weighting(np.zeros(b), np.zeros(b))
    noise = problem.sigma * weighting.scale
    if isinstance(problem.data, Spread):
        scaled = _Scaled(weighting, noise)
        products, rho = problem.data.of_bins(
            problem.model, _scaled_tiles, theta, wanted, clusters, by_bin=scaled
        )
    else:
        products, rho = _scaled_tiles(problem, theta, wanted, clusters, _Scaled(weighting, noise))
    return products, rho * weighting.scale**2


@dataclass(frozen=True)
class _Scaled:
    """A weighting, and the size of a residual of 1 in each bin, (B,)."""

    weighting: Weighting
    noise: FloatArray

    def subset(self, some: slice) -> _Scaled:
        return _Scaled(self.weighting.subset(some), self.noise[some])


def _scaled_tiles(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], clusters: int, scaled: _Scaled
) -> tuple[FloatArray, FloatArray]:
    """See :func:`tile_products_at`; rho in units of the noise."""
    b, n, weighting = problem.n_bins, len(problem.t), scaled.weighting
    if isinstance(problem, CellProblem):
        return _cell_tiles(problem, theta, wanted, clusters, scaled)
    if not isinstance(problem.model, SeparableModel | LaminarFlowModel):
        return _generic_tiles(problem, theta, wanted, clusters, scaled)
    edges, cluster = block_edges(n, min(clusters, n))
    count = int(cluster[-1]) + 1
    tiles = count * (count + 1) // 2
    out, rho = np.zeros((b, tiles, len(wanted) + 3, len(wanted) + 3)), np.zeros((b, tiles))
    inner = np.stack([weighting.contrast, weighting.offset, scaled.noise], axis=1).astype(float)

    def add(some: slice, kind: int, u: FloatArray, w: FloatArray, f: FloatArray, *layout: Any) -> None:
        tail = (edges, cluster, inner[some], LOSS_CODES[weighting.loss], float(weighting.tuning))
        data = (kind, problem.data[some], u, w, fading(f), problem.mask[some])
        arguments: tuple[Any, ...] = (*data, *layout, *tail, out[some], rho[some])
        tile_products(*arguments)

    if isinstance(problem.model, SeparableModel):
        for some, columns in column_chunks(problem, theta, wanted, b):
            lay = columns.layout
            part, none = lay.column_part, np.zeros(0, np.bool_)
            add(some, SEPARABLE, columns.u, columns.w, columns.f, part, *entries(lay), none)
    else:
        u, f, is_shear = _laminar_curves(problem, theta, wanted)
        for some in problem.windows():
            add(some, LAMINAR, u[some], u[some], f[some], _NONE, _NONE, _NONE, _NONE, is_shear)
    return out + np.swapaxes(np.tril(out, -1), 2, 3), rho


def weighted_tiles(
    problem: Problem,
    theta: FloatArray,
    wanted: NDArray[np.int64],
    clusters: int = 1,
    weighting: Weighting | None = None,
) -> FloatArray:
    """The products of :func:`tile_products_at` divided by sigma².

    With a robust loss the data's square is replaced so that χ² of a tile, at the contrast and offset of the
    weighting, is its loss. The tiles of photons are clusters of pixels, see :mod:`pixel_clusters`.
    """
    variance = problem.sigma[:, None, None, None] ** 2
    if isinstance(problem.data, PhotonData):
        at = weighting or Weighting(*np.zeros((2, problem.n_bins)))
        return cluster_products(problem, theta, wanted, at.contrast, at.offset) / variance
    products, rho = tile_products_at(problem, theta, wanted, clusters, weighting)
    products = products / variance
    if weighting is not None and weighting.loss != "linear":
        inner = residual_of(weighting.contrast, weighting.offset)
        products[..., -1, -1] += rho - np.einsum("bi,btij,bj->bt", inner, products[..., -3:, -3:], inner)
    return products


def _separable(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    out = np.empty((problem.n_bins, len(wanted) + 3, len(wanted) + 3))
    for some, columns in column_chunks(problem, theta, wanted):
        data = problem.data if isinstance(problem.data, PhotonData) else problem.data[some]
        out[some] = separable_products(data, columns, problem.mask[some], some.start)
        holes = problem.holes[(problem.holes[:, 0] >= some.start) & (problem.holes[:, 0] < some.stop)]
        if len(holes):
            lay = columns.layout
            hole_products(
                columns.u, columns.w, columns.f, holes - np.array([some.start, 0, 0]), lay.base, lay.column_part,
                lay.pair_start, lay.pair_base, lay.pair_column, out[some],
            )  # fmt: skip
        del columns  # before the next are made
    return out


@nb.njit(cache=True, nogil=True)
def hole_products(u, w, f, holes, base, column_part, pair_start, pair_base, pair_column, out):
    """Take unmeasured pixels (bin, t2, t1) out of the products of the model with itself; their data are 0."""
    wanted = len(pair_start) - 1
    z = np.zeros(wanted + 2)
    fade = np.zeros(f.shape[1])
    for h in range(len(holes)):
        b, late, early = holes[h]
        for r in range(len(base)):
            fade[r] = np.exp(-(f[b, r, late] - f[b, r, early]))
        z[:] = 0.0
        for i in range(wanted):
            for k in range(pair_start[i], pair_start[i + 1]):
                a, c = pair_base[k], pair_column[k]
                z[i] += fade[column_part[a]] * (
                    u[b, c, late] * w[b, a, early] + u[b, a, late] * w[b, c, early]
                )
        for r in range(len(base)):
            z[wanted] += fade[r] * u[b, base[r], late] * w[b, base[r], early]
        z[wanted + 1] = 1.0
        for i in range(wanted + 2):
            for j in range(wanted + 2):
                out[b, i, j] -= z[i] * z[j]


def _laminar_curves(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Rows (derivatives of F or X, sin X, cos X, X) per bin, the decay F (B, 1, N), and which act on X."""
    t, q = problem.t, problem.q
    assert problem.gap is not None
    (transport,), (shear,) = (problem.model.of_role(role) for role in ("transport", "shear_rate"))
    falls, moves, way = list(transport.parameters), list(shear.parameters), shear.direction
    angle = np.radians(theta[way] - problem.phi)
    kappa = 0.5 * q * problem.gap
    strain = power_cumulative(t, *theta[moves], rule=problem.model.rule)
    gradient = np.zeros((len(q), len(theta), len(t)))
    gradient[:, falls] = q[:, None, None] ** 2 * power_cumulative_gradient(
        t, *theta[falls[:2]], rule=problem.model.rule
    )
    gradient[:, moves] = (kappa * np.cos(angle))[:, None, None] * power_cumulative_gradient(
        t, *theta[moves[:2]], rule=problem.model.rule
    )
    gradient[:, way] = (-kappa * np.sin(angle) * np.pi / 180.0)[:, None] * strain
    x = (kappa * np.cos(angle))[:, None] * strain
    f = (q[:, None] ** 2 * power_cumulative(t, *theta[falls], rule=problem.model.rule))[:, None]
    curves = np.stack([np.sin(x), np.cos(x), x], axis=1)
    return np.concatenate([gradient[:, wanted], curves], axis=1), f, ~np.isin(wanted, falls)


def _cell_tiles(
    problem: CellProblem, theta: FloatArray, wanted: NDArray[np.int64], clusters: int, scaled: _Scaled
) -> tuple[FloatArray, FloatArray]:
    """See :func:`tile_products_at`; the residual of a cell counts as many times as it has pixels."""
    weighting, loss = scaled.weighting, _loss(scaled.weighting)
    size, count = len(wanted) + 3, min(clusters, len(problem.t))
    out = np.zeros((problem.n_bins, count * (count + 1) // 2, size, size))
    rho = np.zeros(out.shape[:2])
    for b, z in enumerate(cell_means(problem, theta, wanted)):
        tile, weight = problem.tiles(b, count), problem.weights[b]
        residual = z[-1] - weighting.offset[b] - weighting.contrast[b] * z[-3]
        residual *= np.sqrt(weight) / scaled.noise[b]
        rho[b] = np.bincount(tile, loss.rho(residual**2), rho.shape[1])
        weighted = z * (weight * loss.weight(residual))
        order = np.argsort(tile, kind="stable")
        ends = np.searchsorted(tile[order], np.arange(rho.shape[1] + 1))
        for k in range(rho.shape[1]):
            some = order[ends[k] : ends[k + 1]]
            out[b, k] = weighted[:, some] @ z[:, some].T
    return out, rho


def _loss(weighting: Weighting) -> Loss:
    loss = get_loss(weighting.loss)
    return loss if loss.name == "linear" else replace(loss, tuning=weighting.tuning)


def _generic_tiles(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], clusters: int, scaled: _Scaled
) -> tuple[FloatArray, FloatArray]:
    """See :func:`tile_products_at`; for models without curves, derivatives by central differences."""
    weighting, loss = scaled.weighting, _loss(scaled.weighting)
    n = len(problem.t)
    edges, cluster = block_edges(n, min(clusters, n))
    count, size = int(cluster[-1]) + 1, len(wanted) + 3
    out = np.zeros((problem.n_bins, count * (count + 1) // 2, size, size))
    rho = np.zeros(out.shape[:2])
    for b in (some.start for some in problem.windows(1)):
        scale = scaled.noise[b]
        for j0, j1, k2 in zip(edges[:-1], edges[1:], cluster, strict=True):
            z = z_rows(problem, theta, wanted, b, j0, j1)
            used = used_rows(problem, b, j0, j1)
            residual = (z[-1] - weighting.offset[b] - weighting.contrast[b] * z[-3]) / scale
            value, weight = loss.rho(residual**2), loss.weight(residual)
            for i0, i1, k1 in zip(edges[:-1], edges[1:], cluster, strict=True):
                if i0 >= j1:
                    break
                inside = np.s_[:, i0 : min(i1, j1)]
                tile = k2 * (k2 + 1) // 2 + k1
                factor = (used * weight)[inside].ravel()
                chosen = z[:, :, i0 : min(i1, j1)].reshape(size, -1)
                out[b, tile] += (chosen * factor) @ chosen.T
                rho[b, tile] += float((used * value)[inside].sum())
    return out, rho
