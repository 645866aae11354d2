"""Curves in time: what a model says of each, their values and exact integrals, with derivatives.

Power law ``c(t) = amplitude * t**exponent + offset`` (transport coefficient, velocity, shear rate) and the
fraction ``x(t) = f0 exp(f1 (t - f2)) + f3``; He et al., PNAS 121 (2024) e2401162121 and PNAS (2025)
10.1073/pnas.2514216122. Times are in seconds and positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError

#: What a curve may be, with the least and the largest value it can have.
ROLES: dict[str, tuple[float, float]] = {
    "transport": (0.0, np.inf),
    "velocity": (-np.inf, np.inf),
    "shear_rate": (-np.inf, np.inf),
    "fraction": (0.0, 1.0),  # of the field
    "intensity_fraction": (0.0, 1.0),
    "relaxation_rate": (0.0, np.inf),
    "frequency": (0.0, np.inf),  # rad/s
    "exponent": (-np.inf, np.inf),
    "other": (-np.inf, np.inf),
}
#: Roles whose curves carry fringes or shear along a direction.
FLOWS = ("velocity", "shear_rate")
#: What each parameter of a curve is, by the form of the curve and in this order; the shift may be left out.
FORMS: dict[str, tuple[str, ...]] = {
    "constant": ("amplitude",),
    "power_law": ("amplitude", "exponent", "offset"),
    "exponential": ("amplitude", "rate", "offset", "shift"),
    "spline": (),  # coefficients, as many as there are; the model evaluates it
}


@dataclass(frozen=True)
class Curve:
    """One curve that parameters of a model describe; of a one-time model, a constant.

    Attributes
    ----------
    name, unit : str
        As they are reported.
    role : str
        One of :data:`ROLES`. It decides limits, start values, derived figures (D = J/2, displacement) and words.
    parameters : tuple of int
        Places of its parameters in the published vector.
    form : str or None
        One of :data:`FORMS`, with ``parameters`` in the order given there; the curve is then evaluated, fitted in
        coordinates of its own (:mod:`heterodyne_nb.models.parametrisations`) and searched for. None: the model's
        ``curves`` evaluates it.
    direction : int or None
        Place of the direction of a flow, in degrees.
    component : str
        The component it belongs to, for models of several.
    label : str
        What it is, in words; default the name.
    limits : (float, float) or None
        Least and largest value; default those of the role.
    start : (float, float) or None
        Where a search may begin, for a constant; default a range of the role, or the bounds of the parameter.
    """

    name: str
    unit: str
    role: str = "other"
    parameters: tuple[int, ...] = ()
    form: str | None = None
    direction: int | None = None
    component: str = ""
    label: str = ""
    limits: tuple[float, float] | None = None
    start: tuple[float, float] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest value that it can have."""
        return ROLES[self.role] if self.limits is None else self.limits

    @property
    def indices(self) -> tuple[int, ...]:
        """Places of the parameters that are fitted: all but the shift, an exact null direction."""
        return self.parameters[:3]

    @property
    def shift(self) -> int | None:
        """Place of the shift of an exponential, where it has one."""
        return self.parameters[3] if self.form == "exponential" and len(self.parameters) > 3 else None

    @property
    def parts(self) -> dict[int, str]:
        """What each of its parameters is: one of the words of :data:`FORMS`, or ``"single"``."""
        if self.role == "exponent":
            return dict.fromkeys(self.parameters, "exponent")
        if self.form == "spline":
            return dict.fromkeys(self.parameters, "coefficient")
        words = FORMS[self.form] if self.form else ("single",) * len(self.parameters)
        return dict(zip(self.parameters, words, strict=False))

    @property
    def suffix(self) -> str:
        """The component as the curve's name ends with it, or nothing."""
        end = f"_{self.component}"
        return end if self.component and self.name.endswith(end) else ""

    def value(self, theta: FloatArray, t: ArrayLike) -> Any:
        """Values at times ``t`` (s), for a published vector; the curve must have a form."""
        values = [theta[i] for i in self.parameters]
        if self.form == "power_law":
            return power_law(t, *values)
        if self.form == "exponential":
            f0, f1, f3, f2 = values if len(values) == 4 else (*values, 0.0)
            return fraction(t, f0, f1, f2, f3)
        return values[0] + np.zeros(np.shape(t))

    def at(self, theta: FloatArray, t: float) -> float:
        """The value at one time (s)."""
        if self.form != "power_law":
            return float(self.value(theta, t))
        i, j, k = self.parameters
        return float(theta[i] * t ** theta[j] + theta[k])

    def reverse(self, theta: FloatArray) -> None:
        """Change the sign of the curve in a published vector."""
        self.scale(theta, -1.0)

    def scale(self, theta: FloatArray, factor: float) -> None:
        """Multiply the curve in a published vector."""
        theta[[i for i, part in self.parts.items() if part in ("amplitude", "offset", "coefficient")]] *= (
            factor
        )

    def complement(self, theta: FloatArray) -> None:
        """Replace the curve x by 1 - x in a published vector."""
        self.reverse(theta)
        theta[self.parameters[2 if self.form == "exponential" else 0]] += 1.0

    def start_range(self, q: float, shortest: float, longest: float) -> tuple[float, float] | None:
        """Range of a constant that shows in data with times (s) from the shortest to the longest, at q (1/Å)."""
        if self.start is not None or self.form != "constant":
            return self.start
        ranges = {
            "transport": (0.02 / (q**2 * longest), 2.0 / (q**2 * shortest)),
            "velocity": (0.3 / (q * longest), np.pi / (q * shortest)),
            "relaxation_rate": (0.05 / longest, 2.0 / shortest),
            "frequency": (0.3 / longest, np.pi / shortest),
            "exponent": (0.4, 2.0),
        }
        return ranges.get(self.role)


def power_law(t: ArrayLike, amplitude: float, exponent: float, offset: float) -> Any:
    """Value of ``amplitude * t**exponent + offset``."""
    return amplitude * np.asarray(t, float) ** exponent + offset


def _phi1(x: FloatArray) -> FloatArray:
    """expm1(x)/x, with its limit 1 at 0."""
    small = np.abs(x) < 1e-300
    return np.where(small, 1.0, np.expm1(x) / np.where(small, 1.0, x))


def _phi1_derivative(x: FloatArray) -> FloatArray:
    """d/dx of expm1(x)/x; a series near 0, where the closed form cancels."""
    near = np.abs(x) < 0.05
    far = np.where(near, 1.0, x)
    closed = (far * np.exp(far) - np.expm1(far)) / far**2
    series = np.zeros_like(x)
    for n in range(8, -1, -1):  # sum of x**n (n+1)/(n+2)!
        series = series * np.where(near, x, 0.0) + (n + 1) / _FACTORIAL[n + 2]
    return np.where(near, series, closed)


_FACTORIAL = np.cumprod(np.concatenate([[1.0], np.arange(1.0, 12.0)]))


def _logs(t1: ArrayLike, t2: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """ln t1 and ln(t2 / t1), the second to full precision however small the lag is against t1."""
    t1 = np.asarray(t1, float)
    return np.log(t1), np.log1p((np.asarray(t2, float) - t1) / t1)


#: How curves may be integrated over time.
INTEGRALS = ("exact", "trapezoid", "rectangle")


@dataclass(frozen=True, eq=False)
class FrameSum:
    """An integral over time as a sum over frames, as other packages take it; only to reproduce their figures."""

    #: {"trapezoid", "rectangle"}: What a step from frame to frame counts with: the mean of its two ends, as of
    #: ``numpy.trapezoid``, or the value at its later frame, as of ``numpy.cumsum``.
    rule: str
    t: FloatArray  #: (N,): Times of all frames in s; sums to times between them are interpolated.

    def __call__(self, value: Callable[[FloatArray], FloatArray], t1: ArrayLike, t2: ArrayLike) -> Any:
        """The sum of a function of time from t1 to t2 (s).

        Raises ConfigurationError: A time lies outside the frames.
        """
        t1, t2, t = np.asarray(t1, float), np.asarray(t2, float), self.t
        slack = 1e-6 * (t[1] - t[0])
        low, high = min(np.min(t1), np.min(t2)), max(np.max(t1), np.max(t2))
        if low < t[0] - slack or high > t[-1] + slack:
            raise ConfigurationError(
                f"times {low:g} to {high:g} s, where integrals are {self.rule} sums over frames",
                where="integral", expected=f"times of the frames, {t[0]:g} to {t[-1]:g} s",
            )  # fmt: skip
        values = value(t)
        each = values[1:] if self.rule == "rectangle" else 0.5 * (values[1:] + values[:-1])
        sums = np.concatenate([[0.0], np.cumsum(each * np.diff(t))])
        return np.interp(t2, t, sums) - np.interp(t1, t, sums)


#: How integrals are taken: exactly (None), or as a sum over frames.
Rule = FrameSum | None


def power_moment(t1: ArrayLike, t2: ArrayLike, exponent: float, *, rule: Rule = None) -> Any:
    """Integral of ``t**exponent`` over [t1, t2], exact and smooth through exponent = -1 unless a rule is given."""
    if rule is not None:
        return rule(lambda t: t**exponent, t1, t2)
    s = exponent + 1.0
    log1, span = _logs(t1, t2)
    return np.exp(s * log1) * span * _phi1(s * span)


def power_log_moment(t1: ArrayLike, t2: ArrayLike, exponent: float, *, rule: Rule = None) -> Any:
    """Integral of ``t**exponent * ln t`` over [t1, t2]: the moment's derivative by the exponent."""
    if rule is not None:
        return rule(lambda t: t**exponent * np.log(t), t1, t2)
    s = exponent + 1.0
    log1, span = _logs(t1, t2)
    return np.exp(s * log1) * span * (log1 * _phi1(s * span) + span * _phi1_derivative(s * span))


def power_integral(
    t1: ArrayLike, t2: ArrayLike, amplitude: float, exponent: float, offset: float, *, rule: Rule = None
) -> Any:
    """Integral of the power law over [t1, t2], exact unless a rule is given."""
    t1, t2 = np.asarray(t1, float), np.asarray(t2, float)
    return amplitude * power_moment(t1, t2, exponent, rule=rule) + offset * (t2 - t1)


def power_cumulative(
    t: FloatArray, amplitude: float, exponent: float, offset: float, *, rule: Rule = None
) -> FloatArray:
    """Integral from the first time of ``t`` to each time, shape of ``t``."""
    return np.asarray(power_integral(t[0], t, amplitude, exponent, offset, rule=rule))


def power_cumulative_gradient(
    t: FloatArray, amplitude: float, exponent: float, *, rule: Rule = None
) -> FloatArray:
    """Derivatives of :func:`power_cumulative` by (amplitude, exponent, offset), shape (3, len(t))."""
    moment = power_moment(t[0], t, exponent, rule=rule)
    return np.stack([moment, amplitude * power_log_moment(t[0], t, exponent, rule=rule), t - t[0]])


#: Limit of the exponent of a fraction: a model takes fractions to the fourth power, which must not overflow.
LARGEST_EXPONENT = 150.0


def fraction(t: ArrayLike, f0: float, f1: float, f2: float, f3: float) -> Any:
    """Fraction ``f0 exp(f1 (t - f2)) + f3``; the exponent is limited to ``LARGEST_EXPONENT``."""
    return f0 * np.exp(np.minimum(f1 * (np.asarray(t, float) - f2), LARGEST_EXPONENT)) + f3


def fraction_gradient(t: FloatArray, f0: float, f1: float, f2: float) -> FloatArray:
    """Derivatives of :func:`fraction` by (f0, f1, f2, f3), shape (4, len(t))."""
    growth = np.exp(np.minimum(f1 * (t - f2), LARGEST_EXPONENT))
    return np.stack([growth, f0 * (t - f2) * growth, -f0 * f1 * growth, np.ones_like(t)])
