"""The noise of a two-time map, told from its signal: a fit to second differences along the diagonals.

The noise of pixels e_i = c2[i, i+k] on one diagonal has the autocovariance

    Γ_k(h) = S s_k(h) + W δ_h0    or, of noise that is not speckle's,    W δ_h0 + Σ_m a_m e^{−|h|/τ_m},

s_k the covariance of speckle (:mod:`heterodyne_nb.data.speckle_noise`), S = 1/(number of speckles), W what is
white along a diagonal (shot noise). The second differences
d_s = e_i − 2 e_{i+s} + e_{i+2s} have the mean square

    D_k(s) = 6 Γ_k(0) − 8 Γ_k(s) + 2 Γ_k(2s),

in which a signal that is straight in age, fringes of steady velocity included, cancels. D is averaged in
cells of (lag, age, step s ≤ N/6), clipped at four robust standard deviations against bad frames, and the
coefficients, none negative, are fitted by iterated weighted least squares. Where the signal bends with age,
early or at long lags, D is too large, never too small: cells above the fit by more than two standard errors
are left out in turn, with the longer steps at the same place if by more than 3.5. The exponentials are used only if they lower χ² at short steps by a fifth: without them
the shape of the noise follows from the measured correlation, also beyond N/6, where noise and ageing look
alike. S counts if it is above three standard errors.

Stripes, an odd level of single frames that their whole row and column share, correlate pixels k apart on
diagonal k. Their variance is the covariance of the two halves of each row, after a second difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from heterodyne_nb.data.speckle_noise import SpeckleCovariance

__all__ = ["NoiseModel", "diagonal", "fit_noise"]

_MAD_TO_STD = 1.4826
_CLIP = 4.0
_SECOND = (1, -2, 1)
_SQUARED = (6.0, -8.0, 2.0)
_LAG_GROUPS, _AGE_BLOCKS, _STEPS = 10, 4, 12
_POSITIONS = 12  # places a cell at which the covariance is looked up
_FEWEST_CELLS = 8
_TOO_HIGH, _FAR_TOO_HIGH = 2.0, 3.5
_FLOOR = 0.02
_BETTER, _AS_GOOD, _LONGEST = 0.8, 1.05, 0.6
_ROUNDS = 15


def diagonal(c2: np.ndarray, used: np.ndarray, lag: int) -> np.ndarray:
    """Return c2[i, i+lag] as float64, NaN where a frame is not used or the pixel not measured."""
    values = np.diagonal(c2, lag).astype(float)
    values[~(used[: len(used) - lag] & used[lag:] & np.isfinite(values))] = np.nan
    return values


@dataclass(frozen=True)
class NoiseModel:
    """Noise of one two-time map.

    Attributes
    ----------
    speckle : float
        S, one over the number of independent speckles.
    white : float
        W, variance that no two pixels of a diagonal share, except through stripes.
    times, levels : ndarray
        τ_m in frames and a_m of the exponentials.
    stripe : float
        Variance of the level of single frames (contained in W twice).
    covariance : SpeckleCovariance
        s_k, looked up in the map.
    """

    speckle: float
    white: float
    times: np.ndarray
    levels: np.ndarray
    stripe: float
    covariance: SpeckleCovariance

    def shared(self, first: np.ndarray, lag: np.ndarray | int, h: np.ndarray) -> np.ndarray:
        """Return Γ_lag(h) without W for the pixels c2[i, i+lag], i = ``first`` and ``first + h``."""
        total = np.einsum(
            "m,m...->...", self.levels, np.exp(-np.abs(h) / self.times.reshape(-1, *[1] * np.ndim(h)))
        )
        if self.speckle > 0:
            total = total + self.speckle * self.covariance(first, first + lag, first + h, first + h + lag)
        return np.asarray(total)


@dataclass(frozen=True)
class _Cells:
    """Mean squares of second differences, what speckle of S = 1 gives, steps, pixels and place of each cell."""

    measured: np.ndarray
    speckle: np.ndarray
    step: np.ndarray
    count: np.ndarray
    place: np.ndarray


def fit_noise(c2: np.ndarray, used: np.ndarray) -> NoiseModel:
    """Fit the noise of a two-time map; all NaN where too little is measured.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        Only pixels above the diagonal are read.
    used : bool ndarray, shape (N,)
        True where the frame is used.
    """
    covariance = SpeckleCovariance(c2, used)
    none = np.empty(0)
    cells = _cells(c2, used, covariance)
    if len(cells.measured) < _FEWEST_CELLS:
        white = float(np.mean(cells.measured)) / _SQUARED[0] if cells.measured.size else np.nan
        return NoiseModel(0.0, white, none, none, 0.0, covariance)
    stripe = _stripes(c2, used)
    striped = float(2 * _SQUARED[0] * stripe / np.median(cells.measured))
    found, times = _best_fit(cells, len(used), striped)
    stripe = min(stripe, 0.5 * float(found[1:].sum()))
    return NoiseModel(float(found[0]), float(found[1]), times, found[2:], stripe, covariance)


def _best_fit(cells: _Cells, n: int, striped: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (S, W, a_m …) and τ_m, with as few of them as the cells ask for.

    ``striped`` is the share of stripes in the variance. Mean squares at all lags share the same few stripes.
    """
    floor = _FLOOR + striped * np.sqrt(2 * _AGE_BLOCKS / n)
    shared = np.sqrt(1 + (_LAG_GROUPS - 1) * striped**2)
    none, times = np.empty(0), 2.0 ** np.arange(max(int(np.log2(max(n / 25, 1))) + 1, 3))
    other = replace(cells, speckle=np.zeros_like(cells.speckle))
    plain, flexible = _fit(cells, none, floor), _fit(other, times, floor)
    short = cells.step <= max(n / 25, 4)  # further apart, ageing would speak for noise of long memory
    levels = flexible.found[1:]
    if flexible.chi2(short) < _BETTER * plain.chi2(short) and levels[-1] < _LONGEST * levels.sum():
        return _shortest_memory(other, times, floor, flexible.chi2(short) * _AS_GOOD, short)
    if plain.found[0] > 3 * shared * plain.error_of_speckle():
        return plain.found, none
    return _fit(other, none, floor).found, none


def _cells(c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance) -> _Cells:
    n = len(used)
    steps = np.unique(np.geomspace(1, max(n // 6, 1), _STEPS).round().astype(int))
    edges = np.linspace(1, max(3 * n // 4, 2), _LAG_GROUPS + 1).astype(int)
    per_group = int(np.clip(6000 // n, 4, 15))
    rows = []
    for group, (first, stop) in enumerate(pairwise(edges)):
        lags = np.unique(np.linspace(first, max(stop - 1, first), per_group).astype(int))
        for *cell, block in _cells_of_group(c2, used, covariance, lags, steps):
            rows.append((*cell, _AGE_BLOCKS * group + block))
    table = np.array(rows).reshape(-1, 5)
    table = table[np.isfinite(table).all(1) & (table[:, 0] > 0)]
    return _Cells(
        table[:, 0], np.maximum(table[:, 1], 0.0), table[:, 2], table[:, 3], table[:, 4].astype(int)
    )


def _cells_of_group(
    c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance, lags: np.ndarray, steps: np.ndarray
) -> list[tuple[float, float, float, float, int]]:
    pixels = np.full((len(lags), max(len(used) - lags[0], 1)), np.nan)
    for row, lag in zip(pixels, lags, strict=True):
        row[: max(len(used) - lag, 0)] = diagonal(c2, used, lag)
    cells, wanted = [], []
    for step in steps:
        length = pixels.shape[1] - 2 * step
        if length < 4 * _AGE_BLOCKS:
            break
        d = pixels[:, :length] - 2 * pixels[:, step : step + length] + pixels[:, 2 * step :]
        edges = np.linspace(0, length, _AGE_BLOCKS + 1).astype(int)
        for block, (first, stop) in enumerate(pairwise(edges)):
            cells.append((*_mean_square(d[:, first:stop]), step, block))
            wanted.append((first, stop - 1, step))
    if not cells:
        return []
    predicted = _predicted(covariance, len(used), lags, np.array(wanted))
    return [
        (square, p, step, 3 * size / len(lags), block)  # neighbouring lags are no independent pixels
        for (square, size, step, block), p in zip(cells, predicted, strict=True)
    ]


def _mean_square(values: np.ndarray) -> tuple[float, int]:
    size = np.abs(values[np.isfinite(values)])
    if size.size < 2:
        return np.nan, 0
    limit = _CLIP * _MAD_TO_STD * np.partition(size, size.size // 2)[size.size // 2]
    return float(np.mean(np.minimum(size, limit) ** 2)), size.size


def _predicted(covariance: SpeckleCovariance, n: int, lags: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return D for S = 1 in each wanted cell (first, last, step), averaged over places in it."""
    few = lags[:: max(len(lags) // 5, 1)]
    share = np.linspace(0, 1, _POSITIONS)
    first = (wanted[:, :1] + share * (wanted[:, 1:2] - wanted[:, :1])).astype(int)[:, :, None]
    step = wanted[:, 2][:, None, None]
    inside = first + few + 2 * step < n
    i = np.where(inside, first, 0)
    j, step = np.minimum(i + few, n - 1), np.where(inside, step, 0)
    total = sum(
        weight * covariance(i, j, i + times * step, j + times * step) for times, weight in enumerate(_SQUARED)
    )
    good = inside & np.isfinite(total)
    count = good.sum((1, 2))
    return np.where(count > 0, np.where(good, total, 0).sum((1, 2)) / np.maximum(count, 1), np.nan)


def _shortest_memory(
    cells: _Cells, times: np.ndarray, floor: float, chi2: float, short: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fit of the fewest exponentials that reaches a χ²: long ones drift in on noise."""
    for n in range(1, len(times)):
        fewer = _fit(cells, times[:n], floor)
        if fewer.chi2(short) <= chi2:
            return fewer.found, times[:n]
    return _fit(cells, times, floor).found, times


@dataclass(frozen=True)
class _Fit:
    """Coefficients (S, W, a_m …), each cell's deviation in standard errors, and which cells were kept."""

    found: np.ndarray
    deviation: np.ndarray
    keep: np.ndarray
    weighted: np.ndarray

    def chi2(self, cells: np.ndarray) -> float:
        return float(np.sum(np.minimum(self.deviation[cells] ** 2, 9)))

    def error_of_speckle(self) -> float:
        scale = max(1.0, self.chi2(self.keep) / self.keep.sum())
        return float(np.sqrt(scale * np.linalg.pinv(self.weighted.T @ self.weighted)[0, 0]))


def _fit(cells: _Cells, times: np.ndarray, floor: float) -> _Fit:
    from scipy.optimize import nnls

    decays = [6 - 8 * np.exp(-cells.step / t) + 2 * np.exp(-2 * cells.step / t) for t in times]
    columns = np.stack([cells.speckle, np.full_like(cells.speckle, 6.0), *decays], axis=1)
    size = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
    keep, fitted = np.ones(len(columns), dtype=bool), np.full(len(columns), np.median(cells.measured))
    smooth = np.full(len(columns), 0.5)
    for turn in range(_ROUNDS):
        error = fitted * (np.sqrt(2 * (1 + smooth**2 * cells.step) / np.maximum(cells.count, 1)) + floor)
        weighted = (columns / error[:, None])[keep]
        found = nnls(
            weighted / size * size.max(), (cells.measured / error)[keep], maxiter=50 * columns.shape[1]
        )[0]
        found = found / size * size.max()
        fitted = np.maximum(columns @ found, 1e-6 * np.median(cells.measured))
        smooth = np.clip(1 - 6 * found[1] / fitted, 0, 1)
        kept, keep = keep, _without_signal(cells, (cells.measured - fitted) / error)
        if keep.sum() < max(_FEWEST_CELLS, len(keep) // 5):
            keep = kept
            break
        if turn > 2 and (keep == kept).all():
            break
    return _Fit(found, (cells.measured - fitted) / error, keep, weighted)


def _without_signal(cells: _Cells, deviation: np.ndarray) -> np.ndarray:
    """Leave out cells too high for noise, and the longer steps at their place: a signal grows as step⁴."""
    limit = np.full(cells.place.max() + 1, np.inf)
    high = deviation > _FAR_TOO_HIGH
    np.minimum.at(limit, cells.place[high], cells.step[high])
    return np.asarray((deviation < _TOO_HIGH) & (cells.step < 0.7 * limit[cells.place]))


def _stripes(c2: np.ndarray, used: np.ndarray) -> float:
    """Return the variance of the level of single frames; 0 unless it is significant."""
    n = len(used)
    if n < 3 * _FEWEST_CELLS:
        return 0.0
    frames = np.unique(np.linspace(1, n - 2, min(n - 2, 256)).astype(int))
    halves = np.array([_row_halves(c2, used, f) for f in frames])
    halves = halves[np.isfinite(halves).all(1)]
    if len(halves) < 2 * _FEWEST_CELLS:
        return 0.0
    scale = _MAD_TO_STD * np.median(np.abs(halves), axis=0)
    products = np.prod(np.clip(halves, -_CLIP * scale, _CLIP * scale), axis=1)
    mean, error = products.mean(), products.std() / np.sqrt(len(products))
    return float(mean / 1.5) if mean > 3 * error else 0.0


def _row_halves(c2: np.ndarray, used: np.ndarray, frame: int) -> tuple[float, float]:
    """Return the mean of a row's second differences along the diagonals, its left half and its right half."""
    n = len(used)
    if not used[frame - 1 : frame + 2].all():
        return np.nan, np.nan
    j = np.arange(1, n - 1)
    below = j < frame - 1
    total = np.zeros(n - 2)
    for shift, weight in ((-1, -0.5), (0, 1.0), (1, -0.5)):
        total += weight * np.where(below, c2[j + shift, frame + shift], c2[frame + shift, j + shift])
    good = np.isfinite(total) & used[j - 1] & used[j] & used[j + 1] & (np.abs(j - frame) > 1)
    left, right = good & (j < n // 2), good & (j >= n // 2)
    if min(left.sum(), right.sum()) < _FEWEST_CELLS:
        return np.nan, np.nan
    return float(total[left].mean()), float(total[right].mean())
