"""Velocity and direction of flow from the fringes themselves, before any fit.

A cut of a heterodyne map along the lag is a smooth decay plus exp(-mu tau) cos(omega tau), with
omega = q |cos(phi0 - phi)| v. The smooth part is projected out, the fit improvement of a damped cosine is scanned
over omega for every bin and age window, and the improvements are added up over bins for every (v, phi0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import Problem

FloatArray = NDArray[np.float64]
_WINDOWS = 3
_MAX_LAGS = 300


@dataclass(frozen=True)
class FlowCandidate:
    """A flow that explains fringes: v(t) ~ speed * (t / time)**exponent at azimuth ``phi0`` (degrees).

    ``speed`` is in Å/s at ``time`` (s); ``score`` is the improvement of the cuts in units of their noise.
    """

    speed: float
    time: float
    exponent: float
    phi0: float
    score: float


def lag_cuts(problem: Problem, windows: int = _WINDOWS) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean of each map along the lag inside age windows.

    Returns
    -------
    ages : (W,)
        Middle of each window in s.
    lags : (K,)
        In s.
    cuts : (W, B, K)
        NaN where no pixel is used.
    """
    n = len(problem.t)
    size = max(n // windows, min(n, 16))
    starts = np.unique(np.linspace(0, n - size, windows).astype(int))
    count = min(size - 1, _MAX_LAGS)
    cuts = np.full((len(starts), problem.n_bins, count), np.nan)
    for w, first in enumerate(starts):
        for b in range(problem.n_bins):
            block = problem.data[b, first : first + size, first : first + size]
            mask = problem.mask[b, first : first + size]
            for k in range(1, count + 1):
                values = np.diagonal(block, -k)
                used = (mask[k:] * mask[:-k] > 0) & (values != 0.0)
                if used.any():
                    cuts[w, b, k - 1] = values[used].mean(dtype=float)
    ages = problem.t[starts + size // 2]
    step = float(np.median(np.diff(problem.t)))
    return np.asarray(ages, float), step * np.arange(1.0, count + 1), cuts


def _filled(cuts: FloatArray, lags: FloatArray) -> FloatArray:
    """The cuts with lags that masked frames left empty taken from their neighbours."""
    out = cuts.copy()
    for cut in out.reshape(-1, len(lags)):
        known = np.isfinite(cut)
        cut[~known] = np.interp(lags[~known], lags[known], cut[known])
    return out


def _improvement(cuts: FloatArray, lags: FloatArray, omegas: FloatArray) -> FloatArray:
    """How much a damped cosine of each omega improves a smooth decay: (W, B, len(omegas)), in noise units."""
    span = lags[-1]
    rates = np.concatenate([[0.0], np.geomspace(0.5 / span, 0.5 / lags[0], 6)])
    smooth, _ = np.linalg.qr(np.exp(-rates[None, :] * lags[:, None]))
    rest = cuts - (cuts @ smooth) @ smooth.T
    noise = np.maximum(np.mean(rest**2, axis=2), 1e-30)
    best = np.zeros((*cuts.shape[:2], len(omegas)))
    for rate in rates[:-1]:
        wave = np.cos(omegas[:, None] * lags[None, :]) * np.exp(-rate * lags[None, :])
        wave -= (wave @ smooth) @ smooth.T
        norm = np.sum(wave**2, axis=1)
        good = norm > 1e-3 * len(lags) * np.exp(-2 * rate * lags).mean()
        gain = np.maximum(rest @ wave.T, 0.0) ** 2 / np.maximum(norm, 1e-30) * good
        best = np.maximum(best, gain / noise[:, :, None])
    return best


def flow_candidates(problem: Problem, most: int = 4) -> list[FlowCandidate]:
    """Flows that explain the fringes of all bins together, best first.

    Parameters
    ----------
    problem : Problem
    most : int
        How many to return.
    """
    ages, lags, cuts = lag_cuts(problem)
    if cuts.shape[2] < 12:
        return []
    alive = np.all(np.isfinite(cuts).mean(axis=2) > 0.7, axis=0)
    if not alive.any():
        return []
    nyquist = np.pi / lags[0]
    omegas = np.linspace(0.0, nyquist, 2 * len(lags) + 1)
    power = _improvement(_filled(cuts[:, alive], lags), lags, omegas)
    q, phi = problem.q[alive], problem.phi[alive]
    speeds = omegas[1:] / q.max()
    angles = np.arange(-87.5, 90.0, 5.0) if len(np.unique(phi)) > 1 else np.unique(phi)[:1]
    scores = np.empty((len(angles), len(ages), len(speeds)))
    for a, phi0 in enumerate(angles):
        kappa = q * np.abs(np.cos(np.radians(phi0 - phi)))
        place = np.minimum(np.rint(kappa[:, None] * speeds / omegas[1]).astype(int), len(omegas) - 1)
        scores[a] = np.take_along_axis(power, np.broadcast_to(place, (len(ages), *place.shape)), 2).sum(
            axis=1
        )
    return _pick(scores, angles, ages, speeds, most)


def _pick(
    scores: FloatArray, angles: FloatArray, ages: FloatArray, speeds: FloatArray, most: int
) -> list[FlowCandidate]:
    """Best (direction, speed per age window), told apart by direction and speed."""
    found: list[FlowCandidate] = []
    total = scores.max(axis=2).sum(axis=1)
    for a in np.argsort(-total)[: 3 * most]:
        by_age = speeds[scores[a].argmax(axis=1)]
        weight = scores[a].max(axis=1)
        logs, when = np.log(by_age), np.log(ages)
        slope = float(np.polyfit(when, logs, 1, w=np.sqrt(weight + 1e-12))[0]) if len(ages) > 1 else 0.0
        strongest = int(weight.argmax())
        for exponent in (slope, 0.0):
            candidate = FlowCandidate(
                float(by_age[strongest]), float(ages[strongest]), float(np.clip(exponent, -1.5, 1.5)),
                float(angles[a]), float(total[a]),
            )  # fmt: skip
            if all(_differ(candidate, other) for other in found):
                found.append(candidate)
    return found[:most]


def _differ(one: FlowCandidate, other: FlowCandidate) -> bool:
    turned = abs((one.phi0 - other.phi0 + 90.0) % 180.0 - 90.0)
    return (
        turned > 12.0
        or abs(np.log(one.speed / other.speed)) > 0.08
        or abs(one.exponent - other.exponent) > 0.15
    )
