"""Two-time fits of maps that are averages over cells of age and lag: the model is averaged over each cell, too.

With z = (derivatives, M, 1, data) averaged over the n pixels of a cell, the products are the sums over cells of
n z zᵀ, so a cell counts as its pixels do, and what the model does inside a cell is no misfit. Where every cell is a
pixel, they are those of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.age_lag import AgeLagCells
from heterodyne_nb.engine.columns import column_chunks
from heterodyne_nb.engine.data_products import FAST
from heterodyne_nb.engine.frame_problem import on_windows, shortest_time
from heterodyne_nb.engine.pixels import block_edges, model_rows
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.kernels import LOOPS
from heterodyne_nb.models import SeparableModel

_ROWS = 64


@dataclass(frozen=True, eq=False)
class CellData:
    """Means of c2 over cells of age and lag; stands where maps (B, N, N) would."""

    cells: AgeLagCells
    values: FloatArray  #: (B, n_lag, n_age): NaN where no pixel is known.
    pixels: FloatArray  #: (B, n_lag, n_age): Pixels of each cell, 0 for those that are not used.

    @classmethod
    def of_maps(cls, maps: NDArray[np.float32], mask: FloatArray, cells: AgeLagCells) -> Self:
        """Those of maps (B, N, N), rows t2, whose pixels of exactly 0 are unmeasured; mask (B, N)."""
        found = [
            cells.means(np.where(c2 != 0.0, c2, np.nan).T, use > 0)
            for c2, use in zip(maps, mask, strict=True)
        ]
        return cls(cells, *(np.array(part, float) for part in zip(*found, strict=True)))

    @property
    def numbers(self) -> FloatArray:
        """What tells these data from others."""
        return np.nan_to_num(self.values).ravel()

    def subset(self, keep: NDArray[np.bool_]) -> CellData:
        """Only some of the bins; ``keep`` (B,) bool."""
        return replace(self, values=self.values[keep], pixels=self.pixels[keep])

    def map_at(self, frames: IntArray) -> NDArray[np.float32]:
        """Maps (B, n, n) of some of the frames (from 0), each pixel with the value of its cell, 0 where there is none."""
        late, early = np.tril_indices(len(frames), -1)
        lag, age = (
            self.cells.lag_of[frames[late] - frames[early]],
            self.cells.age_of[frames[late] + frames[early]],
        )
        known = (lag >= 0) & (age >= 0)
        out = np.zeros((len(self.values), len(frames), len(frames)), np.float32)
        out[:, late[known], early[known]] = np.nan_to_num(self.values[:, lag[known], age[known]])
        return out


@dataclass(frozen=True, eq=False)
class CellProblem(Problem):
    """A two-time problem whose data are cells of age and lag; ``data`` is a :class:`CellData`.

    A cell is used where all of its pixels are. Maps to search on are ordinary ones.
    """

    data: Any
    #: values, weights: Value and number of pixels of the used cells of each bin; ``chosen``: their numbers, row by
    #: row of lags.
    values: list[FloatArray] = field(init=False, repr=False)
    weights: list[FloatArray] = field(init=False, repr=False)
    chosen: list[IntArray] = field(init=False, repr=False)

    @property
    def cells(self) -> AgeLagCells:
        """Which cell each pair of frames belongs to."""
        data: CellData = self.data
        return data.cells

    def _moments(self) -> FloatArray:
        chosen = [np.flatnonzero(count) for count in self.data.pixels]
        found = {"values": self.data.values, "weights": self.data.pixels}
        for name, of_bins in found.items():
            kept = [one.flat[at] for one, at in zip(of_bins, chosen, strict=True)]
            object.__setattr__(self, name, kept)
        object.__setattr__(self, "chosen", chosen)
        pairs = zip(self.values, self.weights, strict=True)
        return np.array([(w.sum(), w @ value, w @ value**2) for value, w in pairs])

    @property
    def n_data(self) -> int:
        """Number of used cells, all bins together."""
        return sum(map(len, self.values))

    def every(self, stride: int) -> Problem:
        """A map of every ``stride``-th frame."""
        return self._at(np.arange(stride // 2, len(self.t), stride))

    @cached_property
    def small(self) -> Problem:
        """A map to search on: of all frames where they are few, else of windows in which the fastest motion is seen."""
        cell = on_windows(len(self.t), self._shortest_time)
        seen = np.flatnonzero(cell >= 0)
        return self._at(np.bincount(cell[seen], seen).astype(int) // np.bincount(cell[seen]))

    @cached_property
    def _shortest_time(self) -> float:
        """See :attr:`FrameProblem._shortest_time`; by cells."""
        lag, curves = np.diff(self.cells.first_lag) / 2 + self.cells.first_lag[:-1], []
        for values, pixels in zip(self.data.values, self.data.pixels, strict=True):
            count = pixels.sum(axis=1)
            known = count > 0
            curves.append((lag[known], (np.nan_to_num(values) * pixels).sum(axis=1)[known] / count[known]))
        return shortest_time(curves)

    def _at(self, frames: IntArray) -> Problem:
        data, mask = self.data.map_at(frames), np.ascontiguousarray(self.mask[:, frames])
        late, early = np.tril_indices(len(frames), -1)
        unknown = (data[:, late, early] == 0.0) & (mask[:, late] * mask[:, early] > 0)
        b, at = np.nonzero(unknown)
        holes = np.column_stack([b, late[at], early[at]]).astype(np.int64)
        return Problem(
            self.model, self.table, data, self.q, self.phi, self.t[frames], mask, self.sigma, holes, self.gap
        )

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
    """Sums of (derivatives, M) over the pixels of every cell, (P+1, cells), bin by bin; linear in the frames.

    Pixels of a cell at one t2 are consecutive t1: with A(t) = sum over t1 <= t of w(t1) e^{-(F(t) - F(t1))}, their sum is a
    difference of two A, each faded to t2.
    """
    (lags, ages), cells = problem.cells.pixels.shape, problem.cells
    for _, columns in column_chunks(problem, theta, wanted, 1):
        lay, sums = columns.layout, np.zeros((lags, ages, len(wanted) + 1))
        before = _running(columns.w[0], columns.f[0], lay.column_part)
        _add_separable(
            columns.u[0], before, columns.f[0], lay.base, lay.column_part, lay.pair_start, lay.pair_base,
            lay.pair_column, cells.first_lag, cells.first_sum, cells.age_of, sums,
        )  # fmt: skip
        yield sums.reshape(lags * ages, -1).T


@nb.njit(cache=True, nogil=True)
def _running(w, f, part):
    """A of every column up to and with each frame, (N + 1, C), shifted by one: row 0 is zero."""
    columns, n = w.shape
    out = np.zeros((n + 1, columns))
    fade = np.zeros(f.shape[0])
    for t in range(n):
        for r in range(len(fade)):
            fade[r] = np.exp(f[r, t - 1] - f[r, t]) if t > 0 else 0.0
        for c in range(columns):
            out[t + 1, c] = out[t, c] * fade[part[c]] + w[c, t]
    return out


@nb.njit(cache=True, nogil=True, parallel=LOOPS, fastmath=FAST)
def _add_separable(
    u, before, f, base, part, pair_start, pair_base, pair_column, first_lag, first_sum, age_of, out
):
    """Add (derivatives, M) of the pixels of one bin to their cells, out (lags, ages, P+1)."""
    columns, n = u.shape
    wanted, parts = len(pair_start) - 1, f.shape[0]
    for cell in nb.prange(len(first_lag) - 1):
        near, far = first_lag[cell], first_lag[cell + 1]
        low, high, sums = np.zeros(parts), np.zeros(parts), np.zeros(columns)
        for late in range(near, n):
            early = max(late - far + 1, 0, first_sum[0] - late)
            last = min(late - near, first_sum[-1] - 1 - late)
            while early <= last:
                age = age_of[early + late]
                end = min(last, first_sum[age + 1] - 1 - late)
                for r in range(parts):
                    low[r] = np.exp(f[r, early - 1] - f[r, late]) if early > 0 else 0.0
                    high[r] = np.exp(f[r, end] - f[r, late])
                for c in range(columns):
                    sums[c] = high[part[c]] * before[end + 1, c] - low[part[c]] * before[early, c]
                goal = out[cell, age]
                for i in range(wanted):
                    for k in range(pair_start[i], pair_start[i + 1]):
                        a, c = pair_base[k], pair_column[k]
                        goal[i] += u[c, late] * sums[a] + u[a, late] * sums[c]
                for r in range(len(base)):
                    goal[wanted] += u[base[r], late] * sums[base[r]]
                early = end + 1


def _generic_sums(problem: CellProblem, theta: FloatArray, wanted: IntArray) -> Iterator[FloatArray]:
    """See :func:`_separable_sums`; for models without terms, derivatives by central differences."""
    n, ages, cells = len(problem.t), problem.cells.pixels.shape[1], problem.cells.pixels.size
    for b in (some.start for some in problem.windows(1)):
        total, used = np.zeros((len(wanted) + 1, cells)), problem.mask[b] > 0
        for j0 in range(1, n, _ROWS):
            j1 = min(j0 + _ROWS, n)
            late, early = np.arange(j0, j1)[:, None], np.arange(j1)
            lag, age = problem.cells.lag_of[np.abs(late - early)], problem.cells.age_of[late + early]
            inside = (early < late) & (lag >= 0) & (age >= 0) & used[late] & used[early]
            cell = (lag * ages + age)[inside]
            for row, z in zip(total, model_rows(problem, theta, wanted, b, j0, j1), strict=True):
                row += np.bincount(cell, z[inside], cells)
        yield total
