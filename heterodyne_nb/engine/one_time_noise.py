"""Errors of a one-time fit whose lags are correlated, and whether a curve decays in its window at all.

Lags of g2 share frames, so their errors are correlated even where each error is right. The correlation of two lags is
taken as s rho^d, d lags apart in the list (lags of correlators are evenly spaced, or nearly so in their logarithm). rho is
the one under which residuals of the fit would be as like their neighbours as they are, what the fit takes up of the noise
allowed for (a method of moments); s is 1, or where errors of g2 were measured the part that makes the size of the
residuals right too. The parameters then have the covariance A R Aᵀ of weighted least squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.one_time_many import Curves, Levels, boxed_pair

_RHO = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.985, 0.994])
#: Parts of the variance that are tried as the correlated one, the whole first.
_SHARES = np.linspace(1.0, 0.0, 21)
#: Curves that rho is read from at most.
_READ = 150


@dataclass(frozen=True)
class LagNoise:
    """How errors of g2 hang together."""

    #: Correlation of neighbouring lags in the correlated part of the noise: rho^d for lags d apart.
    rho: float
    scale: float  #: Variance over that of the stated errors, from the scatter about the fit.
    share: float = 1.0  #: The correlated part of the variance; the rest is independent from lag to lag.

    def correlation(self, count: int) -> FloatArray:
        """Matrix (K, K)."""
        return self.share * _matrix(self.rho, count) + (1.0 - self.share) * np.eye(count)

    @property
    def neighbours(self) -> float:
        """Correlation of neighbouring lags."""
        return self.share * self.rho

    @property
    def inflation(self) -> float:
        """Variance of a slow trend over that of independent lags, by the correlation of neighbours alone."""
        return (1 + self.neighbours) / (1 - self.neighbours)


def _matrix(rho: float, count: int) -> FloatArray:
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return rho**apart


@dataclass(frozen=True)
class FitDesign:
    """What a fit's errors are read from, everything over the errors of g2; further leading axes number fits."""

    slopes: FloatArray  #: Derivatives by the n numbers that the curves share.
    pairs: FloatArray  #: Derivatives by contrast and offset of each curve, zero where held.
    residual: FloatArray
    used: NDArray[np.bool_]
    prior: FloatArray  #: What priors add to the curvature by contrast and offset.
    #: (B, 2, m): Contrast and offset by the last m of the n numbers, where bins share them.
    shared: FloatArray | None = None

    @property
    def level_inverse(self) -> FloatArray:
        """Inverse curvature by contrast and offset, (…, B, 2, 2), zero where held."""
        a = self.pairs.swapaxes(-1, -2) @ self.pairs
        d0, d1 = a[..., 0, 0] + self.prior[..., 0], a[..., 1, 1] + self.prior[..., 1]
        held0, held1 = d0 <= 0, d1 <= 0
        d0, d1, off = np.where(held0, 1.0, d0), np.where(held1, 1.0, d1), a[..., 0, 1]
        det = np.maximum(d0 * d1 - off**2, 1e-13 * d0 * d1)
        out = np.empty(a.shape)
        out[..., 0, 0], out[..., 1, 1] = d1 / det * ~held0, d0 / det * ~held1
        out[..., 0, 1] = out[..., 1, 0] = -off / det
        return out


@dataclass(frozen=True)
class FitErrors:
    """Covariance of the n numbers of each fit (…, n, n), and errors of contrast and offset (…, B, 2)."""

    covariance: FloatArray
    levels: FloatArray


def _eliminated(design: FitDesign) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slopes with contrast and offset eliminated, their pull on these (…, B, 2, n), and the inverse of the latter."""
    inverse = design.level_inverse
    cross = design.pairs.swapaxes(-1, -2) @ design.slopes
    return design.slopes - design.pairs @ (inverse @ cross), cross, inverse


def lag_noise(design: FitDesign, *, known: bool = False) -> LagNoise:
    """Read the correlation of lags from the residuals of fits: one fit (B, …), or many (G, B, …).

    With ``known`` errors their size is a second figure, and part of the noise may be correlated and the rest not.
    """
    few: Any = slice(None, None, max(1, len(design.residual) // _READ)) if design.residual.ndim > 2 else None
    design = FitDesign(
        design.slopes[few], design.pairs[few], design.residual[few], design.used[few], design.prior[few]
    )
    residual, used, count = design.residual, design.used, design.residual.shape[-1]
    near = used[..., 1:] & used[..., :-1]
    size = float(np.sum(residual**2))
    if size <= 0:
        return LagNoise(0.0, 0.0)
    neighbours = float(np.sum(residual[..., 1:] * residual[..., :-1] * near))
    slopes, _, inverse = _eliminated(design)
    total = np.einsum("gbkm,gbkn->gmn", slopes, slopes, optimize=True)
    ahead = np.linalg.pinv(total, rcond=1e-12, hermitian=True) if total.shape[-1] else total
    values, vectors = np.linalg.eigh(inverse)
    span = design.pairs @ (
        vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    )  # P of contrast and offset: span spanᵀ
    ahead_, span_t, slopes_t = ahead[:, None], span.swapaxes(-1, -2), slopes.swapaxes(-1, -2)

    def shifted(one: FloatArray, step: int) -> FloatArray:
        """N one, N the shift between used neighbours, or Nᵀ one."""
        out = np.zeros_like(one)
        if step > 0:
            out[..., :-1, :] = one[..., 1:, :] * near[..., None]
        else:
            out[..., 1:, :] = one[..., :-1, :] * near[..., None]
        return out

    moved = [(shifted(span, step), shifted(slopes, step)) for step in (1, -1)]
    counts = float(np.count_nonzero(used)), float(np.count_nonzero(near))
    own = [(span_t @ moved[1][0]).swapaxes(-1, -2), [span_t @ m[1] for m in moved], slopes_t @ moved[1][1]]
    seen, shares = [], []
    for rho in _RHO:  # traces of (I - P) R (I - P) and of its neighbours, P what the fit takes up
        noise = _matrix(rho, count)
        by_span, by_slopes = noise @ span, noise @ slopes
        middle = slopes_t @ by_slopes
        spread = (ahead @ middle.sum(axis=1) @ ahead)[:, None]
        mixed = slopes_t @ by_span  # X̃ᵀ R L
        share = (
            counts[0] - np.sum(by_span * span) - 2 * np.sum(ahead_ * middle) + np.sum(spread[:, 0] * total)
        )
        after = rho * counts[1] - sum(float(np.sum(m[0] * by_span)) for m in moved)
        after += np.sum(own[0] * (span_t @ by_span))
        for (_, by), crossed in zip(moved, own[1], strict=True):
            after -= np.sum(ahead_ * (by_slopes.swapaxes(-1, -2) @ by - mixed @ crossed))
        after += np.sum(spread * own[2])
        shares.append(float(share))
        seen.append(float(after) / max(shares[-1], 1e-300))
    variance, after = np.array(shares), np.array(seen) * np.array(shares)
    ratio = neighbours / size
    order = np.maximum.accumulate(seen) + 1e-12 * np.arange(len(seen))
    rho = float(np.interp(ratio, order, _RHO))
    plain = LagNoise(rho, size / max(float(np.interp(rho, _RHO, variance)), 1e-300))
    by_chance = 2.0 * np.sqrt(2.0 / max(counts[0], 1.0))
    if not known or size > variance[0] * (
        1 + by_chance
    ):  # more than any correlation of the stated errors explains
        return plain
    if abs(np.log(plain.scale)) < by_chance:
        return LagNoise(rho, max(plain.scale, 1.0))
    # a part of the stated variance correlated, the rest not: what makes both the size and the neighbours most as seen
    part = _SHARES[:, None]
    expected = (1 - part) * variance[0] + part * variance, (1 - part) * after[0] + part * after
    misfit = (size - expected[0]) ** 2 + (neighbours - expected[1]) ** 2
    k, best = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    return LagNoise(float(_RHO[best]), 1.0, float(_SHARES[k]))


def fit_errors(
    design: FitDesign, noise: LagNoise, *, prior: FloatArray | float = 0.0, floor: float = 0.0
) -> FitErrors:
    """Errors of every number of one fit (B, …) or many (G, B, …).

    ``prior`` (n, n): What priors add to the curvature (of ½χ²). ``floor``: The least scale of the variance: 1 where
    errors of g2 were measured.
    """
    slopes, cross, inverse = _eliminated(design)
    matrix = noise.correlation(slopes.shape[-2])
    total = np.einsum("...bkm,...bkn->...mn", slopes, slopes) + prior
    size = np.sqrt(np.maximum(np.einsum("...ii->...i", total), 1e-300))
    unit = size[..., :, None] * size[..., None, :]
    ahead = (np.linalg.pinv(total / unit, rcond=1e-13, hermitian=True) / unit) if total.shape[-1] else total
    excess = matrix - np.eye(len(matrix))
    blurred = excess @ slopes
    covariance = ahead + ahead @ np.einsum("...bkm,...bkn->...mn", slopes, blurred) @ ahead
    own = inverse + inverse @ (design.pairs.swapaxes(-1, -2) @ excess @ design.pairs) @ inverse
    by_theta = inverse @ cross
    mixed = (
        inverse
        @ (design.pairs.swapaxes(-1, -2) @ blurred)
        @ ahead[..., None, :, :]
        @ by_theta.swapaxes(-1, -2)
    )
    levels = (
        own
        - mixed
        - mixed.swapaxes(-1, -2)
        + by_theta @ covariance[..., None, :, :] @ by_theta.swapaxes(-1, -2)
    )
    variance = np.einsum("...bii->...bi", levels)
    if design.shared is not None and design.shared.shape[2]:
        m = design.shared.shape[2]
        variance = np.einsum("bim,mn,bin->bi", design.shared, covariance[-m:, -m:], design.shared)
    scale = max(noise.scale, floor)
    return FitErrors(scale * covariance, np.sqrt(np.maximum(scale * variance, 0.0)))


def noise_taken(design: FitDesign, noise: LagNoise) -> float:
    """tr(H R): the noise that all fitted numbers take up, H the hat matrix and R the correlation of lags.

    It is the number of fitted numbers where lags are independent.
    """
    slopes, _, inverse = _eliminated(design)
    matrix = noise.correlation(slopes.shape[-2])
    ahead = np.linalg.pinv(np.einsum("bkm,bkn->mn", slopes, slopes), rcond=1e-13, hermitian=True)
    blurred = [one.swapaxes(-1, -2) @ (matrix @ one) for one in (slopes, design.pairs)]
    return float(np.sum(ahead * blurred[0].sum(axis=0)) + np.sum(inverse * blurred[1]))


#: What the test of the window finds, in the order in which it is told.
SEEN, NO_DECAY, NOT_DECAYED, DECAYED_EARLY = "", "no decay", "not decayed", "decayed early"
#: Exponents and number of rates of the decays that the test compares, and how far beyond the window they reach.
_EXPONENTS, _RATES, _BEYOND = (0.5, 0.75, 1.0, 1.5, 2.0), 40, 30.0
#: Level of a curve that counts as hardly begun, and as over.
_BEGUN, _OVER = 0.9, 0.1
#: Chance at which pure noise is taken for a decay (see tests/benchmarks/one_time_study.py), and the numbers a decay has.
_CHANCE, _NUMBERS = 0.003, 4


def decay_in_window(
    curves: Curves, chi2: FloatArray, *, errors_known: bool, unit: float = 1.0
) -> NDArray[np.str_]:
    """Whether each curve shows a decay that its lags hold.

    A curve without any decay (a constant), one that has hardly begun (less than 10 % of the decay by the last lag) and
    one that is over by the first (less than 10 % left) are fitted to each, as stretched and compressed
    exponentials of every rate with contrast and offset inside their limits. Where one of these is as good as the best
    decay, the data do not tell a rate. As good: χ² in units of the noise is higher by less than 4 F(0.997; 4, n), Fisher's
    limit for the four numbers of a decay. The unit is the measured error, or the scatter about the fit where that is
    larger or no error is known.

    ``chi2`` (B,): Of each curve in the fit of its model. ``errors_known``: Whether weights are of measured errors.
    ``unit``: Variance of the noise, as far as it is known otherwise: by which the correlation of lags blurs the
    comparison. Returns (B,): ``""``, ``"no decay"``, ``"not decayed"`` or ``"decayed early"``.
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
