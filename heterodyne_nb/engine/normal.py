"""Products over pixels -> χ², gradient and Gauss-Newton matrix, with contrast and offset eliminated, and priors added.

c2 = offset_b + contrast_b M. Contrast and offset enter linearly, so for given M their best values come from a small
problem of their own and the derivatives by the other parameters are those at that solution (variable
projection, Golub & Pereyra 1973); eliminating them from the joint Gauss-Newton matrix is a Schur complement.

Contrast and offset of every bin: how bins share them, their limits, and their best values for a given model.

c2 = offset_b + contrast_b M is linear in both, so they need no search: for any M the best ones solve a small least
squares problem inside their limits. Speckle has a contrast in (0, 1] and a baseline of 1, a little less where c2 was
normalised by means over time; without such limits a fringe on a plateau is fitted as well by contrast 700, or by
contrast 1 on an offset of 0.2, and x_sample near 0 as by the true values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import null_space
from scipy.optimize import nnls

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.dataset import levels
from heterodyne_nb.engine.problem import Scale
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.options import CONTRASTS

#: How contrast and offset may be tied over bins.
CONTRAST_MODES = CONTRASTS.names()
#: Ridge that keeps the linear problem solvable where M is constant, relative to the mean curvature.
_FLOOR = 1e-13


def contrast_design(mode: str, q: FloatArray, phi: FloatArray) -> FloatArray:
    """Matrices L (B, 2, n): (contrast_b, offset_b) = L_b @ coefficients.

    ``mode``: ``"per_bin"``: free in every bin; ``"shared"``: one pair for all; ``"per_q"``: one pair per q;
    ``"smooth_phi"``: per q, 1, cos φ, sin φ, cos 2φ, sin 2φ (as many as there are angles for). ``q``, ``phi`` (B,):
    1/Å and degrees.

    Raises ConfigurationError: For an unknown mode.
    """
    basis = _basis(mode, q, phi)
    design = np.zeros((len(q), 2, 2 * basis.shape[1]))
    design[:, 0, : basis.shape[1]] = basis
    design[:, 1, basis.shape[1] :] = basis
    return design


def _basis(mode: str, q: FloatArray, phi: FloatArray) -> FloatArray:
    if mode not in CONTRAST_MODES:
        raise ConfigurationError(
            f"unknown contrast mode {mode!r}",
            where="contrast",
            expected=f"one of {', '.join(CONTRAST_MODES)}",
        )
    if mode == "per_bin":
        return np.eye(len(q))
    if mode == "shared":
        return np.ones((len(q), 1))
    groups, group = levels(q)
    member = np.eye(len(groups))[group]
    return member if mode == "per_q" else _smooth_basis(member, np.radians(phi))


def _smooth_basis(member: FloatArray, phi: FloatArray) -> FloatArray:
    shapes = np.stack([np.ones_like(phi), np.cos(phi), np.sin(phi), np.cos(2 * phi), np.sin(2 * phi)], axis=1)
    columns = []
    for group in member.T:
        angles = len(levels(phi[group > 0])[0])
        count = 5 if angles >= 6 else 3 if angles >= 4 else 1
        columns += [group * shape for shape in shapes.T[:count]]
    return np.stack(columns, axis=1)


def level_limits(table: ParameterTable, scale: Scale) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits (2,) of contrast and offset; those not stated are in the units of the data."""
    settings = [table.contrast, table.offset]
    shift = np.array([0.0, scale.baseline - 1.0])
    given = np.array([s.given for s in settings])
    ends = np.array([s.lower for s in settings]), np.array([s.upper for s in settings])
    lower, upper = (np.where(given, end, scale.unit * (end + shift)) for end in ends)
    return lower, upper


def residual_of(contrast: FloatArray, offset: FloatArray) -> FloatArray:
    """(contrast, offset, -1) of every bin (B, 3): model less data from z = (…, M, 1, data)."""
    return np.stack([contrast, offset, -np.ones_like(contrast)], axis=1)


@dataclass(frozen=True)
class Solution:
    """Contrast and offset that fit best for a given M."""

    #: contrast, offset (B,)
    contrast: FloatArray
    offset: FloatArray
    free: FloatArray  #: (n, m): Directions of the coefficients that no limit holds, as columns.
    matrix: FloatArray  #: (m, m): Normal matrix of these.
    penalty: float = 0.0  #: What priors add to χ².

    @property
    def inner(self) -> FloatArray:
        """See :func:`residual_of`, (B, 3)."""
        return residual_of(self.contrast, self.offset)

    def share(self, cross: FloatArray) -> FloatArray:
        """Coefficients (n, …) by which contrast and offset answer; ``cross`` (…, n) products with other columns."""
        return self.free @ np.linalg.solve(self.matrix, (cross @ self.free).T)


class ContrastOffset:
    """How contrast and offset of the bins hang together, and where they may lie.

    ``mode`` {"per_bin", "shared", "per_q", "smooth_phi"}. ``q``, ``phi`` (B,): 1/Å and degrees. ``table``: Its
    ``contrast`` and ``offset`` hold limits, fixed values and priors. ``scale``: Units of c2, which default limits
    follow.

    Attributes: ``design`` (B, 2, n): (contrast_b, offset_b) = base_b + design_b @ coefficients; fixed ones have no
    coefficients. ``base`` (B, 2). ``lower``, ``upper`` (2,): Limits of contrast and of offset.
    """

    def __init__(
        self, mode: str, q: FloatArray, phi: FloatArray, table: ParameterTable, scale: Scale | None = None
    ) -> None:
        design, half = contrast_design(mode, q, phi), _basis(mode, q, phi).shape[1]
        settings = [table.contrast, table.offset]
        self.free = np.array([s.free for s in settings])
        self.design = design[:, :, np.repeat(self.free, half)]
        self.base = np.tile([0.0 if s.fixed is None else s.fixed for s in settings], (len(q), 1))
        self._known = [s.known(q, phi) for s in settings]
        for k, known in enumerate(self._known):
            if known is not None and settings[k].held:
                self.base[:, k] = known[0]
        self.lower, self.upper = level_limits(table, scale or Scale())
        self.separate = mode != "smooth_phi"
        self._priors = self._terms(half, half)

    def _terms(self, *sizes: int) -> list[tuple[int, FloatArray, FloatArray]]:
        """Means and weights (B,) of priors of contrast and offset, whose bases have so many columns.

        What is known once of several bins with one coefficient counts once.
        """
        terms = []
        for k, known in enumerate(self._known):
            if known is not None and self.free[k]:
                mean, width, shared = known
                terms.append((k, mean, 1.0 / (width**2 * np.clip(len(mean) / max(sizes[k], 1), 1.0, shared))))
        return terms

    def curvature(self) -> FloatArray:
        """What priors add to the matrix (n, n) of χ²/2 by the coefficients."""
        n = self.design.shape[2]
        parts = [(self.design[:, k].T * weight) @ self.design[:, k] for k, _, weight in self._priors]
        return sum(parts, np.zeros((n, n)))

    def about(self, *levels: FloatArray) -> None:
        """Let the priors be about these contrasts and offsets (B,) from now on, with the widths they have."""
        self._priors = [(k, levels[k], weight) for k, _, weight in self._priors]

    @property
    def size(self) -> int:
        """Number of coefficients, n."""
        return int(self.design.shape[2])

    def solve(self, products: FloatArray) -> Solution:
        """Best contrast and offset inside their limits.

        ``products``: Sums of z zᵀ/sigma², z = (derivatives, M, 1, data).
        """
        linear, by_data = products[:, -3:-1, -3:-1], products[:, -3:-1, -1]
        rows = self.design.reshape(2 * len(self.design), self.size)
        matrix = rows.T @ (linear @ self.design).reshape(rows.shape)
        right = (by_data - (linear @ self.base[:, :, None])[:, :, 0]).ravel() @ rows
        for k, mean, weight in self._priors:
            right = right + (weight * mean) @ self.design[:, k]
        matrix = matrix + self.curvature() if self._priors else matrix
        n = len(matrix)
        matrix = matrix + _FLOOR * (np.trace(matrix) / max(n, 1)) * np.eye(n)
        best = np.linalg.solve(matrix, right) if n else right
        levels = self.base + self.design @ best
        free, inner = np.eye(n), matrix
        if n and not self._inside(levels):
            best, free = self._boxed(matrix, right) if self.separate else self._cut(matrix, right, best)
            levels, inner = self.base + self.design @ best, free.T @ matrix @ free
        contrast, offset = levels.T
        return Solution(contrast, offset, free, inner, self._penalty(contrast, offset))

    def _penalty(self, *values: FloatArray) -> float:
        return float(sum(np.sum(weight * (values[k] - mean) ** 2) for k, mean, weight in self._priors))

    def _inside(self, levels: FloatArray) -> bool:
        room = 1e-12 * (self.upper - self.lower)
        within = (levels >= self.lower - room) & (levels <= self.upper + room)
        return bool((within | ~self.free).all())

    def _boxed(self, matrix: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Every group of bins has a pair of its own: of a convex function on a rectangle the least value is inside
        or on one of four edges."""
        kinds = np.flatnonzero(self.free)
        groups = len(right) // len(kinds)
        at = np.arange(groups)
        places = np.stack([k * groups + at for k in range(len(kinds))], axis=1)
        low, high = self.lower[kinds], self.upper[kinds]
        a = matrix[places[:, :, None], places[:, None, :]]
        b = right[places]
        points = [np.linalg.solve(a, b[:, :, None])[:, :, 0]]
        for k in range(len(kinds)):
            for limit in (low[k], high[k]):
                point = np.full((groups, len(kinds)), limit)
                if len(kinds) == 2:
                    o = 1 - k
                    point[:, o] = np.clip((b[:, o] - a[:, o, k] * limit) / a[:, o, o], low[o], high[o])
                points.append(point)
        every = np.stack(points, axis=1)
        room = 1e-12 * (high - low)
        inside = np.all((every >= low - room) & (every <= high + room), axis=2)
        cost = 0.5 * np.einsum("gpi,gij,gpj->gp", every, a, every) - np.einsum("gpi,gi->gp", every, b)
        chosen = every[at, np.argmin(np.where(inside, cost, np.inf), axis=1)]
        best, held = np.empty_like(right), np.zeros(len(right), bool)
        best[places] = np.clip(chosen, low, high)
        held[places] = (chosen <= low) | (chosen >= high)
        return best, np.eye(len(right))[:, ~held]

    def _cut(self, matrix: FloatArray, right: FloatArray, best: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least distance programming (Lawson & Hanson, ch. 23): limits of sums of coefficients."""
        rows = np.concatenate([self.design[:, k] for k in range(2) if self.free[k]])
        bins = len(self.design)
        low, high = (np.repeat(limit[self.free], bins) for limit in (self.lower, self.upper))
        sides, ends = np.concatenate([rows, -rows]), np.concatenate([low, -high])
        back = np.linalg.inv(np.linalg.cholesky(matrix))  # x = best + backᵀ y, |y|² is what χ² grows by
        slopes, need = sides @ back.T, ends - sides @ best
        unit = np.maximum(np.abs(need).max(), 1e-300)
        pull, _ = nnls(np.vstack([slopes.T, need / unit]), np.append(np.zeros(len(best)), 1.0))
        rest = np.vstack([slopes.T, need / unit]) @ pull - np.append(np.zeros(len(best)), 1.0)
        move = -rest[:-1] / rest[-1] * unit
        held = sides[pull > 0]
        return best + back.T @ move, null_space(held) if len(held) else np.eye(len(best))


@dataclass(frozen=True)
class NormalEquations:
    """Local quadratic model of χ² after contrast and offset are eliminated."""

    chi2: float  #: Weighted sum of squares at the point (with priors, if any).
    gradient: FloatArray  #: (n,): Gradient of chi2.
    hessian: FloatArray  #: (n, n): Gauss-Newton matrix of chi2 (twice JᵀJ).
    #: contrast, offset (B,): Best values per bin.
    contrast: FloatArray
    offset: FloatArray
    chi2_bin: FloatArray  #: (B,): Contribution of each bin.

    def among(self, count: int, wanted: IntArray) -> NormalEquations:
        """By ``count`` parameters, 0 for those that are not among the ``wanted`` ones of these equations."""
        gradient, hessian = np.zeros(count), np.zeros((count, count))
        gradient[wanted], hessian[np.ix_(wanted, wanted)] = self.gradient, self.hessian
        return replace(self, gradient=gradient, hessian=hessian)

    def by(self, jacobian: FloatArray) -> NormalEquations:
        """By other coordinates, given the derivatives (n, m) of the present ones by these."""
        return replace(
            self, gradient=jacobian.T @ self.gradient, hessian=jacobian.T @ self.hessian @ jacobian
        )


def normal_equations(products: FloatArray, linear: ContrastOffset, *, added: int = 0) -> NormalEquations:
    """χ², gradient and Gauss-Newton matrix from products divided by sigma².

    ``products``: Sums of z zᵀ/sigma² over pixels, z = (derivatives, M, 1, data). ``linear``: A contrast or offset on
    its limit counts as fixed. ``added``: So many derivatives, the last ones, are of c2 itself; those before are of M
    and count times the contrast.
    """
    best = linear.solve(products)
    inner, factor = best.inner, np.repeat(best.contrast[:, None], products.shape[1] - 3, axis=1)
    factor[:, factor.shape[1] - added :] = 1.0
    chi2_bin = np.maximum(np.einsum("bi,bij,bj->b", inner, products[:, -3:, -3:], inner), 0.0)
    slopes = np.einsum("bp,bpj,bj->p", factor, products[:, :-3, -3:], inner)
    square = np.einsum("bp,bq,bpq->pq", factor, factor, products[:, :-3, :-3])
    cross = ((factor[:, :, None] * products[:, :-3, -3:-1]) @ linear.design).sum(axis=0)
    reduced = square - cross @ best.share(cross)
    return NormalEquations(
        float(chi2_bin.sum()) + best.penalty,
        2.0 * slopes,
        reduced + reduced.T,
        best.contrast,
        best.offset,
        chi2_bin,
    )


class Priors:
    """Gaussian priors of published parameters: each counts as one more measurement.

    Attributes: ``index`` (k,): Parameters that have one. ``mean``, ``width`` (k,).
    """

    def __init__(self, table: ParameterTable) -> None:
        self.index = np.array([i for i, prior in enumerate(table.prior) if prior is not None], np.int64)
        self.mean, self.width = np.array([table.prior[i] for i in self.index], float).reshape(-1, 2).T

    def added(
        self,
        local: NormalEquations,
        theta: FloatArray,
        wanted: IntArray | None = None,
        means: FloatArray | None = None,
    ) -> NormalEquations:
        """Equations with the priors in them.

        ``theta`` (p,). ``wanted`` (P,): Parameters that the first rows of the equations stand for; default all in
        order. ``means`` (k,): Centres of the priors, instead of their own.
        """
        if not self.index.size:
            return local
        pull = (theta[self.index] - (self.mean if means is None else means)) / self.width
        known, rows = np.nonzero(self.index[:, None] == (np.arange(len(theta)) if wanted is None else wanted))
        gradient, hessian = local.gradient.copy(), local.hessian.copy()
        gradient[rows] += (2 * pull / self.width)[known]
        hessian[rows, rows] += (2 / self.width**2)[known]
        return replace(local, chi2=local.chi2 + float(np.sum(pull**2)), gradient=gradient, hessian=hessian)

    def penalty(self, theta: FloatArray) -> float:
        """What they add to χ² at a point (p,)."""
        return float(np.sum(((theta[self.index] - self.mean) / self.width) ** 2))

    def slope(self, theta: FloatArray) -> FloatArray:
        """Derivatives (p,) of :meth:`penalty`."""
        out = np.zeros(len(theta))
        out[self.index] = 2 * (theta[self.index] - self.mean) / self.width**2
        return out

    def curvature(self, jacobian: FloatArray) -> FloatArray:
        """Their part (n, n) of the matrix of χ²/2 by coordinates, d(parameters)/d(coordinates) (p, n) given."""
        weight = np.zeros(len(jacobian))
        weight[self.index] = 1.0 / self.width**2
        return jacobian.T @ (weight[:, None] * jacobian)
