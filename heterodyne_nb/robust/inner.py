"""Inner maxima in closed form, without any convex-programming library: what certificates are checked against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

FloatArray = NDArray[np.float64]


def ball_maximum(linear: FloatArray, matrix: FloatArray, radius: float) -> tuple[float, FloatArray, float]:
    """Maximise 2 bᵀu + uᵀQu over ‖u‖ ≤ radius: eigenvectors of Q and one root of the secular equation.

    The maximiser satisfies (τI − Q) u = b with τ ≥ max(λ_max, 0), and ‖u‖ = radius unless τ = 0 (Moré &
    Sorensen 1983). Where b has no part along the top eigenvectors (the hard case), one of them fills up u.

    Parameters
    ----------
    linear : (k,)
        b.
    matrix : (k, k)
        Q, symmetric, of any signs.
    radius : float

    Returns
    -------
    value : float
    u : (k,)
    tau : float
        Multiplier of the constraint; value = τ radius² + bᵀu.
    """
    k = len(linear)
    if radius == 0.0 or k == 0:
        return 0.0, np.zeros(k), 0.0
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    beta = vectors.T @ linear
    size = max(float(np.max(np.abs(values))), float(np.linalg.norm(beta)) / radius, np.finfo(float).tiny)
    top = max(float(values[-1]), 0.0)

    def length(tau: float) -> float:
        gap = np.maximum(tau - values, np.finfo(float).tiny)
        return float(np.linalg.norm(beta / gap))

    floor = top + 1e-15 * size
    if length(floor) >= radius:
        above = top + float(np.linalg.norm(beta)) / radius + 1e-12 * size
        while length(above) > radius:
            above += size
        tau = float(brentq(lambda x: 1.0 / radius - 1.0 / length(x), floor, above, xtol=1e-15 * size))
        u = vectors @ (beta / (tau - values))
        u *= radius / np.linalg.norm(u)
    else:
        tau = top
        gap = tau - values
        inside = gap > 1e-13 * size
        z = np.where(inside, beta / np.where(inside, gap, 1.0), 0.0)
        if values[-1] >= 0.0:  # the hard case: fill up along the top eigenvector
            z[-1] += np.copysign(np.sqrt(max(radius**2 - float(z @ z), 0.0)), beta[-1] or 1.0)
        u = vectors @ z
    return float(2.0 * linear @ u + u @ matrix @ u), u, tau


def tail_mean(values: FloatArray, fraction: float) -> tuple[float, FloatArray]:
    """Mean of the worst fraction of equally likely values (CVaR), by sorting.

    Parameters
    ----------
    values : (S,)
    fraction : float
        In (0, 1]; at most 1/S picks the largest value alone.

    Returns
    -------
    mean : float
    weights : (S,)
        What each value counts, summing to 1.
    """
    count = max(fraction * len(values), 1.0)
    order = np.argsort(values)[::-1]
    weights = np.zeros(len(values))
    whole = int(np.floor(count + 1e-12))
    weights[order[:whole]] = 1.0
    if whole < len(values):
        weights[order[whole]] = max(count - whole, 0.0)
    weights /= weights.sum()
    return float(weights @ values), weights
