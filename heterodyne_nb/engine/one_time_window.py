"""Whether a one-time curve decays in its window of lags at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.one_time_many import Curves, Levels, boxed_pair

#: What the test of the window finds, in the order in which it is told.
SEEN, NO_DECAY, NOT_DECAYED, DECAYED_EARLY = "", "no decay", "not decayed", "decayed early"
#: Exponents and number of rates of the decays that the test compares, and how far beyond the window they reach.
_EXPONENTS, _RATES, _BEYOND = (0.5, 0.75, 1.0, 1.5, 2.0), 40, 30.0
#: Level of a curve that counts as hardly begun, and as over.
_BEGUN, _OVER = 0.9, 0.1
#: Chance at which pure noise is taken for a decay (see tests/benchmarks/one_time_study.py), and the numbers a decay has.
_CHANCE, _NUMBERS = 0.003, 4


def decay_in_window(
    curves: Curves, chi2: FloatArray, *, errors_known: bool, unit: FloatArray | float = 1.0
) -> NDArray[np.str_]:
    """Whether each curve shows a decay that its lags hold.

    A curve without any decay (a constant), one that has hardly begun (less than 10 % of the decay by the last lag) and
    one that is over by the first (less than 10 % left) are fitted to each, as stretched and compressed
    exponentials of every rate with contrast and offset inside their limits. Where one of these is as good as the best
    decay, the data do not tell a rate. As good: χ² in units of the noise is higher by less than 4 F(0.997; 4, n), Fisher's
    limit for the four numbers of a decay. The unit is the measured error, or the scatter about the fit where that is
    larger or no error is known.

    ``chi2`` (B,): Of each curve in the fit of its model. ``errors_known``: Whether weights are of measured errors.
    ``unit``: Variance of the noise, as far as it is known otherwise, of all curves or each (B,): by which the correlation of lags
    blurs the comparison. Returns (B,): ``""``, ``"no decay"``, ``"not decayed"`` or ``"decayed early"``.
    """
    tau = curves.tau
    rates = np.geomspace(1e-3 / tau[-1], _BEYOND / tau[0], _RATES)
    gamma, alpha = (a.ravel() for a in np.meshgrid(rates, np.array(_EXPONENTS), indexing="ij"))
    shapes = np.exp(-2.0 * (gamma[:, None] * tau) ** alpha[:, None])
    w, y = curves.weight, curves.g2
    used = np.count_nonzero(w, axis=1)
    wy = w * y
    one, sum_y, total = w.sum(axis=1), wy.sum(axis=1), np.sum(wy * y, axis=1)
    shape = (len(y), len(shapes))
    spread = [np.broadcast_to(a[:, None], shape) for a in (one, sum_y)]
    _, _, gain = boxed_pair(
        w @ (shapes**2).T, w @ shapes.T, spread[0], wy @ shapes.T, spread[1], curves.levels
    )
    every = total[:, None] - gain
    constant = total - _constant(one, sum_y, curves.levels)
    best = np.minimum(chi2, every.min(axis=1))
    freedom = np.maximum(used - _NUMBERS, 1)
    noise = best / freedom
    noise = np.maximum(noise, unit) if errors_known else np.maximum(noise, 1e-300)
    allowed = _NUMBERS * (
        np.full(len(y), fisher.isf(_CHANCE, _NUMBERS, 1e6))
        if errors_known
        else fisher.isf(_CHANCE, _NUMBERS, freedom)
    )
    ends = (
        np.argmax(w > 0, axis=1),
        len(tau) - 1 - np.argmax(w[:, ::-1] > 0, axis=1),
    )  # first and last lag used
    first, last = (shapes.T[end] for end in ends)
    rises = {
        NO_DECAY: constant - best,
        NOT_DECAYED: np.where(last >= _BEGUN, every, np.inf).min(axis=1) - best,
        DECAYED_EARLY: np.where(first <= _OVER, every, np.inf).min(axis=1) - best,
    }
    out = np.full(len(y), SEEN, dtype="<U13")
    for word in (DECAYED_EARLY, NOT_DECAYED, NO_DECAY):
        out[rises[word] < allowed * noise] = word
    return out


def _constant(one: FloatArray, sum_y: FloatArray, levels: Levels) -> FloatArray:
    """What χ² falls by for the best constant: an offset within its limits and contrast 0, or a plateau that never decays."""
    value = sum_y / one
    value = np.clip(value, levels.lower[1] + levels.lower[0] * 0.0, levels.upper[1] + levels.upper[0])
    return 2 * value * sum_y - value**2 * one
