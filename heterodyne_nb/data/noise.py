"""The noise of two-time maps, from the maps themselves.

**What a map shows of its noise.** Mean squares of second differences, and stripes of single frames.

**How the pixels of a map of speckle are correlated.** Let δ_i = I_i/⟨I⟩ − 1 be the intensity of one speckle in frame i, Gaussian speckle of contrast β, and
g_ij = ⟨δ_i δ_j⟩ = c2[i, j] − 1. Averaged over n independent speckles and divided by the mean intensities of
the frames, c2[i, j] deviates from its expectation by the mean of X_ij = δ_i δ_j − g_ij (δ_i + δ_j), hence

    n cov(c2[i, j], c2[k, l]) = g_ik g_jl + g_il g_jk + κ_ijkl − g_kl (T_ijk + T_ijl) − g_ij (T_ikl + T_jkl)
                                + g_ij g_kl (g_ik + g_il + g_jk + g_jl).

The cumulants of third and fourth order are those of the field's correlation γ, g = β|γ|² (Siegert):
T_abc = 2 √β √(g_ab g_bc g_ca) and κ_ijkl = 2β [√(g_ij g_jk g_kl g_li) + √(g_ik g_kj g_jl g_li) +
√(g_ij g_jl g_lk g_ki)]. They count where the four frames lie within one lifetime. So that the noise of g
does not bias them, the root of a product of two weak correlations is replaced by their arithmetic mean, and
√g_ik by 0 where g_ik is not above the noise. On the diagonal the formula gives 4 β²/n at β = 1, far from it
β²/n.

**Noise told from signal, by a fit to second differences along the diagonals.** The noise of pixels e_i = c2[i, i+k] on one diagonal has the autocovariance

    Γ_k(h) = S s_k(h) + W δ_h0    or, of noise that is not speckle's,    W δ_h0 + Σ_m a_m e^{−|h|/τ_m},

s_k the covariance of speckle, S = 1/(number of speckles), W what is
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

**Averages at one lag of pixels that are not independent.** An average over ages at lag k takes m pixels e_i = c2[i, i+k], of which c ≤ m are measured, along one diagonal.
Its variance is

    var = W/c + Σ_h Γ_k(h) A(h)/m² + 2 σ_f² A(k)/m²,    A(h) = m − |h|,    −m < h < m,

with Γ_k (without its white part W) the autocovariance of the noise along the diagonal and σ_f² the variance
of single frames' levels. Γ_k is looked up at the ages of the
average itself, so it follows an ageing sample: at m < 6 pixels everywhere, beyond at some h and ages. The
second term is worked out at lags that grow by an eighth and interpolated, so the errors change smoothly.

What is frozen during the whole run (static speckle) moves c2 as a whole and is part of contrast and offset.
With a speckle lifetime comparable to the run its level is found to about 20 % only, from short steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

__all__ = [
    "AGE_BLOCKS",
    "Cells",
    "FEWEST_CELLS",
    "LAG_GROUPS",
    "MapNoise",
    "NoiseModel",
    "SQUARED",
    "SpeckleCovariance",
    "cells_of_map",
    "diagonal",
    "fit_noise",
    "stripes",
]

LAG_GROUPS, AGE_BLOCKS = 10, 4
FEWEST_CELLS = 8
SQUARED = (6.0, -8.0, 2.0)  #: ⟨(e_i − 2 e_{i+s} + e_{i+2s})²⟩ in terms of Γ(0), Γ(s), Γ(2s)
_MAD_TO_STD = 1.4826
_CLIP = 4.0
_STEPS = 12
_POSITIONS = 12  # places a cell at which the covariance is looked up


def diagonal(c2: np.ndarray, used: np.ndarray, lag: int) -> np.ndarray:
    """Return c2[i, i+lag] as float64, NaN where a frame is not used or the pixel not measured."""
    values = np.diagonal(c2, lag).astype(float)
    values[~(used[: len(used) - lag] & used[lag:] & np.isfinite(values))] = np.nan
    return values


@dataclass(frozen=True)
class Cells:
    """Mean squares of second differences, what speckle of S = 1 gives, steps, pixels and place of each cell."""

    measured: np.ndarray
    speckle: np.ndarray
    step: np.ndarray
    count: np.ndarray
    place: np.ndarray


def cells_of_map(c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance) -> Cells:
    """Return the cells of (lag, age, step) in which enough is measured."""
    n = len(used)
    steps = np.unique(np.geomspace(1, max(n // 6, 1), _STEPS).round().astype(int))
    edges = np.linspace(1, max(3 * n // 4, 2), LAG_GROUPS + 1).astype(int)
    per_group = int(np.clip(6000 // n, 4, 15))
    rows = []
    for group, (first, stop) in enumerate(pairwise(edges)):
        lags = np.unique(np.linspace(first, max(stop - 1, first), per_group).astype(int))
        for *cell, block in _of_group(c2, used, covariance, lags, steps):
            rows.append((*cell, AGE_BLOCKS * group + block))
    table = np.array(rows).reshape(-1, 5)
    table = table[np.isfinite(table).all(1) & (table[:, 0] > 0)]
    return Cells(table[:, 0], np.maximum(table[:, 1], 0.0), table[:, 2], table[:, 3], table[:, 4].astype(int))


def _of_group(
    c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance, lags: np.ndarray, steps: np.ndarray
) -> list[tuple[float, float, float, float, int]]:
    pixels = np.full((len(lags), max(len(used) - lags[0], 1)), np.nan)
    for row, lag in zip(pixels, lags, strict=True):
        row[: max(len(used) - lag, 0)] = diagonal(c2, used, lag)
    cells, wanted = [], []
    for step in steps:
        length = pixels.shape[1] - 2 * step
        if length < 4 * AGE_BLOCKS:
            break
        d = pixels[:, :length] - 2 * pixels[:, step : step + length] + pixels[:, 2 * step :]
        edges = np.linspace(0, length, AGE_BLOCKS + 1).astype(int)
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
        weight * covariance(i, j, i + times * step, j + times * step) for times, weight in enumerate(SQUARED)
    )
    good = inside & np.isfinite(total)
    count = good.sum((1, 2))
    return np.where(count > 0, np.where(good, total, 0).sum((1, 2)) / np.maximum(count, 1), np.nan)


def stripes(c2: np.ndarray, used: np.ndarray) -> float:
    """Return the variance of the level of single frames; 0 unless it is significant."""
    n = len(used)
    if n < 3 * FEWEST_CELLS:
        return 0.0
    frames = np.unique(np.linspace(1, n - 2, min(n - 2, 256)).astype(int))
    halves = np.array([_row_halves(c2, used, f) for f in frames])
    halves = halves[np.isfinite(halves).all(1)]
    if len(halves) < 2 * FEWEST_CELLS:
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
    if min(left.sum(), right.sum()) < FEWEST_CELLS:
        return np.nan, np.nan
    return float(total[left].mean()), float(total[right].mean())


_WEAK, _NOISE_ABOVE = 0.05, 2.5


class SpeckleCovariance:
    """n · cov(c2[i, j], c2[k, l]) of speckle, looked up in a two-time map.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        Only pixels above the diagonal are read: on the diagonal there may be shot noise or nothing.
    used : bool ndarray, shape (N,)
        True where the frame is used.
    """

    def __init__(self, c2: np.ndarray, used: np.ndarray) -> None:
        self._c2 = c2
        self._used = used
        self._contrast = _contrast(c2, used)
        self._beta = float(self._contrast.mean())
        self._weak = max(_WEAK * self._beta, _NOISE_ABOVE * _far_scatter(c2, used), 1e-12)

    def __call__(self, i: np.ndarray, j: np.ndarray, k: np.ndarray, m: np.ndarray) -> np.ndarray:
        """Return n · cov(c2[i, j], c2[k, m]); integer arrays that broadcast, NaN where not measured."""
        ij, km, ik, jm = self._g(i, j), self._g(k, m), self._g(i, k), self._g(j, m)
        im, jk = self._g(i, m), self._g(j, k)
        root_ik, root_jm = self._root(ik), self._root(jm)
        here, across = ij + km, jk + im
        fourth = self._beta * (0.5 * here * across + root_ik * root_jm * (here + across))
        third = km * (root_ik * (ij + jk) + root_jm * (ij + im))
        third += ij * (root_ik * (km + im) + root_jm * (jk + km))
        total = ik * jm + im * jk + fourth - np.sqrt(self._beta) * third + ij * km * (ik + jm + across)
        return np.asarray(total)

    def _root(self, g: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(g, 0)) * np.clip(g / self._weak - 1, 0, 1))

    def _g(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return c2 − 1 at frames (a, b), the contrast where a = b."""
        first, last = np.minimum(a, b), np.maximum(a, b)
        value = np.where(first == last, self._contrast[first], self._c2[first, last] - 1.0)
        return np.where(self._used[first] & self._used[last], value, np.nan)


def _contrast(c2: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return c2 − 1 on the diagonal, in a straight line from the first two lags; never negative."""
    near, next_ = _beside(c2, used, 1), _beside(c2, used, 2)
    finite = near[np.isfinite(near)]
    near = np.where(np.isfinite(near), near, np.median(finite) if finite.size else 0.0)
    return np.asarray(np.maximum(2 * near - np.where(np.isfinite(next_), next_, near), 0.0))


def _beside(c2: np.ndarray, used: np.ndarray, lag: int) -> np.ndarray:
    """Return the mean of c2[i, i − lag] and c2[i, i + lag], less 1; one of them where only one is known."""
    n = len(used)
    total, count = np.zeros((2, n))
    values = np.where(used[: n - lag] & used[lag:], np.diagonal(c2, lag), np.nan) - 1.0
    good = np.isfinite(values)
    for frames in (slice(None, n - lag), slice(lag, None)):
        total[frames] += np.where(good, values, 0.0)
        count[frames] += good
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _far_scatter(c2: np.ndarray, used: np.ndarray) -> float:
    """Return the robust scatter of pixels at lags above half the run: their noise, and what signal is left."""
    n = len(used)
    i, j = np.triu_indices(min(n, 64), 1)
    frames = np.linspace(0, n - 1, min(n, 64)).round().astype(int)
    far = (frames[j] - frames[i] > n // 2) & used[frames[i]] & used[frames[j]]
    values = c2[frames[i[far]], frames[j[far]]]
    values = values[np.isfinite(values)]
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else 0.0


_TOO_HIGH, _FAR_TOO_HIGH = 2.0, 3.5
_FLOOR = 0.02
_BETTER, _AS_GOOD, _LONGEST = 0.8, 1.05, 0.6
_ROUNDS = 15


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
    trade : float
        How much W falls, in the best fit, if S is raised by 1.
    """

    speckle: float
    white: float
    times: np.ndarray
    levels: np.ndarray
    stripe: float
    covariance: SpeckleCovariance
    trade: float = 0.0

    def shared(self, first: np.ndarray, lag: np.ndarray | int, h: np.ndarray) -> np.ndarray:
        """Return Γ_lag(h) without W for the pixels c2[i, i+lag], i = ``first`` and ``first + h``."""
        total = np.einsum(
            "m,m...->...", self.levels, np.exp(-np.abs(h) / self.times.reshape(-1, *[1] * np.ndim(h)))
        )
        if self.speckle > 0:
            total = total + self.speckle * self.covariance(first, first + lag, first + h, first + h + lag)
        return np.asarray(total)


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
    cells = cells_of_map(c2, used, covariance)
    if len(cells.measured) < FEWEST_CELLS:
        white = float(np.mean(cells.measured)) / SQUARED[0] if cells.measured.size else np.nan
        return NoiseModel(0.0, white, none, none, 0.0, covariance)
    stripe = stripes(c2, used)
    striped = float(2 * SQUARED[0] * stripe / np.median(cells.measured))
    best, times = _best_fit(cells, len(used), striped)
    stripe = min(stripe, 0.5 * float(best.found[1:].sum()))
    speckle, white = best.found[:2].tolist()
    return NoiseModel(speckle, white, times, best.found[2:], stripe, covariance, best.trade(cells))


def _best_fit(cells: Cells, n: int, striped: float) -> tuple[_Fit, np.ndarray]:
    """Return the fit and its τ_m, with as few of them as the cells ask for.

    ``striped`` is the share of stripes in the variance. Mean squares at all lags share the same few stripes.
    """
    floor = _FLOOR + striped * np.sqrt(2 * AGE_BLOCKS / n)
    shared = np.sqrt(1 + (LAG_GROUPS - 1) * striped**2)
    none, times = np.empty(0), 2.0 ** np.arange(max(int(np.log2(max(n / 25, 1))) + 1, 3))
    other = replace(cells, speckle=np.zeros_like(cells.speckle))
    plain, flexible = _fit(cells, none, floor), _fit(other, times, floor)
    short = cells.step <= max(n / 25, 4)  # further apart, ageing would speak for noise of long memory
    levels = flexible.found[1:]
    if flexible.chi2(short) < _BETTER * plain.chi2(short) and levels[-1] < _LONGEST * levels.sum():
        return _shortest_memory(other, times, floor, flexible.chi2(short) * _AS_GOOD, short)
    if plain.found[0] > 3 * shared * plain.error_of_speckle():
        return plain, none
    return _fit(other, none, floor), none


def _shortest_memory(
    cells: Cells, times: np.ndarray, floor: float, chi2: float, short: np.ndarray
) -> tuple[_Fit, np.ndarray]:
    """Return the fit of the fewest exponentials that reaches a χ²: long ones drift in on noise."""
    for n in range(1, len(times)):
        fewer = _fit(cells, times[:n], floor)
        if fewer.chi2(short) <= chi2:
            return fewer, times[:n]
    return _fit(cells, times, floor), times


@dataclass(frozen=True)
class _Fit:
    """Coefficients (S, W, a_m …), each cell's deviation in standard errors, and which cells were kept."""

    found: np.ndarray
    deviation: np.ndarray
    keep: np.ndarray
    weighted: np.ndarray
    error: np.ndarray

    def chi2(self, cells: np.ndarray) -> float:
        return float(np.sum(np.minimum(self.deviation[cells] ** 2, 9)))

    def error_of_speckle(self) -> float:
        scale = max(1.0, self.chi2(self.keep) / self.keep.sum())
        return float(np.sqrt(scale * np.linalg.pinv(self.weighted.T @ self.weighted)[0, 0]))

    def trade(self, cells: Cells) -> float:
        """Return how W depends on S where the cells' weighted mean square is kept."""
        return float(np.average(cells.speckle[self.keep], weights=self.error[self.keep] ** -2) / SQUARED[0])


def _fit(cells: Cells, times: np.ndarray, floor: float) -> _Fit:
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
        if keep.sum() < max(FEWEST_CELLS, len(keep) // 5):
            keep = kept
            break
        if turn > 2 and (keep == kept).all():
            break
    return _Fit(found, (cells.measured - fitted) / error, keep, weighted, error)


def _without_signal(cells: Cells, deviation: np.ndarray) -> np.ndarray:
    """Leave out cells too high for noise, and the longer steps at their place: a signal grows as step⁴."""
    limit = np.full(cells.place.max() + 1, np.inf)
    high = deviation > _FAR_TOO_HIGH
    np.minimum.at(limit, cells.place[high], cells.step[high])
    return np.asarray((deviation < _TOO_HIGH) & (cells.step < 0.7 * limit[cells.place]))


_GROWTH = 1.125
_NEAR, _FAR, _PLACES = 6, 20, 12


class MapNoise:
    """Noise of averages over ages of one two-time map.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        The map; only pixels above the diagonal are read.
    used : bool ndarray, shape (N,)
        True where the frame is used.
    """

    def __init__(self, c2: np.ndarray, used: np.ndarray) -> None:
        self._n = len(used)
        self._model: NoiseModel = fit_noise(c2, used)

    def errors(self, spans: Callable[[int], np.ndarray], count: np.ndarray) -> np.ndarray:
        """Return standard errors of averages.

        Parameters
        ----------
        spans : callable
            Takes a lag in frames, returns (n_average, 2): first and one past the last i of c2[i, i+lag].
        count : ndarray, shape (n_average, N − 1)
            How many pixels were averaged at each lag.

        Returns
        -------
        ndarray, shape (n_average, N − 1)
            NaN where there are no pixels or the noise could not be estimated.
        """
        lags = np.arange(1, self._n)
        size = np.stack([np.diff(spans(lag), axis=1)[:, 0] for lag in lags.tolist()], axis=1)
        nodes = _nodes(self._n)
        shared = np.stack([self._shared_at(spans(lag), lag) for lag in nodes.tolist()], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = self._model.white / count
            variance += _interpolated(nodes, shared, lags) / size
            variance += 2 * self._model.stripe * np.maximum(size - lags, 0) / size**2
        return np.sqrt(np.where(count > 0, variance, np.nan))

    def _shared_at(self, spans: np.ndarray, lag: int) -> np.ndarray:
        """Return Σ_h Γ(h) A(h)/m without the white part, for each average; NaN where it has no pixel."""
        out = np.full(len(spans), np.nan)
        size = spans[:, 1] - spans[:, 0]
        for m in np.unique(size[size > 0]):
            rows = size == m
            out[rows] = self._sum_over_h(spans[rows, 0], int(m), lag)
        return out

    def _sum_over_h(self, first: np.ndarray, m: int, lag: int) -> np.ndarray:
        apart = _apart(m)
        share = np.linspace(0, 1, min(_PLACES, m))
        place = (share * (m - 1 - apart)[:, None]).round().astype(int)
        gamma = self._model.shared(
            first[:, None, None] + place, lag, np.broadcast_to(apart[:, None], place.shape)
        )
        known = np.isfinite(gamma)
        mean = np.where(known, gamma, 0).sum(-1) / np.maximum(known.sum(-1), 1)
        weight = _quadrature(apart, m)
        seen = known.any(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = (mean * weight * seen).sum(-1) * weight.sum() / (weight * seen).sum(-1)
        return np.asarray(np.maximum(total, 0) / m)


def _nodes(n: int) -> np.ndarray:
    """Return lags from 1 to n − 1 that grow by an eighth."""
    lags = [1]
    while lags[-1] < n - 1:
        lags.append(min(max(lags[-1] + 1, int(lags[-1] * _GROWTH)), n - 1))
    return np.array(lags)


def _interpolated(nodes: np.ndarray, values: np.ndarray, lags: np.ndarray) -> np.ndarray:
    out = np.full((len(values), len(lags)), np.nan)
    for row, known in zip(out, values, strict=True):
        good = np.isfinite(known)
        if good.any():
            row[:] = np.interp(lags, nodes[good], known[good])
    return out


def _apart(m: int) -> np.ndarray:
    """Return distances 0 .. m − 1, thinned out beyond the first few."""
    near = np.arange(min(_NEAR, m))
    far = np.geomspace(_NEAR, max(m - 1, _NEAR), _FAR).astype(int)
    return np.unique(np.concatenate([near, far[far < m]]))


def _quadrature(apart: np.ndarray, m: int) -> np.ndarray:
    """Return the weights of Γ at some h that make Σ_h Γ(h) A(h) exact for Γ straight between them."""
    every = np.arange(m)
    overlap = (m - every) * np.where(every > 0, 2.0, 1.0)
    right = np.minimum(np.searchsorted(apart, every), len(apart) - 1)
    left = np.maximum(right - 1, 0)
    gap = np.maximum(apart[right] - apart[left], 1)
    share = np.where(right > left, (every - apart[left]) / gap, 1.0)
    weight = np.zeros(len(apart))
    np.add.at(weight, right, overlap * share)
    np.add.at(weight, left, overlap * (1 - share))
    return weight
