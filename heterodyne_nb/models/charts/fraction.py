"""Fractions by their values at the first and the last frame, each in [0, 1], and their rate."""

from __future__ import annotations

import numpy as np

from heterodyne_nb.models.charts.base import Chart, FloatArray, within
from heterodyne_nb.models.curves import LARGEST_EXPONENT


class FractionChart(Chart):
    """A fraction by its values at the first and the last frame and its rate; f2 moves only to keep f0 in bounds."""

    #: Smallest |rate * span| of a fraction: below it the curve is straight and the rate has no meaning.
    SMALLEST_BEND = 1e-3
    turned = (2,)

    @property
    def sets(self) -> list[tuple[int, ...]]:
        amplitude, rate, constant = self.indices
        return [(amplitude, constant), (amplitude, constant), (rate,)]

    def raw(self, theta: FloatArray) -> FloatArray:
        f0, f1, f3 = (theta[i] for i in self.indices)
        shift = self._shift(theta)
        ends = [f0 * _growth(f1, t - shift) + f3 for t in (self.times.first, self.times.last)]
        least = self.SMALLEST_BEND / self.times.span
        if abs(f1) < least:
            f1 = least if f1 > 0 else -least
        return np.array([ends[0], ends[1], f1])

    def scale(self, raw: FloatArray) -> FloatArray:
        return np.array([0.2, 0.2, 1.0 / self.times.span])

    def simplest(self, raw: FloatArray) -> FloatArray:
        middle = 0.5 * (raw[0] + raw[1])
        return np.array([middle, middle, raw[2]])

    def labels(self, names: tuple[str, ...]) -> list[str]:
        amplitude, rate, _ = (names[i] for i in self.indices)
        return [f"first end of {amplitude}", f"last end of {amplitude}", rate]

    def _shift(self, theta: FloatArray) -> float:
        return 0.0 if self.shift is None else float(theta[self.shift])

    def set(self, theta: FloatArray, raw: FloatArray) -> None:
        i, j, k = self.indices
        first, last = (within(x, 0.0, 1.0) for x in raw[:2])
        rate = self._bent(float(raw[2]), j)
        shift = self._shift(theta)
        early, late, rise = self._growths(rate, shift)
        amplitude = (last - first) / rise
        if self.shift is not None:
            amplitude, theta[self.shift] = self._move_shift(amplitude, rate, shift)
            early, late, rise = self._growths(rate, theta[self.shift])
        amplitude = within(amplitude, *self._amplitudes(early, late, rise))
        lowest = max(self.lower[k], -amplitude * early, -amplitude * late)
        highest = min(self.upper[k], 1.0 - amplitude * early, 1.0 - amplitude * late)
        theta[i], theta[j] = amplitude, rate
        theta[k] = within(first - amplitude * early, lowest, highest)

    def _bent(self, rate: float, j: int) -> float:
        """The rate inside its bounds and, where they allow, away from 0."""
        least, bounds = self.SMALLEST_BEND / self.times.span, (self.lower[j], self.upper[j])
        rate = within(rate, *bounds)
        if abs(rate) >= least:
            return rate
        return within(np.copysign(least, rate), *bounds) or within(-least, *bounds)

    def _growths(self, rate: float, shift: float) -> tuple[float, float, float]:
        """exp(rate (t - shift)) at the first and the last frame, and the rise between them, never 0."""
        early, late = (_growth(rate, t - shift) for t in (self.times.first, self.times.last))
        return early, late, (late - early) or np.inf

    def _amplitudes(self, early: float, late: float, rise: float) -> tuple[float, float]:
        """Amplitudes for which some allowed constant part keeps both ends of a fraction in [0, 1]."""
        i, _, k = self.indices
        steepest, grown = 1.0 / abs(rise), (early, late)
        lowest = [-self.upper[k] / g for g in grown]
        highest = [(1.0 - self.lower[k]) / g for g in grown]
        return max(self.lower[i], -steepest, *lowest), min(self.upper[i], steepest, *highest)

    def _move_shift(self, amplitude: float, rate: float, shift: float) -> tuple[float, float]:
        """Use the null direction f0 exp(-f1 f2) to bring f0 inside its bounds, as far as f2 may move."""
        i, at = self.indices[0], self.shift
        assert at is not None
        limit = self.upper[i] if amplitude > 0 else -self.lower[i]
        if not self.free[at] or abs(amplitude) <= limit or limit <= 0:
            return amplitude, shift
        moved = shift - np.log(abs(amplitude) / (0.9 * limit)) / rate
        moved = within(moved, self.lower[at], self.upper[at])
        return amplitude * _growth(rate, moved - shift), moved

    def jacobian(self, theta: FloatArray, raw: FloatArray) -> FloatArray:
        first, last, rate = raw
        shift = self._shift(theta)
        early, late, rise = self._growths(rate, shift)
        d_early, d_late = (self.times.first - shift) * early, (self.times.last - shift) * late
        amplitude = (last - first) / rise
        by_rate = -amplitude * (d_late - d_early) / rise
        f0 = np.array([-1.0 / rise, 1.0 / rise, by_rate])
        f3 = np.array([1.0, 0.0, -amplitude * d_early]) - early * f0
        return np.stack([f0, [0.0, 0.0, 1.0], f3])

    def box(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        j = self.indices[1]
        return np.array([0.0, 0.0, self.lower[j]]), np.array([1.0, 1.0, self.upper[j]])


def _growth(rate: float, t: float) -> float:
    return float(np.exp(within(rate * t, -LARGEST_EXPONENT, LARGEST_EXPONENT)))
