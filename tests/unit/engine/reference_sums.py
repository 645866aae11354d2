"""The plain NumPy form of the kernels: same sums, written as directly as possible, to test and time against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.models.model import Terms

FloatArray = NDArray[np.float64]


def separable_maps(
    terms: Terms, q: float, azimuth: int, wanted: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """M and its derivatives on the full square of frames, for one bin.

    Parameters
    ----------
    terms : Terms
    q : float
        1/Å.
    azimuth : int
        Index of the bin's azimuth in ``terms.weight``.
    wanted : (P,)
        Indices of the parameters.

    Returns
    -------
    M : (N, N), dM : (P, N, N)
        Rows t2, columns t1; meaningful for t1 <= t2.
    """

    def difference(curve: FloatArray) -> FloatArray:
        return curve[..., :, None] - curve[..., None, :]

    n = terms.amplitude.shape[1]
    m, dm = np.zeros((n, n)), np.zeros((len(wanted), n, n))
    for k in range(len(terms.amplitude)):
        weight, d_weight = terms.weight[k, :, azimuth], terms.d_weight[k, :, :, azimuth]
        phase = q * difference(weight @ terms.displacement)
        a, fade = terms.amplitude[k], np.exp(-(q**2) * np.maximum(difference(terms.decay[k]), 0.0))
        both = a[:, None] * a[None, :]
        term = both * fade * np.cos(phase)
        slope = -both * fade * np.sin(phase)
        m += term
        for i, p in enumerate(wanted):
            da = terms.d_amplitude[k, p]
            d_phase = q * difference(
                weight @ terms.d_displacement[:, p] + d_weight[:, p] @ terms.displacement
            )
            dm[i] += (da[:, None] * a[None, :] + a[:, None] * da[None, :]) * fade * np.cos(phase)
            dm[i] += -(q**2) * difference(terms.d_decay[k, p]) * term + slope * d_phase
    return m, dm


def products(data: NDArray[np.floating], m: FloatArray, dm: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum of weight * z zᵀ over the pixels t1 < t2, z = (dM, M, 1, data), shape (P+3, P+3)."""
    below = np.tril(weight, -1)
    z = np.concatenate([dm, m[None], np.ones_like(m)[None], np.asarray(data, float)[None]])
    chosen = below > 0
    rows = z[:, chosen]
    return (rows * below[chosen]) @ rows.T
