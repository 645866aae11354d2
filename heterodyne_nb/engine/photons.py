"""Products of photons with the columns: what a map would give, without the map, linear in the photons.

With x_p(t) = n_p(t) / m(t) the counts of pixel p over the mean of its bin, c2(t1, t2) = (1/P) sum_p x_p(t1) x_p(t2), so

    Q_r(t) = (1/P) sum_p x_p(t) S_pr(t),   S_pr(t) = e^{-(F_r(t) - F_r(t-1))} [S_pr(t-1) + c_r(t-1) x_p(t-1)],

and P_r is the same recursion run backwards. S of a pixel is touched only where it counts photons: within a block of
frames it is kept relative to the block's first frame, where decays e^{-(F(t) - F(first))} and their inverses are
float64 numbers, so a photon costs a multiply-add a part and no exp.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.engine.data_products import FAST, SAFE
from heterodyne_nb.frames.maps import bin_map
from heterodyne_nb.frames.photons import Photons
from heterodyne_nb.frames.speckles import cluster_edges, speckle_area
from heterodyne_nb.kernels import LOOPS

#: Frames whose columns and sums fit into the cache of a core.
TILE = 2048


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _blocks(f, c, inverse, block, first, late, early, fade, grow):
    """Cut frames into blocks in which no part decays by more than e^SAFE, and fill what photons are multiplied by.

    f, c (R, N), R <= 4; block (N,); first (N, 4): decays at the first frame of each block; late, early, fade, grow (N, 4).
    """
    parts, n = f.shape
    count, start = 0, 0
    for t in range(n):
        for r in range(parts):
            if f[r, t] - f[r, start] > SAFE:
                count, start = count + 1, t
                break
        if t == start:
            for r in range(parts):
                first[count, r] = f[r, t]
        block[t] = count
        for r in range(parts):
            down = np.exp(f[r, start] - f[r, t])
            fade[t, r] = down * inverse[t]
            grow[t, r] = inverse[t] / down
            late[t, r] = c[r, t] * fade[t, r]
            early[t, r] = c[r, t] * grow[t, r]


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _sweep(frame, count, start, weight, p0, p1, block, first, add, back, out):
    """Add w n S of pixels p0 .. p1-1 to out (N, 4), forwards or back, in units of the first frame of each block.

    Frames are taken tile by tile, so that what photons are multiplied by stays in the processor's cache.
    """
    n, pixels = len(block), p1 - p0
    state, last = np.zeros((pixels, 4)), np.zeros(pixels, np.int32)
    at = np.empty(pixels, np.int64)
    for p in range(pixels):
        at[p] = start[p0 + p + 1] - 1 if back else start[p0 + p]
        if start[p0 + p + 1] > start[p0 + p]:
            last[p] = block[frame[at[p]]]
    tiles = (n + TILE - 1) // TILE
    for k in range(tiles):
        low = (tiles - 1 - k if back else k) * TILE
        high = min(low + TILE, n)
        for p in range(pixels):
            begin, end = start[p0 + p], start[p0 + p + 1]
            i, here, w = at[p], last[p], weight[p0 + p]
            s0, s1, s2, s3 = state[p, 0], state[p, 1], state[p, 2], state[p, 3]
            while begin <= i < end:
                t = frame[i]
                if t < low or t >= high:
                    break
                if block[t] != here:
                    new = block[t]
                    sign = -1.0 if back else 1.0
                    s0 *= np.exp(sign * (first[here, 0] - first[new, 0]))
                    s1 *= np.exp(sign * (first[here, 1] - first[new, 1]))
                    s2 *= np.exp(sign * (first[here, 2] - first[new, 2]))
                    s3 *= np.exp(sign * (first[here, 3] - first[new, 3]))
                    here = new
                number = np.float64(count[i])
                share = number * w
                goal, more = out[t], add[t]
                goal[0] += share * s0
                goal[1] += share * s1
                goal[2] += share * s2
                goal[3] += share * s3
                s0 += number * more[0]
                s1 += number * more[1]
                s2 += number * more[2]
                s3 += number * more[3]
                i += -1 if back else 1
            at[p], last[p] = i, here
            state[p, 0], state[p, 1], state[p, 2], state[p, 3] = s0, s1, s2, s3


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def photon_products(frame, count, start, weight, edges, f, c, inverse, big_q, big_p, both):
    """Q and P of one bin, for each group of its pixels.

    ``frame`` (photons,): Frames, increasing within a pixel, and counts. ``start`` (pixels + 1,) int64: Where the
    photons of each pixel begin. ``weight`` (pixels,): 1 / (P s²), s what the counts of a pixel are divided by.
    ``edges`` (G + 1,): Pixels of group g are edges[g] .. edges[g+1] - 1. ``f``, ``c`` (R, N): Decays and columns c_r.
    ``inverse`` (N,): 1 / m(t), 0 for a frame left out. ``big_q``, ``big_p`` (G, R, N): Added to; big_p only when
    ``both``.
    """
    parts, n = f.shape
    groups = len(edges) - 1
    block = np.zeros(n, np.int32)
    for r0 in range(0, parts, 4):
        here = min(4, parts - r0)
        first, late, early = np.zeros((n, 4)), np.zeros((n, 4)), np.zeros((n, 4))
        fade, grow = np.zeros((n, 4)), np.zeros((n, 4))
        _blocks(f[r0 : r0 + here], c[r0 : r0 + here], inverse, block, first, late, early, fade, grow)
        for g in nb.prange(groups):
            out = np.zeros((n, 4))
            _sweep(frame, count, start, weight, edges[g], edges[g + 1], block, first, early, False, out)
            for r in range(here):
                for t in range(n):
                    big_q[g, r0 + r, t] += out[t, r] * fade[t, r]
            if both:
                out[:] = 0.0
                _sweep(frame, count, start, weight, edges[g], edges[g + 1], block, first, late, True, out)
                for r in range(here):
                    for t in range(n):
                        big_p[g, r0 + r, t] += out[t, r] * grow[t, r]


@nb.njit(cache=True, nogil=True)
def _pixel_moments(frame, count, start, first, weight, inverse, sums, squares, diagonal):
    """Sums over frames of x and of x² of each pixel, (P,), and of w x² over pixels of each bin and frame, (B, N)."""
    for b in range(len(first) - 1):
        for p in range(first[b], first[b + 1]):
            for i in range(start[p], start[p + 1]):
                x = count[i] * inverse[b, frame[i]]
                sums[p] += x
                squares[p] += x * x
                diagonal[b, frame[i]] += weight[p] * x * x


#: Multiplications that the exact sum of c2² of all bins may cost; beyond, it comes from random tiles.
EXACT = 3e10
#: A map, or products of pixels, of at most so many frames, or pixels, are held at once.
_HELD = 4096
#: Cells of frames over which c2 is known exactly, neighbouring pairs of them that are looked into, and frames of each.
_CELLS, _LOOKS, _INSIDE = 400, 12, 40
#: What stands for 0 in a map, where 0 is "not measured".
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class PhotonData:
    """The data of a fit as photons; stands where maps (B, N, N) would."""

    photons: Photons
    #: (B, N): 1 over the mean count of a pixel of each bin and frame, 0 where the frame is not used.
    inverse: FloatArray
    scale: FloatArray  #: (P,): What the counts of each pixel are divided by.
    columns: int  #: Of the detector, to know neighbours.

    @cached_property
    def weight(self) -> FloatArray:
        """1 / (P s²) of each pixel, (P,)."""
        pixels = self.photons.n_pixels
        return 1.0 / (np.repeat(pixels, pixels) * self.scale**2)

    def products(self, b: int, f: FloatArray, c: FloatArray, edges: IntArray, both: bool) -> FloatArray:
        """Q, and P where ``both``, of one bin for each group of its pixels, (1 or 2, G, R, N); f, c (R, N)."""
        photons = self.photons
        out = np.zeros((1 + both, len(edges) - 1, *f.shape))
        photon_products(
            photons.frame, photons.count, photons.start, self.weight, edges, f, c, self.inverse[b], out[0],
            out[-1], both,
        )  # fmt: skip
        return out

    def shares(self, b: int) -> IntArray:
        """Pixels of a bin cut into as many groups of about equal numbers of photons as there are threads."""
        p0, p1 = self.photons.first[b : b + 2]
        start = self.photons.start
        cuts = np.linspace(start[p0], start[p1], nb.get_num_threads() + 1)[1:-1]
        inner = np.clip(np.searchsorted(start, cuts), p0, p1)
        return np.unique(np.concatenate([[p0], inner, [p1]])).astype(np.int64)

    @cached_property
    def area(self) -> float:
        """Pixels of a speckle."""
        return speckle_area(self.photons, self.columns, self.inverse, self.scale)

    @cached_property
    def clusters(self) -> list[IntArray]:
        """First pixel of each cluster of neighbouring pixels of a bin, and one past its last; as many in every bin."""
        return cluster_edges(self.photons, self.area)

    @cached_property
    def _pixels(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum over used frames of x, and of x², of each pixel, (P,), and c2(t, t) with its shot noise, (B, N)."""
        photons, n = self.photons, len(self.photons.pixel)
        out = np.zeros(n), np.zeros(n), np.zeros_like(self.inverse)
        _pixel_moments(
            photons.frame, photons.count, photons.start, photons.first, self.weight, self.inverse, *out
        )
        return out

    def pair_sums(self, edges: IntArray) -> FloatArray:
        """Share of groups of consecutive pixels in the sum of c2 over used pairs t1 < t2, (G,)."""
        sums, squares, _ = self._pixels
        by_pixel = 0.5 * self.weight * (sums**2 - squares)
        return np.array([by_pixel[i:j].sum() for i, j in pairwise(edges)])

    @cached_property
    def moments(self) -> FloatArray:
        """Number of used pairs t1 < t2 of each bin, sum of c2 and of c2² over them, (B, 3)."""
        used = np.count_nonzero(self.inverse, axis=1).astype(float)
        squares = np.array([self._squares(b) for b in range(len(used))])
        return np.stack([0.5 * used * (used - 1.0), self.pair_sums(self.photons.first), squares], axis=1)

    @property
    def sampled(self) -> str:
        """How the sum of c2² was found where it is not exact; empty where it is."""
        looked = [b for b in range(self.photons.n_bins) if self._way(b) == "tiles"]
        if not looked:
            return ""
        return (
            f"the sum of c2² of {len(looked)} bins from the exact means over {_CELLS} × {_CELLS} cells and "
            f"{_LOOKS * (2 * _LOOKS - 1)} random tiles of {_INSIDE} × {_INSIDE} frames"
        )

    def _way(self, b: int) -> str:
        """The cheapest way to the sum of c2²: by "frames", by "pixels", or from random "tiles"."""
        n, p = float(self.photons.n_frames), float(self.photons.n_pixels[b])
        most = EXACT / self.photons.n_bins
        ways = {"frames": p * n * n, "pixels": p * p * n}
        held = {"frames": n, "pixels": p}
        open_ = [way for way, cost in ways.items() if cost <= most and held[way] <= _HELD]
        return min(open_, key=lambda way: ways[way]) if open_ else "tiles"

    def _squares(self, b: int) -> float:
        """Sum of c2² over the used pairs t1 < t2 of a bin."""
        way = self._way(b)
        if way == "frames":
            c2 = np.nan_to_num(bin_map(self.photons, b, self.inverse[b], self.scale))
            return float(np.sum(np.tril(c2, -1) ** 2))
        if way == "tiles":
            return self._squares_from_tiles(b)
        p0, p1 = (int(p) for p in self.photons.first[b : b + 2])
        gram, n = np.zeros((p1 - p0, p1 - p0)), self.photons.n_frames
        root = np.sqrt(self.weight[p0:p1, None])
        for t in range(0, n, _HELD):
            cell = np.full(n, -1)
            cell[t : t + _HELD] = np.arange(min(_HELD, n - t))
            x = root * self.photons.dense(slice(p0, p1), cell, self.inverse[b], min(_HELD, n - t))
            gram += x @ x.T
        return 0.5 * float(np.sum(gram**2) - np.sum(self._pixels[2][b] ** 2))

    def _squares_from_tiles(self, b: int) -> float:
        """Exact squares of the means over cells of frames, and the scatter inside cells from a random set of tiles.

        Cells next to each other on the diagonal are a stratum of their own: there c2 changes most.
        """
        rng = np.random.default_rng([2026, b])
        used = np.flatnonzero(self.inverse[b])
        cells = min(_CELLS, len(used) // (2 * _INSIDE))
        p0, p1 = (int(p) for p in self.photons.first[b : b + 2])
        cell = np.full(self.photons.n_frames, -1)
        cell[used] = np.arange(len(used)) * cells // len(used)
        size = np.bincount(cell[used]).astype(float)
        diagonal = np.bincount(cell[used], self._pixels[2][b][used])
        root = np.sqrt(self.weight[p0:p1, None])
        x = root * self.photons.dense(slice(p0, p1), cell, self.inverse[b], cells)
        total, pairs = x.T @ x, np.outer(size, size)
        total[np.diag_indices(cells)] = 0.5 * (np.diag(total) - diagonal)
        pairs[np.diag_indices(cells)] = 0.5 * size * (size - 1.0)
        mean = total / pairs
        first = rng.choice(cells // 2, min(_LOOKS, cells // 2), replace=False) * 2
        looked = np.sort(np.concatenate([first, first + 1]))
        chosen = np.concatenate(
            [np.sort(rng.choice(used[cell[used] == k], _INSIDE, replace=False)) for k in looked]
        )
        place = np.full(self.photons.n_frames, -1)
        place[chosen] = np.arange(len(chosen))
        x = root * self.photons.dense(slice(p0, p1), place, self.inverse[b], len(chosen))
        of = np.repeat(looked, _INSIDE)
        scatter = (x.T @ x - mean[np.ix_(of, of)]) ** 2
        late, early = np.tril_indices(len(chosen), -1)
        near = of[late] - of[early] <= 1
        rows, columns = np.tril_indices(cells)
        beside = rows - columns <= 1
        inside = 0.0
        for stratum, mine in ((beside, near), (~beside, ~near)):
            inside += pairs[rows, columns][stratum].sum() * scatter[late, early][mine].mean()
        return float(np.sum((pairs * mean**2)[rows, columns]) + inside)

    def cell_map(self, cell: IntArray) -> NDArray[np.float32]:
        """Maps (B, C, C) over cells that frames are summed into, (N,), 0 where a cell has no used frame."""
        cells = int(cell.max()) + 1
        maps = np.zeros((self.photons.n_bins, cells, cells), np.float32)
        for b in range(len(maps)):
            found = bin_map(self.photons, b, self.inverse[b], self.scale, cell)
            found[found == 0.0] = _TINY  # measured: no pixel counted in both frames
            maps[b, : len(found), : len(found)] = np.nan_to_num(found)
        return maps

    @property
    def numbers(self) -> NDArray[np.int32]:
        """What tells these data from others."""
        return self.photons.frame

    def subset(self, keep: NDArray[np.bool_]) -> PhotonData:
        """Only some of the bins; ``keep`` (B,) bool."""
        photons, bins = self.photons, np.flatnonzero(keep)
        pixels = np.concatenate([np.arange(photons.first[b], photons.first[b + 1]) for b in bins])
        first = np.concatenate([[0], np.cumsum(photons.n_pixels[bins])])
        left = photons.chosen(pixels, first, slice(0, photons.n_frames))
        return PhotonData(left, self.inverse[bins], self.scale[pixels], self.columns)
