"""Power laws by amplitude at mid-time, exponent and constant part."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from heterodyne_nb.models.charts.base import Chart, FloatArray


class PowerChart(Chart):
    """A power law by its amplitude at mid-time, exponent and constant part; not negative if ``positive``."""

    positive: ClassVar[bool] = False

    def raw(self, theta: FloatArray) -> FloatArray:
        i, j, k = self.indices
        return np.array([theta[i] * self.times.middle ** theta[j], theta[j], theta[k]])

    def scale(self, raw: FloatArray) -> FloatArray:
        i = self.indices[0]
        size = max(abs(raw[0]) + abs(raw[2]), 1e-6 * (self.upper[i] - self.lower[i]))
        return np.array([size, 0.3, size])

    def set(self, theta: FloatArray, raw: FloatArray) -> None:
        i, j, k = self.indices
        exponent = float(np.clip(raw[1], self.lower[j], self.upper[j]))
        least = self.lower[i]
        if self.positive:
            least = max(least, self._least_amplitude(exponent, float(self.upper[k])))
        amplitude = float(np.clip(raw[0] * self.times.middle**-exponent, least, self.upper[i]))
        theta[i], theta[j] = amplitude, exponent
        theta[k] = max(raw[2], self._least_offset(amplitude, exponent)) if self.positive else raw[2]

    def jacobian(self, theta: FloatArray, raw: FloatArray) -> FloatArray:
        middle = self.times.middle
        shrink = middle ** -theta[self.indices[1]]
        out = np.eye(3)
        out[0, :2] = shrink, -raw[0] * shrink * np.log(middle)
        return out

    def box(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        i, j, k = self.indices
        lower, upper = self.lower[[i, j, k]], self.upper[[i, j, k]]
        grow = self.times.middle ** theta[j]
        lower[0], upper[0] = lower[0] * grow, upper[0] * grow
        if self.positive:
            lower[2] = max(lower[2], self._least_offset(theta[i], theta[j]))
        return lower, upper

    def simplest(self, raw: FloatArray) -> FloatArray:
        return np.array([raw[0] + raw[2], 0.0, 0.0])

    def labels(self, names: tuple[str, ...]) -> list[str]:
        amplitude, exponent, constant = (names[i] for i in self.indices)
        return [f"rate of {amplitude} at mid-time", exponent, constant]

    def _least_offset(self, amplitude: float, exponent: float) -> float:
        """Offset at which the power law touches zero at its lower end."""
        return -min(amplitude * self.times.first**exponent, amplitude * self.times.last**exponent)

    def _least_amplitude(self, exponent: float, largest_offset: float) -> float:
        """Amplitude below which no allowed offset keeps the power law from going negative."""
        ends = self.times.first**exponent, self.times.last**exponent
        return -largest_offset / (max(ends) if largest_offset >= 0 else min(ends))


class PositiveChart(PowerChart):
    """A power law that may not go negative, where its published bounds bind."""

    positive: ClassVar[bool] = True
