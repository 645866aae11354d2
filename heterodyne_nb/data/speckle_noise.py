"""How the pixels of a two-time map of speckle are correlated, from the map itself.

Let δ_i = I_i/⟨I⟩ − 1 be the intensity of one speckle in frame i, Gaussian speckle of contrast β, and
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
"""

from __future__ import annotations

import numpy as np

__all__ = ["SpeckleCovariance"]

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
