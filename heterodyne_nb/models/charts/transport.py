"""Transport coefficients by value, relative change and bend: physical limits become a box.

J(t) = J_m (1 + |s| ((t/t_m)^alpha - 1) / (1 - R^-|alpha|)), |s| <= 1 with the sign of alpha, R the ratio of the
mid-time t_m (the geometric mean) to the first frame: J touches 0 at its lower end where |s| = 1, is constant where
s = 0, and turns into a logarithm of t where alpha goes to 0. In the published parameters the first is a curved edge
and the last lies at infinity; a minimiser creeps along either.
"""

from __future__ import annotations

import numpy as np

from heterodyne_nb.models.charts.base import Chart, FloatArray, within


class TransportChart(Chart):
    """J by its value at mid-time, its relative rise or fall, and how strongly it bends.

    alpha = kappa s / h(s) with h = sqrt(s² + SOFT²): a curve that turns from falling to rising does so by way of a
    slanted line in ln t, where the two kinds of power law meet without an edge.
    """

    #: Smallest kappa times the logarithm of last to first time: below it J is a logarithm of t.
    SMALLEST_BEND = 2e-2
    #: Relative rise below which alpha shrinks with it.
    SOFT = 1e-3
    #: The published bounds must leave this many times the J of the start.
    ROOM = 20.0
    turned = (1,)

    @classmethod
    def suits(cls, chart: Chart, theta: FloatArray) -> bool:
        """Whether bounds of amplitude and constant part are so wide that only J >= 0 matters."""
        i, j, k = chart.indices
        middle = theta[i] * chart.times.middle ** theta[j] + theta[k]
        room = min(chart.upper[i], -chart.lower[k], chart.upper[k])
        return bool(
            chart.lower[i] == 0
            and chart.lower[j] < -0.1
            and chart.upper[j] > 0.1
            and middle > 0
            and room >= cls.ROOM * middle
        )

    @property
    def _log_ratio(self) -> float:
        """ln R."""
        return float(0.5 * np.log(self.times.last / self.times.first))

    @property
    def _least(self) -> float:
        return self.SMALLEST_BEND / (2.0 * self._log_ratio)

    @property
    def sets(self) -> list[tuple[int, ...]]:
        i, _, k = self.indices
        return [(i, k), (i, k), ()]  # the least kappa is not a bound of alpha

    def scale(self, raw: FloatArray) -> FloatArray:
        return np.array([max(raw[0], 1e-6 * self.upper[self.indices[0]]), 0.3, 0.3])

    def raw(self, theta: FloatArray) -> FloatArray:
        i, j, k = self.indices
        amplitude, exponent = theta[i] * self.times.middle ** theta[j], theta[j]
        middle = max(amplitude + theta[k], 0.0)
        if amplitude == 0 or middle == 0:
            return np.array([middle, 0.0, max(abs(exponent), self._least)])
        rise = min(amplitude / middle / self._steep(abs(exponent)) if exponent else 0.0, 1.0)
        if exponent:
            bend = abs(exponent) * np.hypot(rise, self.SOFT) / rise
        else:
            bend = self.SOFT * middle / (amplitude * self._log_ratio)
        if bend < self._least:  # of a curve that is straight in ln t the slope is kept
            bend = self._least
        return np.array([middle, -rise if exponent < 0 else rise, bend])

    def simplest(self, raw: FloatArray) -> FloatArray:
        return np.array([raw[0], 0.0, raw[2]])

    def labels(self, names: tuple[str, ...]) -> list[str]:
        amplitude, exponent, _ = (names[i] for i in self.indices)
        return [f"rate of {amplitude} at mid-time", f"change of the rate of {amplitude}", exponent]

    def _steep(self, size: float) -> float:
        """1 / (1 - R^-|alpha|)."""
        return float(-1.0 / np.expm1(-size * self._log_ratio))

    def _shape(self, rise: float, bend: float) -> tuple[float, float]:
        """alpha, and the amplitude at mid-time as a share of J there."""
        h = float(np.hypot(rise, self.SOFT))
        exponent = bend * rise / h
        return exponent, h / bend * self._relative(abs(exponent))

    def _relative(self, size: float) -> float:
        """|alpha| / (1 - R^-|alpha|), 1 / ln R at 0."""
        return size * self._steep(size) if size > 1e-12 else 1.0 / self._log_ratio

    def _relative_slope(self, size: float) -> float:
        """Derivative of that by |alpha|."""
        if size * self._log_ratio < 1e-4:
            return 0.5
        steep = self._steep(size)
        return steep * (1.0 - size * self._log_ratio * steep * float(np.exp(-size * self._log_ratio)))

    def _on_bound(self, exponent: float, j: int) -> float:
        """The exponent, at its bound where rounding keeps it off."""
        for bound in (self.lower[j], self.upper[j]):
            if abs(exponent - bound) < 1e-9:
                return float(bound)
        return exponent

    def _bends(self, middle: float, rise: float) -> tuple[float, float]:
        """Least and largest bend that keep alpha and the constant part inside their bounds."""
        j, k = self.indices[1:]
        size, h = abs(rise), float(np.hypot(rise, self.SOFT))
        largest = (self.upper[j] if rise > 0 else -self.lower[j]) * h / max(size, 1e-12)
        most = 1.0 - self.lower[k] / max(middle, 1e-300)  # share of the amplitude in J at mid-time
        if most > 1e12:
            least = 0.0
        elif size < 1e-6 * most:
            least = h / (most * self._log_ratio)
        else:
            least = -np.log1p(-min(size / most, 1.0 - 1e-12)) / self._log_ratio * h / size
        least = max(least, self._least)
        return min(least, largest), largest

    def set(self, theta: FloatArray, raw: FloatArray) -> None:
        i, j, k = self.indices
        middle, rise = max(float(raw[0]), 0.0), within(raw[1], -1.0, 1.0)
        bend = within(raw[2], *self._bends(middle, rise))
        exponent, share = self._shape(rise, bend)
        exponent = self._on_bound(exponent, j)
        amplitude = min(middle * share * self.times.middle**-exponent, self.upper[i])
        ends = self.times.first**exponent, self.times.last**exponent
        theta[i], theta[j] = amplitude, exponent
        theta[k] = max(middle - amplitude * self.times.middle**exponent, -amplitude * min(ends))

    def jacobian(self, theta: FloatArray, raw: FloatArray) -> FloatArray:
        middle, rise, bend = raw
        h = float(np.hypot(rise, self.SOFT))
        exponent, share = self._shape(rise, bend)
        size, log_middle = abs(exponent), np.log(self.times.middle)
        by_exponent = np.array([0.0, bend * self.SOFT**2 / h**3, rise / h])
        relative = self._relative(size)
        by_share = np.array([0.0, rise / (h * bend) * relative, -h / bend**2 * relative])
        by_share += h / bend * self._relative_slope(size) * np.copysign(1.0, rise) * by_exponent
        constant = np.array([1.0 - share, 0.0, 0.0]) - middle * by_share
        shrink = np.exp(-exponent * log_middle)
        amplitude = shrink * (
            np.array([share, 0.0, 0.0]) + middle * by_share - middle * share * log_middle * by_exponent
        )
        return np.stack([amplitude, by_exponent, constant])

    def box(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        middle, rise, _ = self.raw(theta)
        least, largest = self._bends(float(middle), float(rise))
        return np.array([0.0, -1.0, least]), np.array([self.upper[self.indices[0]], 1.0, largest])

    def room(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """In steps of J at the mid-time made of a falling part J_m (1 - s) / 2 and a rising one, neither negative.

        |s| <= 1 says the same, but as a limit of steps it would hold at the J_m of the fit only.
        """
        middle, rise, _ = self.raw(theta)
        matrix, lower, upper = super().room(theta)
        if middle <= 0:
            return matrix, lower, upper
        matrix[:2, :2] = [[1.0, 1.0], [-(1.0 + rise) / middle, (1.0 - rise) / middle]]
        lower[:2] = -0.5 * middle * (1.0 - rise), -0.5 * middle * (1.0 + rise)
        upper[:2] = upper[0]
        return matrix, lower, upper
