"""The coordinates in which the parameters of one curve are fitted, and the way back.

A parametrisation maps the published parameters of a curve, theta[indices], to raw coordinates of the same number in
which the curve depends evenly on each and its physical limits are a box. Which one a curve has follows from its form
and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.models.curves import LARGEST_EXPONENT, Curve


def within(x: float, low: float, high: float) -> float:
    """x moved into [low, high]; for one number much faster than np.clip."""
    return float(min(max(x, low), high))


@dataclass(frozen=True)
class Times:
    """First and last frame time in s."""

    first: float
    last: float

    @property
    def middle(self) -> float:
        """Geometric mean."""
        return float(np.sqrt(self.first * self.last))

    @property
    def span(self) -> float:
        """Length of the run."""
        return self.last - self.first


class Parametrisation:
    """Base: the curve, times, and the published bounds of all parameters.

    ``turned`` are the raw coordinates whose sign bends the curve the other way, its ends nearly kept.
    """

    turned: tuple[int, ...] = ()

    def __init__(
        self, curve: Curve, times: Times, lower: FloatArray, upper: FloatArray, free: FloatArray
    ) -> None:
        self.curve, self.indices, self.shift = curve, curve.indices, curve.shift
        self.times, self.lower, self.upper, self.free = times, lower, upper, free

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The published parameters that each raw coordinate sets."""
        return [(i,) for i in self.indices]

    def raw(self, theta: FloatArray) -> FloatArray:
        """Raw coordinates (3,) of a published vector."""
        raise NotImplementedError

    def set(self, theta: FloatArray, raw: FloatArray) -> None:
        """Write the published parameters of raw coordinates into theta."""
        raise NotImplementedError

    def jacobian(self, theta: FloatArray, raw: FloatArray) -> FloatArray:
        """d theta[indices] / d raw, (3, 3)."""
        raise NotImplementedError

    def box(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of the raw coordinates, where they depend on others those at theta."""
        raise NotImplementedError

    def room(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What bounds leave to steps, for curves linear in them: raw steps are matrix (3, 3) @ y, y in a box.

        Returns: ``lower <= 0 <= upper``.
        """
        raw, (lower, upper) = self.raw(theta), self.box(theta)
        return np.eye(len(raw)), np.minimum(lower - raw, 0.0), np.maximum(upper - raw, 0.0)

    def scale(self, raw: FloatArray) -> FloatArray:
        """Typical sizes of the raw coordinates."""
        raise NotImplementedError

    def simplest(self, raw: FloatArray) -> FloatArray:
        """Raw coordinates of the constant curve nearest to one."""
        raise NotImplementedError

    def labels(self, names: tuple[str, ...]) -> list[str]:
        """A name for each raw coordinate."""
        raise NotImplementedError


class PowerLaw(Parametrisation):
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
        least: float = -min(amplitude * self.times.first**exponent, amplitude * self.times.last**exponent)
        return least

    def _least_amplitude(self, exponent: float, largest_offset: float) -> float:
        """Amplitude below which no allowed offset keeps the power law from going negative."""
        ends = self.times.first**exponent, self.times.last**exponent
        least: float = -largest_offset / (max(ends) if largest_offset >= 0 else min(ends))
        return least


class PositivePowerLaw(PowerLaw):
    """A power law that may not go negative, where its published bounds bind."""

    positive: ClassVar[bool] = True


class RelativeChange(Parametrisation):
    """J by its value at mid-time, its relative rise or fall, and how strongly it bends: physical limits are a box.

    J(t) = J_m (1 + |s| ((t/t_m)^alpha - 1) / (1 - R^-|alpha|)), |s| <= 1 with the sign of alpha, R the ratio of the
    mid-time t_m (the geometric mean) to the first frame: J touches 0 at its lower end where |s| = 1, is constant where
    s = 0, and turns into a logarithm of t where alpha goes to 0. In the published parameters the first is a curved
    edge and the last lies at infinity; a minimiser creeps along either.

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
    def suits(cls, plain: Parametrisation, theta: FloatArray) -> bool:
        """Whether the curve is a power law of any J >= 0, its published bounds so wide that only that matters."""
        if not isinstance(plain, PositivePowerLaw) or plain.curve.range != (0.0, np.inf):
            return False
        i, j, k = plain.indices
        middle = theta[i] * plain.times.middle ** theta[j] + theta[k]
        room = min(plain.upper[i], -plain.lower[k], plain.upper[k])
        return bool(
            plain.lower[i] == 0
            and plain.lower[j] < -0.1
            and plain.upper[j] > 0.1
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


class FractionEnds(Parametrisation):
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


def parametrisation_of(curve: Curve) -> type[Parametrisation] | None:
    """How a curve is fitted; None where its parameters are their own coordinates."""
    if curve.form == "power_law":
        return PositivePowerLaw if curve.range[0] == 0 else PowerLaw
    return FractionEnds if curve.form == "exponential" and curve.range == (0.0, 1.0) else None
