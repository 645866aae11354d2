"""Products pixel by pixel: for robust weights, for sums per tile of frames, and for models with a shear factor.

Every pixel's z = (derivatives, M, 1, data) is built from 1-D curves (no exp, no trigonometry a pixel: decays are
products of block factors, sines of differences follow from sines of the ends) in panels of a few rows, and
sum w z zᵀ is accumulated per tile, a tile being (bin, cluster of t2, cluster of t1).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.engine.data_products import FAST
from heterodyne_nb.kernels import LOOPS

if TYPE_CHECKING:
    from heterodyne_nb.engine.problem import Problem

#: Frames in a block, and pixels gathered before their products are taken.
SIDE, PANEL = 64, 512
SEPARABLE, LAMINAR = 0, 1
LINEAR, HUBER, SOFT_L1, CAUCHY, TUKEY = range(5)
LOSS_CODES = {"linear": LINEAR, "huber": HUBER, "soft_l1": SOFT_L1, "cauchy": CAUCHY, "tukey": TUKEY}


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _robust(code, r, tuning):
    """(rho, weight) of a residual in units of its scale; rho -> r² and weight -> 1 for small residuals."""
    y = (r / tuning) ** 2
    if code == 1:
        size = np.sqrt(y)
        return (r * r, 1.0) if size <= 1.0 else (tuning * tuning * (2.0 * size - 1.0), 1.0 / size)
    if code == 2:
        root = np.sqrt(1.0 + y)
        return 2.0 * r * r / (root + 1.0), 1.0 / root
    if code == 3:
        return tuning * tuning * np.log1p(y), 1.0 / (1.0 + y)
    if code == 4:
        if y >= 1.0:
            return tuning * tuning / 3.0, 0.0
        return r * r * (1.0 - y + y * y / 3.0), (1.0 - y) ** 2
    return r * r, 1.0


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _gram(panel, weight, filled, target):
    """target += panel diag(weight) panelᵀ, lower triangle."""
    scaled = np.empty(filled)
    for a in range(panel.shape[0]):
        za = panel[a]
        for k in range(filled):
            scaled[k] = za[k] * weight[k]
        for b in range(0, a - 2, 4):
            z0, z1, z2, z3 = panel[b], panel[b + 1], panel[b + 2], panel[b + 3]
            s0 = s1 = s2 = s3 = 0.0
            for k in range(filled):
                x = scaled[k]
                s0 += x * z0[k]
                s1 += x * z1[k]
                s2 += x * z2[k]
                s3 += x * z3[k]
            target[a, b] += s0
            target[a, b + 1] += s1
            target[a, b + 2] += s2
            target[a, b + 3] += s3
        for b in range(4 * ((a + 1) // 4), a + 1):
            zb, total = panel[b], 0.0
            for k in range(filled):
                total += scaled[k] * zb[k]
            target[a, b] += total


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _fade_row(step, j, i0, width, faded):
    """Decays from frames i0 .. i0+width-1 to frame j, where i0 + width <= j, by products of steps."""
    for r in range(step.shape[0]):
        value = 1.0
        for t in range(i0 + width, j + 1):
            value *= step[r, t]
        for i in range(width - 1, -1, -1):
            faded[r, i] = value
            value *= step[r, i0 + i]


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _separable_row(u, w, mask, part, start, column, partner, faded, j, i0, width, early, panel, at):
    """Panel rows (derivatives, M, 1) of one t2 for ``width`` frames t1."""
    columns = len(part)
    for c in range(columns):
        own, fade, goal = w[c, i0 : i0 + width], faded[part[c]], early[c]
        for i in range(width):
            goal[i] = own[i] * fade[i]
    for i in range(width):
        early[columns, i] = mask[i0 + i]
    for z in range(len(start) - 1):
        goal = panel[z, at : at + width]
        goal[:] = 0.0
        for x in range(start[z], start[z + 1]):
            value = u[partner[x], j] if partner[x] < columns else mask[j]
            source = early[column[x]]
            for i in range(width):
                goal[i] += value * source[i]


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _laminar_row(u, w, mask, is_shear, faded, j, i0, width, early, panel, at):
    """As :func:`_separable_row` for exp(-dF) (sin x / x)², x = X(t2) - X(t1).

    Rows of u: derivatives of F or X by each parameter, then sin X, cos X and X itself.
    """
    wanted = len(is_shear)
    for i in range(width):
        t = i0 + i
        x = u[wanted + 2, j] - u[wanted + 2, t]
        y = x * x
        if y < 2.5e-3:
            s = 1.0 - y / 6.0 * (1.0 - y / 20.0 * (1.0 - y / 42.0))
            slope = -x / 3.0 * (1.0 - y / 10.0 * (1.0 - y / 28.0 * (1.0 - y / 54.0)))
        else:
            sine = u[wanted, j] * u[wanted + 1, t] - u[wanted + 1, j] * u[wanted, t]
            cosine = u[wanted + 1, j] * u[wanted + 1, t] + u[wanted, j] * u[wanted, t]
            s = sine / x
            slope = (cosine - s) / x
        both = faded[0, i] * mask[t] * mask[j]
        early[0, i] = both * s * s
        early[1, i] = both * 2.0 * s * slope
        panel[wanted, at + i] = early[0, i]
        panel[wanted + 1, at + i] = mask[t] * mask[j]
    for z in range(wanted):
        goal, own, late = panel[z, at : at + width], u[z, i0 : i0 + width], u[z, j]
        field = early[1] if is_shear[z] else early[0]
        sign = 1.0 if is_shear[z] else -1.0
        for i in range(width):
            goal[i] = sign * field[i] * (late - own[i])


@nb.njit(cache=True, nogil=True)
def _tile_products(
    kind, data, u, w, step, mask, part, start, column, partner, is_shear, edges, cluster, inner, loss, tuning,
    out, rho,
):  # fmt: skip
    """:func:`tile_products` of one bin."""
    rows, blocks = out.shape[1], len(cluster)
    early = np.zeros((max(u.shape[0] + 1, 2), SIDE))
    faded = np.ones((step.shape[0], SIDE))
    panel, weight = np.zeros((rows, PANEL + SIDE)), np.zeros(PANEL + SIDE)
    for big in range(blocks):
        for small in range(big + 1):
            tile = cluster[big] * (cluster[big] + 1) // 2 + cluster[small]
            i0, filled = edges[small], 0
            for j in range(edges[big], edges[big + 1]):
                width = min(edges[small + 1], j) - i0
                if mask[j] > 0.0 and width > 0:
                    if small == big or j == edges[big]:
                        _fade_row(step, j, i0, width, faded)
                    else:
                        for r in range(step.shape[0]):
                            for i in range(width):
                                faded[r, i] *= step[r, j]
                    if kind == SEPARABLE:
                        _separable_row(
                            u, w, mask, part, start, column, partner, faded, j, i0, width, early,
                            panel, filled,
                        )  # fmt: skip
                    else:
                        _laminar_row(u, w, mask, is_shear, faded, j, i0, width, early, panel, filled)
                    for i in range(width):
                        panel[rows - 1, filled + i] = data[j, i0 + i] * mask[i0 + i]
                    filled += width
                elif small < big:
                    if j == edges[big]:
                        _fade_row(step, j, i0, edges[small + 1] - i0, faded)
                    else:
                        for r in range(step.shape[0]):
                            for i in range(edges[small + 1] - i0):
                                faded[r, i] *= step[r, j]
                if filled >= PANEL or (j == edges[big + 1] - 1 and filled > 0):
                    contrast, offset, sigma = inner[0], inner[1], inner[2]
                    total = 0.0
                    for k in range(filled):
                        used = panel[rows - 2, k] if panel[rows - 1, k] != 0.0 else 0.0
                        residual = panel[rows - 1, k] - offset - contrast * panel[rows - 3, k]
                        value, factor = _robust(loss, residual / sigma, tuning)
                        weight[k] = factor * used
                        total += value * used
                    rho[tile] += total
                    _gram(panel, weight, filled, out[tile])
                    filled = 0


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def tile_products(
    kind, data, u, w, step, mask, part, start, column, partner, is_shear, edges, cluster, inner, loss, tuning,
    out, rho,
):  # fmt: skip
    """Add sum weight z zᵀ of every tile to out (B, T, P+3, P+3) and sum rho to rho (B, T).

    ``kind`` (int): SEPARABLE or LAMINAR. ``data`` (B, N, N): Exactly 0 where unmeasured. ``u``, ``w`` (B, C, N).
    ``part``, ``start``, ``column``, ``partner``: Layout of separable columns, see ``model_products``. ``is_shear``
    (P,): Which parameters act through the shear factor (laminar). ``edges`` (S,): Blocks of at most SIDE frames, and
    the cluster of each; tile = c2 (c2 + 1) / 2 + c1. ``inner`` (B, 3): Contrast, offset and noise of each bin, for
    the residuals of robust weights. ``loss``: its number and tuning.
    """
    for b in nb.prange(len(data)):
        _tile_products(
            kind, data[b], u[b], w[b], step[b], mask[b], part, start, column, partner, is_shear, edges, cluster,
            inner[b], loss, tuning, out[b], rho[b],
        )  # fmt: skip


def block_edges(n: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut n frames into ``clusters`` of about equal length, each into blocks of at most SIDE frames."""
    cuts = np.unique(np.rint(np.linspace(0, n, clusters + 1)).astype(np.int64))
    edges, cluster = [0], []
    for k, (first, last) in enumerate(itertools.pairwise(cuts)):
        pieces = -(-(last - first) // SIDE)
        inner = np.rint(np.linspace(first, last, pieces + 1)).astype(np.int64)[1:]
        edges += list(inner)
        cluster += [k] * len(inner)
    return np.array(edges, np.int64), np.array(cluster, np.int64)


def _difference_step(problem: Problem, theta: FloatArray, i: int) -> float:
    """Step of a central difference, small against the parameter and its range."""
    width = problem.table.upper[i] - problem.table.lower[i]
    return float(6e-6 * max(abs(theta[i]), 1e-4 * min(width, 1e6), 1e-12))


def z_rows(problem: Problem, theta: FloatArray, wanted: IntArray, b: int, j0: int, j1: int) -> FloatArray:
    """z = (derivatives, M, 1, data) of bin b for rows t2 in [j0, j1) and all t1 < j1, (P+3, j1-j0, j1)."""
    data = problem.data[b, j0:j1, :j1].astype(float)
    return np.stack([*model_rows(problem, theta, wanted, b, j0, j1), np.ones_like(data), data])


def model_rows(
    problem: Problem, theta: FloatArray, wanted: IntArray, b: int, j0: int, j1: int
) -> list[FloatArray]:
    """The derivatives and M of :func:`z_rows`."""
    t2, t1 = problem.t[j0:j1, None], problem.t[None, :j1]

    def correlation(values: FloatArray) -> FloatArray:
        m = problem.model.correlation(values, t1, t2, q=problem.q[b], phi=problem.phi[b], gap=problem.gap)
        return np.broadcast_to(np.asarray(m, float), (j1 - j0, j1))

    rows = []
    for i in wanted:
        h = np.zeros_like(theta)
        h[i] = _difference_step(problem, theta, int(i))
        rows.append((correlation(theta + h) - correlation(theta - h)) / (2 * h[i]))
    return [*rows, correlation(theta)]


def used_rows(problem: Problem, b: int, j0: int, j1: int) -> FloatArray:
    """1 for the used pixels t1 < t2 of these rows, (j1-j0, j1)."""
    used = problem.mask[b, j0:j1, None] * problem.mask[b, None, :j1]
    used *= np.arange(j1)[None, :] < np.arange(j0, j1)[:, None]
    return np.asarray(used * (problem.data[b, j0:j1, :j1] != 0.0))
