"""The noise of averages of two-time pixels at one lag, when these pixels are not independent.

An average over ages at lag k takes m pixels e_i = c2[i, i+k], of which c ≤ m are measured, along one diagonal.
Its variance is

    var = W/c + Σ_h Γ_k(h) A(h)/m² + 2 σ_f² A(k)/m²,    A(h) = m − |h|,    −m < h < m,

with Γ_k (without its white part W) the autocovariance of the noise along the diagonal and σ_f² the variance
of single frames' levels, from :mod:`heterodyne_nb.data.noise_fit`. Γ_k is looked up at the ages of the
average itself, so it follows an ageing sample: at m < 6 pixels everywhere, beyond at some h and ages. The
second term is worked out at lags that grow by an eighth and interpolated, so the errors change smoothly.

What is frozen during the whole run (static speckle) moves c2 as a whole and is part of contrast and offset.
With a speckle lifetime comparable to the run its level is found to about 20 % only, from short steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heterodyne_nb.data.noise_fit import NoiseModel, fit_noise

__all__ = ["MapNoise"]

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
