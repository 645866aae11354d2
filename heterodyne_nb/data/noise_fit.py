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

import numpy as np

from heterodyne_nb.data.noise_cells import (
    AGE_BLOCKS,
    FEWEST_CELLS,
    LAG_GROUPS,
    SQUARED,
    Cells,
    cells_of_map,
    stripes,
)
from heterodyne_nb.data.speckle_noise import SpeckleCovariance

__all__ = ["NoiseModel", "fit_noise"]

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
