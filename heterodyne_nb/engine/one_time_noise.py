"""Errors of a one-time fit whose lags are correlated.

Lags of g2 share frames, so their errors are correlated even where each error is right. Two forms of correlation are
weighed by the likelihood of the residuals, the part that the fit takes up allowed for:

* that of the fluctuations themselves. An intensity that fluctuates as C(u) = exp(-a |u|) gives lags j and k the
  covariance k(|tau_j - tau_k|) + k(tau_j + tau_k), k(u) = (1 + a u) exp(-a u) the autocorrelation of C (Bartlett, J. R. Stat.
  Soc. Suppl. 8 (1946) 27). The rate a of each curve is read from its fitted M, so that nothing but the share of it in the
  variance is left to find; photon noise is the rest.
* rho^d for lags d apart in the list, a part of the variance again, by moments: rho is the one under which residuals would
  be as like their neighbours, and as large, as they are.

The parameters then have the covariance A R Aᵀ of weighted least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray

_RHO = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.985, 0.994])
#: Parts of the variance that are tried as the correlated one, the whole first.
_SHARES = np.linspace(1.0, 0.0, 21)
#: Curves that rho is read from at most; and curves and lags that the likelihood of the two forms is.
_READ, _WEIGHED, _LAGS = 150, 8, 96
#: Shares of the variance that are tried as that of the fluctuations.
_FLUCTUATING = (0.0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.97, 0.99, 0.999)
#: Residuals larger than errors by so many times what chance does, of independent lags, are of a wrong model.
_BEYOND = 3.0
#: Correlation of neighbours from which a small χ² is what one expects.
_ALIKE = 0.3
#: By how much the likelihood of the fluctuations must be higher.
_CLEAR = 2.0
#: Entries of matrices of lags that are worked on at a time.
_ENTRIES = 4_000_000


@dataclass(frozen=True)
class LagNoise:
    """How errors of g2 hang together."""

    #: Correlation of neighbouring lags in the correlated part of the noise: rho^d for lags d apart.
    rho: float
    scale: float  #: Variance over that of the stated errors, from the scatter about the fit.
    share: float = 1.0  #: The correlated part of the variance; the rest is independent from lag to lag.
    #: (…, B): Where the correlated part is that of the fluctuations, how fast these decay (1/s), curve by curve; and the lags.
    rates: FloatArray | None = None
    tau: FloatArray | None = None

    def correlation(self, count: int) -> FloatArray:
        """Matrix (K, K), or of every curve (…, B, K, K)."""
        if self.rates is None or self.tau is None:
            return self.share * _matrix(self.rho, count) + (1.0 - self.share) * np.eye(count)
        return self.share * fluctuations(self.rates, self.tau) + (1.0 - self.share) * np.eye(count)

    def of(self, fits: slice) -> LagNoise:
        """The same for some of many fits."""
        return self if self.rates is None else replace(self, rates=self.rates[fits])

    @property
    def neighbours(self) -> float:
        """Correlation of neighbouring lags, the median over these and the curves."""
        if self.rates is None or self.tau is None or len(self.tau) < 2:
            return self.share * self.rho
        few = np.sort(self.rates, axis=None)[:: max(1, self.rates.size // _WEIGHED)]
        return self.share * float(np.median(fluctuations(few, self.tau)[:, 1:, :-1].diagonal(0, 1, 2)))

    @property
    def lowers_chi2(self) -> bool:
        """Whether lags are so alike that a fit follows their noise: a small χ² then says nothing of the stated errors."""
        return self.neighbours > _ALIKE

    @property
    def inflation(self) -> FloatArray:
        """Variance of a mean over that of independent lags, of every curve or one for all."""
        if self.rates is None or self.tau is None:
            r = self.share * self.rho
            return np.array((1 + r) / (1 - r))
        flat = self.rates.reshape(-1)
        return np.concatenate(
            [replace(self, rates=part).correlation(len(self.tau)).mean(axis=(-2, -1)) * len(self.tau)
             for part in np.array_split(flat, 1 + flat.size * len(self.tau) ** 2 // _ENTRIES)]
        ).reshape(self.rates.shape)  # fmt: skip


def _matrix(rho: float, count: int) -> FloatArray:
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return rho**apart


def fluctuations(rates: FloatArray, tau: FloatArray) -> FloatArray:
    """Correlation of lags (…, K, K) of g2 whose intensity fluctuates as exp(-rate |u|); ``rates`` (…), ``tau`` (K,)."""

    def kernel(u: FloatArray) -> FloatArray:
        return (1.0 + u) * np.exp(-u)

    rates = np.asarray(rates, float)[..., None, None]
    apart, together = np.abs(np.subtract.outer(tau, tau)), np.add.outer(tau, tau)
    size = 1.0 / np.sqrt(1.0 + kernel(rates[..., 0] * 2 * tau))
    return (kernel(rates * apart) + kernel(rates * together)) * size[..., :, None] * size[..., None, :]


def fluctuation_rates(m: FloatArray, tau: FloatArray) -> FloatArray:
    """How fast what a curve shows fluctuates: the rate of an exponential with the same ∫ M² above the plateau, (…) of (…, K)."""
    m, tau = np.concatenate([np.ones_like(m[..., :1]), m], axis=-1), np.concatenate([[0.0], tau])
    fall = 1.0 - m[..., -1:]
    square = np.where(fall > 1e-6, (m - m[..., -1:]) / np.where(fall > 1e-6, fall, 1.0), 1.0) ** 2
    return np.asarray(0.5 / np.trapezoid(square, tau, axis=-1))


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
    #: tau (K,), rates (…, B): Lags, and what :func:`fluctuation_rates` says of each curve.
    tau: FloatArray | None = None
    rates: FloatArray | None = None

    def of(self, fits: Any) -> FitDesign:
        """Some of many fits."""
        kept = {name: getattr(self, name)[fits] for name in ("slopes", "pairs", "residual", "used", "prior")}
        return replace(self, **kept, rates=None if self.rates is None else self.rates[fits])

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
    listed, excess = _by_list(design.of(few), known)
    if design.rates is None or design.tau is None or excess:
        return listed
    # curve by curve, without the directions of its own numbers, whatever other curves share these
    flat = [a.reshape(-1, *a.shape[a.ndim - n :]) for a, n in
            ((design.slopes, 2), (design.pairs, 2), (design.residual, 1), (design.used, 1), (design.rates, 0))]  # fmt: skip
    lit = np.flatnonzero(flat[3].any(axis=1))
    chosen = lit[np.unique(np.linspace(0, len(lit) - 1, _WEIGHED).astype(int))]
    slopes, pairs, residual, used, rates = (a[chosen] for a in flat)
    lags = _some_lags(len(design.tau))
    seen = (
        residual[:, lags],
        used[:, lags],
        _basis(np.concatenate([slopes, pairs], axis=2)[:, lags] * used[:, lags, None]),
    )
    by_list = _matrix(listed.rho, len(design.tau))[np.ix_(lags, lags)]
    (highest, _), *_ = _likelihoods(*seen, by_list[None], (min(listed.share, _FLUCTUATING[-1]),), known)
    physical = _likelihoods(*seen, fluctuations(rates, design.tau[lags]), _FLUCTUATING, known)
    (height, scale), share = max(zip(physical, _FLUCTUATING, strict=True))
    if height <= highest + _CLEAR or not share:
        return listed
    return LagNoise(0.0, max(scale, 1.0) if known else scale, share, design.rates, design.tau)


def _some_lags(count: int) -> IntArray:
    """All lags, or of many some: close together at first, further apart later."""
    if count <= _LAGS:
        return np.arange(count)
    return np.unique(np.geomspace(1, count, _LAGS).astype(int)) - 1


def _basis(columns: FloatArray) -> FloatArray:
    """Orthonormal columns (C, K, n) of what the numbers of each curve move; zero where there are fewer."""
    columns = columns[..., np.any(columns != 0, axis=(0, 1))]
    size = np.sqrt(np.sum(columns**2, axis=1, keepdims=True))
    u, singular, _ = np.linalg.svd(columns / np.where(size > 0, size, 1.0), full_matrices=False)
    return np.asarray(u * (singular > 1e-7)[:, None, :])


def _likelihoods(
    residual: FloatArray,
    used: NDArray[np.bool_],
    basis: FloatArray,
    correlation: FloatArray,
    shares: Sequence[float],
    known: bool,
) -> list[tuple[float, float]]:
    """Logarithm of the restricted likelihood (Patterson & Thompson 1971) of residuals (C, K), and the scale they ask for.

    It is of the scale 1 where errors are ``known``: a lower share of a correlation that fits hardly show could not be told from a
    larger scale.

    ``basis`` (C, K, n): Directions that the fits take up, of which nothing is known. ``correlation`` (C or 1, K, K): Of the
    correlated part, whose ``shares`` of the variance are tried.
    """
    if len(correlation) > 1 or not used.all():
        correlation = np.where(used[:, :, None] & used[:, None, :], correlation, np.eye(used.shape[1]))
    values, vectors = np.linalg.eigh(correlation)
    turned = vectors.swapaxes(1, 2) @ np.concatenate([basis, (residual * used)[..., None]], axis=2)
    empty = ~np.any(basis != 0, axis=1)
    count = max(float(np.count_nonzero(used) - np.count_nonzero(~empty)), 1.0)
    out = []
    for share in shares:
        variance = np.broadcast_to(share * np.maximum(values, 0.0) + (1.0 - share), used.shape)
        white = turned / np.sqrt(variance)[..., None]
        x, r = white[..., :-1], white[..., -1:]
        inner = x.swapaxes(1, 2) @ x + empty[:, :, None] * np.eye(empty.shape[1])
        pull = x.swapaxes(1, 2) @ r
        square = float(np.sum(r**2) - np.sum(pull * np.linalg.solve(inner, pull)))
        scale = max(square / count, 1e-300)
        unit = 1.0 if known else scale
        logs = float(np.sum(np.log(variance)) + np.sum(np.linalg.slogdet(inner)[1]))
        out.append((-0.5 * (logs + count * np.log(unit) + square / unit), scale))
    return out


def _by_list(design: FitDesign, known: bool) -> tuple[LagNoise, bool]:
    """The correlation rho^d, from sums of squares and of products of neighbours; and whether residuals are no noise.

    They are none where they are far larger than the stated errors, or nothing.
    """
    residual, used, count = design.residual, design.used, design.residual.shape[-1]
    near = used[..., 1:] & used[..., :-1]
    size = float(np.sum(residual**2))
    if size <= 0:
        return LagNoise(0.0, 0.0), True
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
        return plain, known and size > variance[0] * (1 + _BEYOND * by_chance)
    if abs(np.log(plain.scale)) < by_chance:
        return LagNoise(rho, max(plain.scale, 1.0)), False
    # a part of the stated variance correlated, the rest not: what makes both the size and the neighbours most as seen
    part = _SHARES[:, None]
    expected = (1 - part) * variance[0] + part * variance, (1 - part) * after[0] + part * after
    misfit = (size - expected[0]) ** 2 + (neighbours - expected[1]) ** 2
    k, best = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    return LagNoise(float(_RHO[best]), 1.0, float(_SHARES[k])), False


def fit_errors(
    design: FitDesign, noise: LagNoise, *, prior: FloatArray | float = 0.0, floor: float = 0.0
) -> FitErrors:
    """Errors of every number of one fit (B, …) or many (G, B, …).

    ``prior`` (n, n): What priors add to the curvature (of ½χ²). ``floor``: The least scale of the variance: 1 where
    errors of g2 were measured.
    """
    entries = noise.rates.size * design.slopes.shape[-2] ** 2 if noise.rates is not None else 0
    if design.slopes.ndim > 3 and entries > _ENTRIES:  # so that matrices of lags of all curves need no room
        step = max(1, len(design.slopes) * _ENTRIES // entries)
        pieces = [slice(k, k + step) for k in range(0, len(design.slopes), step)]
        done = [fit_errors(design.of(k), noise.of(k), prior=prior, floor=floor) for k in pieces]
        return FitErrors(*(np.concatenate([getattr(d, n) for d in done]) for n in ("covariance", "levels")))
    slopes, cross, inverse = _eliminated(design)
    matrix = noise.correlation(slopes.shape[-2])
    total = np.einsum("...bkm,...bkn->...mn", slopes, slopes) + prior
    size = np.sqrt(np.maximum(np.einsum("...ii->...i", total), 1e-300))
    unit = size[..., :, None] * size[..., None, :]
    ahead = (np.linalg.pinv(total / unit, rcond=1e-13, hermitian=True) / unit) if total.shape[-1] else total
    excess = matrix - np.eye(matrix.shape[-1])
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
