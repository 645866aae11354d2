"""The noise of averages of two-time pixels at one lag, when these pixels are not independent.

An average over ages at lag k takes pixels e_i = c2[i, i+k] along one diagonal. Its variance is

    var(Σ w_i e_i / Σ w_i) = Σ_h Γ_k(h) A(h) / (Σ w_i)²,    A(h) = Σ_i w_i w_{i+h},    −∞ < h < ∞,

Γ_k(h) being the autocovariance of the noise along the diagonal. Two of its pixels are correlated when they
are made from the same or from correlated frames: i and i+h are close (|h| small, the speckle's lifetime), or
i+k and i+h are (|h| ≈ k, the dyadic term: one odd frame enters two pixels, k apart). So h with |h| ≤ M or
||h| − k| ≤ M are kept, with an exponential tail behind the first; the rest is dropped.

Γ is estimated from whole diagonals, not from the averaged pixels alone, which are too few to show how they
are correlated. Lags within about half of their size share the shape Γ(h)/Γ(0), lags within 15 % the level
Γ(0). Each diagonal's mean is taken away, and a parabola in age (an ageing sample) common to its group.
This lowers every Γ(h) by about p V/n̄, with V = Σ_h Γ(h), n̄ the length of a diagonal and p = 1 … 3 the terms
taken away; it is put back (Wolff, Comput. Phys. Commun. 156 (2004) 143, for p = 1). M is the smallest
M ≥ 2 τ(M), τ(M) = ½ + Σ_{1≤h≤M} Γ(h)/Γ(0) (Sokal's window). Few independent stretches widen the error as
Student's t does.

What is frozen during the whole run (static speckle) moves c2 as a whole and cannot be seen from one map: it
is part of contrast and offset. In a run of fewer than ~15 lifetimes of the speckle the errors come out too
small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

__all__ = ["MapNoise", "diagonal"]

_SAME_LEVEL = 0.15
_LAGS_SAMPLED = 64  # a group of lags: enough for its noise, and small in memory at 10⁴ frames
_WINDOW_FACTOR = 2.0
_MOST_LOST = 0.75


def diagonal(c2: np.ndarray, used: np.ndarray, lag: int) -> np.ndarray:
    """Return c2[i, i+lag] as float64, NaN where a frame is not used or the pixel not measured."""
    values = np.diagonal(c2, lag).astype(float)
    values[~(used[: len(used) - lag] & used[lag:] & np.isfinite(values))] = np.nan
    return values


class MapNoise:
    """Noise of averages over ages, at any lag of one two-time map.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        The map; only pixels above the diagonal are read.
    used : bool ndarray, shape (N,)
        True where the frame is used.
    """

    def __init__(self, c2: np.ndarray, used: np.ndarray) -> None:
        self._groups = [_noise_of_group(c2, used, lags) for lags in _lag_groups(len(used))]

    def variance(self, weights: np.ndarray, lag: int) -> np.ndarray:
        """Return the variance of Σ w e / Σ w at one lag.

        Parameters
        ----------
        weights : ndarray, shape (n_average, n_pixel)
            Weights of consecutive pixels c2[i, i+lag], 0 where there is none; one average a row.
        lag : int
            In frames, from 1.

        Returns
        -------
        ndarray, shape (n_average,)
            NaN where no weight is left or the noise could not be estimated.
        """
        group = next((g for g in self._groups if lag <= g.lags[-1]), self._groups[-1])
        return group.variance(weights, lag)


@dataclass(frozen=True)
class _LagNoise:
    """Noise along the diagonals of one group of lags: levels Γ(0), and shape Γ(h)/Γ(0).

    ``near`` is the shape at h = 0, 1, …; ``across`` at h = k − M … k + M.
    """

    lags: np.ndarray
    level: np.ndarray
    near: np.ndarray
    across: np.ndarray

    def variance(self, weights: np.ndarray, lag: int) -> np.ndarray:
        overlap = _overlap(weights)
        correlated = overlap @ self._kernel(overlap.shape[-1], lag)
        level = np.interp(lag, self.lags, self.level)
        with np.errstate(invalid="ignore", divide="ignore"):
            return level * np.maximum(correlated, overlap[..., 0]) / weights.sum(-1) ** 2

    def _kernel(self, n: int, lag: int) -> np.ndarray:
        """Return the kept Γ(h)/Γ(0), h = 0 .. n−1; those beyond 0 count twice (h and −h)."""
        reach = len(self.across) // 2
        kernel = np.zeros(max(n, lag + reach + 1, len(self.near)))
        first = max(lag - reach, 0)
        kernel[first : lag + reach + 1] = self.across[first - (lag - reach) :]
        kernel[: len(self.near)] = self.near
        kernel[1:] *= 2
        return kernel[:n]


def _lag_groups(n_frames: int) -> list[np.ndarray]:
    """Split the lags 1 .. ¾N into groups half as wide as their first lag; longer lags use the last one."""
    groups, first, half = [], 1, n_frames // 2
    while first < half:
        stop = min(first + max(4, first // 2), half)
        groups.append(_sampled(first, stop))
        first = stop
    return [*groups, _sampled(first, max(first + 1, 3 * n_frames // 4))]


def _sampled(first: int, stop: int) -> np.ndarray:
    return np.unique(np.linspace(first, stop - 1, min(stop - first, _LAGS_SAMPLED)).round().astype(int))


def _noise_of_group(c2: np.ndarray, used: np.ndarray, lags: np.ndarray) -> _LagNoise:
    pixels = np.full((len(lags), max(len(used) - lags[0], 1)), np.nan)
    for row, lag in zip(pixels, lags, strict=True):
        row[: len(used) - lag] = diagonal(c2, used, lag)
    residual, valid = _detrended(pixels, lags)
    if not valid.any():
        return _LagNoise(lags, np.full(len(lags), np.nan), np.ones(1), np.zeros(1))
    products, pairs = _overlap(residual), np.round(_overlap(valid.astype(float)))
    level = _smooth_level(products[:, 0], pairs[:, 0], lags)
    products /= np.where(level > 0, level, 1)[:, None]
    rho = products.sum(0) / np.maximum(pairs.sum(0), 1)
    n_mean = pairs[:, 0].sum() / np.count_nonzero(pairs[:, 0])
    reach, tau, lost = _correlation_time(rho, n_mean, lags[-1] - lags[0] + 1)
    across = _along_lag(products, pairs, lags, reach)
    widened = _student_factor(n_mean / (2 * tau) * max(1.0, len(lags) / (2 * tau)) - 1) ** 2
    return _LagNoise(
        lags,
        level * (1 + lost) * widened,
        _with_tail((rho[: reach + 1] + lost) / (1 + lost), tau),
        (across + lost * (across != 0)) / (1 + lost),
    )


def _detrended(pixels: np.ndarray, lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take away each diagonal's mean and a parabola in age common to all; zero where nothing is measured."""
    valid = np.isfinite(pixels)
    valid[valid.sum(1) < 2] = False
    age = (np.arange(pixels.shape[1]) + lags[:, None] / 2) / (pixels.shape[1] + lags[0])
    residual, *terms = (_centred(x, valid) for x in (pixels, age, age**2))
    design = np.stack([x[valid] for x in terms], axis=1)
    if len(design) > 8:
        residual[valid] -= design @ np.linalg.lstsq(design, residual[valid], rcond=None)[0]
    return residual, valid


def _centred(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    kept = np.where(valid, values, 0.0)
    mean = kept.sum(1, keepdims=True) / np.maximum(valid.sum(1, keepdims=True), 1)
    return np.where(valid, kept - mean, 0.0)


def _overlap(rows: np.ndarray) -> np.ndarray:
    """Return Σ_i r_i r_{i+h}, h = 0 .. n−1, of each row."""
    n = rows.shape[-1]
    if (rows == 1).all():
        return np.broadcast_to(np.arange(n, 0.0, -1), rows.shape)
    size = fft.next_fast_len(2 * n, real=True)
    return fft.irfft(np.abs(fft.rfft(rows, size)) ** 2, size)[..., :n]


def _smooth_level(squares: np.ndarray, counts: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return Γ(0) at each lag, averaged over the lags within ±½ · 15 %."""
    near = np.abs(lags - lags[:, None]) <= _SAME_LEVEL / 2 * lags[:, None]
    return (near @ squares) / np.maximum(near @ counts, 1)


def _correlation_time(rho: np.ndarray, n_mean: float, width: int) -> tuple[int, float, float]:
    """Return the window M, τ(M), and p V / (n̄ Γ(0)), what went with the trend relative to what is left.

    The parabola is common to ``width`` lags: it costs 2 terms a diagonal if their noise is one and the same.
    """
    if rho[0] <= 0:
        return 0, 0.5, 0.0
    m = np.arange(min(int(n_mean / 3) + 1, len(rho)))
    raw = np.cumsum(rho[: len(m)]) - 0.5 * rho[0]
    lost = np.zeros(len(m))
    for _ in range(20):
        tau = np.maximum((raw + lost * (m + 0.5)) / (1 + lost), 0.5)
        terms = 1 + 2 * np.minimum(1, 2 * tau / width)
        share = np.minimum(terms * 2 * tau / n_mean, _MOST_LOST)
        lost = share / (1 - share)
    wide_enough = np.flatnonzero(m >= _WINDOW_FACTOR * tau)
    reach = int(wide_enough[0]) if wide_enough.size else len(m) - 1
    return reach, float(tau[reach]), float(lost[reach])


def _with_tail(near: np.ndarray, tau: float) -> np.ndarray:
    reach = len(near) - 1
    if reach < 2:
        return near
    return np.concatenate([near, np.exp(-(reach + np.arange(1, int(3 * tau) + 1)) / tau)])


def _student_factor(dof: float) -> float:
    """Return the 84.13 % quantile of Student's t (its expansion about the normal one)."""
    dof = max(dof, 2.0)
    return 1 + 0.5 / dof + 0.25 / dof**2


def _along_lag(products: np.ndarray, pairs: np.ndarray, lags: np.ndarray, reach: int) -> np.ndarray:
    """Return Γ/Γ(0) at h = k + u, u = −M .. M, over the lags k of the group; 0 where no such pair exists."""
    at = lags[:, None] + np.arange(-reach, reach + 1)
    inside = (at >= 0) & (at < products.shape[1])
    row, column = np.arange(len(lags))[:, None], np.where(inside, at, 0)
    count = np.where(inside, pairs[row, column], 0).sum(0)
    total = np.where(inside, products[row, column], 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), 0.0)
