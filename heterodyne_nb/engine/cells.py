"""Two-time fits of maps that are averages over cells of age and lag: the model is averaged over each cell, too.

With z = (derivatives, M, 1, data) averaged over the n pixels of a cell, the products are the sums over cells of
n z zᵀ, so a cell counts as its pixels do, and what the model does inside a cell is no misfit. Where every cell is a
pixel, they are those of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numba as nb
import numpy as np

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.age_lag import AgeLagCells
from heterodyne_nb.engine.columns import column_chunks
from heterodyne_nb.engine.data_products import FAST
from heterodyne_nb.engine.pixels import block_edges, z_rows
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.models import SeparableModel

_ROWS = 64


@dataclass(frozen=True, eq=False)
class CellProblem(Problem):
    """A two-time problem whose pixels show the value of a cell of age and lag.

    A cell is used where all of its pixels are. Maps of fewer frames, to search on, are ordinary ones.
    """

    cells: AgeLagCells = None  # type: ignore[assignment]
    #: values, weights: Value and number of pixels of the used cells of each bin; ``chosen``: their numbers, row by
    #: row of lags.
    values: list[FloatArray] = field(init=False, repr=False)
    weights: list[FloatArray] = field(init=False, repr=False)
    chosen: list[IntArray] = field(init=False, repr=False)

    def _moments(self) -> FloatArray:
        found: tuple[list[Any], ...] = ([], [], [])
        for b in (some.start for some in self.windows(1)):
            c2 = np.where(self.data[b] != 0.0, self.data[b], np.nan)
            value, count = self.cells.means(c2.T, self.mask[b] > 0)
            at = np.flatnonzero(count)
            for kept, new in zip(found, (value.flat[at], count.flat[at].astype(float), at), strict=True):
                kept.append(new)
        for name, kept in zip(("values", "weights", "chosen"), found, strict=True):
            object.__setattr__(self, name, kept)
        none = np.bincount(self.holes[:, 0], minlength=self.n_bins)  # taken off again where holes are counted
        return np.array(
            [
                (w.sum() + k, w @ value, w @ value**2)
                for value, w, k in zip(self.values, self.weights, none, strict=True)
            ]
        )

    @property
    def n_data(self) -> int:
        """Number of used cells, all bins together."""
        return sum(map(len, self.values))

    def tiles(self, b: int, clusters: int) -> IntArray:
        """Tile of each used cell of a bin, by the frames in its middle; see :func:`products.tile_products_at`."""
        n, (lag, age) = len(self.t), np.divmod(self.chosen[b], self.cells.pixels.shape[1])
        edges, cluster = block_edges(n, min(clusters, n))
        of_frame = np.repeat(cluster, np.diff(edges))
        apart, sums = (_middles(a, k) for a, k in ((self.cells.lag_of, lag), (self.cells.age_of, age)))
        early = np.clip(np.floor((sums - apart) / 2), 0, n - 1).astype(int)
        late = np.clip(np.floor((sums + apart) / 2), 0, n - 1).astype(int)
        k1, k2 = of_frame[early], of_frame[late]
        return np.asarray(k2 * (k2 + 1) // 2 + k1)


def _middles(cell_of: IntArray, wanted: IntArray) -> FloatArray:
    """Mean index of the entries of each wanted cell."""
    known = np.flatnonzero(cell_of >= 0)
    size = int(cell_of.max()) + 1
    return (
        np.bincount(cell_of[known], known, size)[wanted] / np.bincount(cell_of[known], minlength=size)[wanted]
    )


def cell_means(problem: CellProblem, theta: FloatArray, wanted: IntArray) -> Iterator[FloatArray]:
    """z = (derivatives, M, 1, data) averaged over each used cell, (P+3, C), bin by bin."""
    separable = isinstance(problem.model, SeparableModel)
    sums = _separable_sums(problem, theta, wanted) if separable else _generic_sums(problem, theta, wanted)
    for b, total in enumerate(sums):
        at, weight = problem.chosen[b], problem.weights[b]
        yield np.vstack([total[:, at] / weight, np.ones(len(at)), problem.values[b]])


def _separable_sums(problem: CellProblem, theta: FloatArray, wanted: IntArray) -> Iterator[FloatArray]:
    """Sums of (derivatives, M) over the pixels of every cell, (P+1, cells), bin by bin."""
    lags, ages = problem.cells.pixels.shape
    known = np.flatnonzero(problem.cells.lag_of >= 0)
    first = known[0] + np.searchsorted(problem.cells.lag_of[known], np.arange(lags + 1))
    for _, columns in column_chunks(problem, theta, wanted, 1):
        lay, sums = columns.layout, np.zeros((lags, ages, len(wanted) + 1))
        _add_separable(
            columns.u[0], columns.w[0], columns.f[0], lay.base, lay.column_part, lay.pair_start, lay.pair_base,
            lay.pair_column, first, problem.cells.age_of, sums,
        )  # fmt: skip
        yield sums.reshape(lags * ages, -1).T


@nb.njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def _add_separable(u, w, f, base, part, pair_start, pair_base, pair_column, first, age_of, out):
    """Add (derivatives, M) of the pixels of one bin to their cells, out (lags, ages, P+1)."""
    n, wanted = u.shape[1], len(pair_start) - 1
    for cell in nb.prange(len(first) - 1):
        fade = np.zeros(f.shape[0])
        for lag in range(max(first[cell], 1), first[cell + 1]):
            for early in range(n - lag):
                late = early + lag
                age = age_of[early + late]
                if age < 0:
                    continue
                goal = out[cell, age]
                for r in range(len(fade)):
                    fade[r] = np.exp(-(f[r, late] - f[r, early]))
                for i in range(wanted):
                    for k in range(pair_start[i], pair_start[i + 1]):
                        a, c = pair_base[k], pair_column[k]
                        goal[i] += fade[part[a]] * (u[c, late] * w[a, early] + u[a, late] * w[c, early])
                for r in range(len(base)):
                    goal[wanted] += fade[r] * u[base[r], late] * w[base[r], early]


def _generic_sums(problem: CellProblem, theta: FloatArray, wanted: IntArray) -> Iterator[FloatArray]:
    """See :func:`_separable_sums`; for models without terms, derivatives by central differences."""
    n, ages, cells = len(problem.t), problem.cells.pixels.shape[1], problem.cells.pixels.size
    for b in (some.start for some in problem.windows(1)):
        total = np.zeros((len(wanted) + 1, cells))
        for j0 in range(1, n, _ROWS):
            j1 = min(j0 + _ROWS, n)
            late, early = np.arange(j0, j1)[:, None], np.arange(j1)
            lag, age = problem.cells.lag_of[np.abs(late - early)], problem.cells.age_of[late + early]
            inside = (early < late) & (lag >= 0) & (age >= 0)
            cell = (lag * ages + age)[inside]
            for row, z in zip(total, z_rows(problem, theta, wanted, b, j0, j1), strict=False):
                row += np.bincount(cell, z[inside], cells)
        yield total
