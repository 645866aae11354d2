"""The two-component heterodyne model, He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-95."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import (
    Curve,
    fraction,
    fraction_gradient,
    power_cumulative,
    power_cumulative_gradient,
    power_integral,
)
from heterodyne_nb.models.model import Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import PARAMETERS, multicomponent_parameters
from heterodyne_nb.models.symmetries import HalfTurn, RatioSign, Reversal, Shift, Swap


@dataclass(frozen=True)
class Field:
    """One component at N times, with derivatives by the p published parameters."""

    #: x, decay (N,): Its fraction, and ∫J since the first time in Å².
    x: FloatArray
    #: d_x, d_decay (p, N)
    d_x: FloatArray
    decay: FloatArray
    d_decay: FloatArray
    path: FloatArray | None = None  #: (N,): ∫v since the first time in Å; None at rest.
    d_path: FloatArray | None = None  #: (p, N)
    direction: int = -1  #: Place of the direction of its velocity.


def field_terms(fields: Sequence[Field], theta: FloatArray, phi: FloatArray) -> Terms:
    """The terms of each component with itself, then those of every two.

    ``theta`` (p,). ``phi`` (B,): Azimuths in degrees.
    """
    count, moving = len(fields), [k for k, field in enumerate(fields) if field.path is not None]
    pairs = [(k, k) for k in range(count)] + list(combinations(range(count), 2))
    out = Terms.zeros(len(pairs), max(len(moving), 1), len(theta), len(fields[0].x), len(phi))
    norm = sum(field.x**2 for field in fields)
    d_log_norm = 2 * sum(field.x * field.d_x for field in fields) / norm
    for row, (n, m) in enumerate(pairs):
        one, other, root = fields[n], fields[m], 1.0 if n == m else np.sqrt(2.0)
        out.amplitude[row] = root * one.x * other.x / norm
        out.d_amplitude[row] = root * (one.x * other.d_x + other.x * one.d_x) / norm
        out.d_amplitude[row] -= out.amplitude[row] * d_log_norm
        out.decay[row] = 0.5 * (one.decay + other.decay)
        out.d_decay[row] = 0.5 * (one.d_decay + other.d_decay)
    for place, k in enumerate(moving):
        field = fields[k]
        out.displacement[place], out.d_displacement[place] = field.path, field.d_path
        angle = (theta[field.direction] - np.asarray(phi, float)) * _DEGREE
        for row, pair in enumerate(pairs):
            if pair[0] != pair[1] and k in pair:
                sign = 1.0 if k == pair[0] else -1.0
                out.weight[row, place] = sign * np.cos(angle)
                out.d_weight[row, place, field.direction] = -sign * np.sin(angle) * _DEGREE
    return out


_REF, _SAMPLE, _VELOCITY, _FRACTION, _PHI0 = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 13), 13
_DEGREE = np.pi / 180.0


class HeterodyneModel(SeparableModel):
    """A reference at rest and a moving sample, each with its own transport coefficient."""

    name = "heterodyne"
    takes_rules = True
    parameters = PARAMETERS["heterodyne"]
    curve_specs = (
        Curve(
            "J_ref", "Å²/s", "transport", (0, 1, 2), "power_law", component="ref",
            label="transport coefficient of the reference",
        ),
        Curve(
            "J_sample", "Å²/s", "transport", (3, 4, 5), "power_law", component="sample",
            label="transport coefficient of the sample",
        ),
        Curve(
            "v", "Å/s", "velocity", (6, 7, 8), "power_law", direction=13, component="sample",
            label="velocity of the sample against the reference",
        ),
        Curve(
            "x_sample", "1", "fraction", (9, 10, 12, 11), "exponential", component="sample",
            label="fraction of the sample in the field",
        ),
    )  # fmt: skip
    symmetries = (
        Swap((("J_ref", "J_sample"),), complement="x_sample", larger="J_sample"),
        HalfTurn(),
        Reversal(),
        Shift("x_sample"),
        RatioSign("x_sample"),
    )
    field_components = ("ref", "sample")

    def between(
        self, theta: FloatArray, early: FloatArray, late: FloatArray, q: FloatArray, phi: FloatArray
    ) -> Any:
        """See :meth:`SeparableModel.between`."""
        decay_r = q**2 * power_integral(early, late, *theta[_REF], rule=self.rule)
        decay_s = q**2 * power_integral(early, late, *theta[_SAMPLE], rule=self.rule)
        kappa = q * np.cos((theta[_PHI0] - phi) * _DEGREE)
        phase = kappa * power_integral(early, late, *theta[_VELOCITY], rule=self.rule)
        s1, s2 = fraction(early, *theta[_FRACTION]), fraction(late, *theta[_FRACTION])
        r1, r2 = 1.0 - s1, 1.0 - s2
        total = (
            (r1 * r2) ** 2 * np.exp(-decay_r)
            + (s1 * s2) ** 2 * np.exp(-decay_s)
            + 2 * r1 * r2 * s1 * s2 * np.exp(-0.5 * (decay_r + decay_s)) * np.cos(phase)
        )
        return total / ((s1**2 + r1**2) * (s2**2 + r2**2))

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: reference, sample and cross term."""
        p = self.unpack(params)
        out = Terms.zeros(3, 1, 14, len(t), len(phi))
        self._amplitudes(out, t, p[_FRACTION], derivatives)
        out.decay[0] = power_cumulative(t, *p[_REF], rule=self.rule)
        out.decay[1] = power_cumulative(t, *p[_SAMPLE], rule=self.rule)
        out.decay[2] = 0.5 * (out.decay[0] + out.decay[1])
        out.displacement[0] = power_cumulative(t, *p[_VELOCITY], rule=self.rule)
        angle = (p[_PHI0] - np.asarray(phi, float)) * _DEGREE
        out.weight[2, 0] = np.cos(angle)
        if derivatives:
            out.d_decay[0, _REF] = power_cumulative_gradient(t, *p[0:2], rule=self.rule)
            out.d_decay[1, _SAMPLE] = power_cumulative_gradient(t, *p[3:5], rule=self.rule)
            out.d_decay[2] = 0.5 * (out.d_decay[0] + out.d_decay[1])
            out.d_displacement[0, _VELOCITY] = power_cumulative_gradient(t, *p[6:8], rule=self.rule)
            out.d_weight[2, 0, _PHI0] = -np.sin(angle) * _DEGREE
        return out

    @staticmethod
    def _amplitudes(out: Terms, t: FloatArray, values: FloatArray, derivatives: bool) -> None:
        s = fraction(t, *values)
        r = 1.0 - s
        norm = s**2 + r**2
        root2 = np.sqrt(2.0)
        out.amplitude[:] = r**2 / norm, s**2 / norm, root2 * r * s / norm
        if not derivatives:
            return
        by_s = 2.0 * (s - r) / norm  # d ln(norm) / ds
        slope = np.stack([-2 * r / norm, 2 * s / norm, root2 * (r - s) / norm]) - out.amplitude * by_s
        out.d_amplitude[:, _FRACTION] = slope[:, None] * fraction_gradient(t, *values[:3])


@dataclass(frozen=True)
class _Places:
    """Where the parameters of component k (0-based) stand in the published vector."""

    k: int

    @property
    def transport(self) -> slice:
        start = 0 if self.k == 0 else 3 + 10 * (self.k - 1)
        return slice(start, start + 3)

    @property
    def velocity(self) -> slice:
        return slice(self.transport.stop, self.transport.stop + 3)

    @property
    def fraction(self) -> slice:  # f0, f1, f3: the shift f2 would be an exact null direction
        return slice(self.transport.stop + 3, self.transport.stop + 6)

    @property
    def phi0(self) -> int:
        return int(self.transport.stop + 6)


class MulticomponentModel(SeparableModel):
    """N components: the first at rest, the others moving; x_1 = 1 - sum of the others."""

    takes_rules = True

    def __init__(self, n_components: int) -> None:
        if n_components not in range(2, 7):
            raise ConfigurationError(f"n_components is {n_components!r}", expected="an integer, 2 to 6")
        self.n = int(n_components)
        self.name = f"multicomponent_{self.n}"
        self.parameters = multicomponent_parameters(self.n)
        self.places = [_Places(k) for k in range(self.n)]
        self.curve_specs = tuple(self._curves())
        self.field_components = tuple(str(k + 1) for k in range(self.n))
        self.symmetries = (
            *(
                Swap(((f"J_{k}", f"J_{k + 1}"), (f"v_{k}", f"v_{k + 1}"), (f"x_{k}", f"x_{k + 1}")))
                for k in range(2, self.n)
            ),
            HalfTurn(),
            Reversal(),
        )

    def _curves(self) -> Iterator[Curve]:
        """J_k of every component, v_k and x_k of the moving ones; x_1 is what they leave."""

        def at(where: slice) -> tuple[int, ...]:
            return tuple(range(where.start, where.stop))

        for c in self.places:
            k = str(c.k + 1)
            what = f"transport coefficient of component {k}"
            yield Curve(f"J_{k}", "Å²/s", "transport", at(c.transport), "power_law", component=k, label=what)
        for c in self.places[1:]:
            k = str(c.k + 1)
            what = f"velocity of component {k}"
            yield Curve(
                f"v_{k}", "Å/s", "velocity", at(c.velocity), "power_law", c.phi0, component=k, label=what
            )
        yield Curve("x_1", "1", "fraction", component="1", label="fraction of component 1 in the field")
        for c in self.places[1:]:
            k = str(c.k + 1)
            what = f"fraction of component {k} in the field"
            yield Curve(f"x_{k}", "1", "fraction", at(c.fraction), "exponential", component=k, label=what)

    def _fractions(self, p: FloatArray, t: Any) -> list[Any]:
        moving = []
        for place in self.places[1:]:
            f0, f1, f3 = p[place.fraction]
            moving.append(fraction(t, f0, f1, 0.0, f3))
        return [1.0 - sum(moving), *moving]

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """J_k (Å²/s), v_k (Å/s) and x_k of every component at times ``t`` (s)."""
        found = super().curves(params, t)
        found["x_1"] = self._fractions(self.unpack(params), np.asarray(t, float))[0]
        return {curve.name: found[curve.name] for curve in self.curve_specs}

    def between(
        self, theta: FloatArray, early: FloatArray, late: FloatArray, q: FloatArray, phi: FloatArray
    ) -> Any:
        """See :meth:`SeparableModel.between`."""
        x1, x2 = self._fractions(theta, early), self._fractions(theta, late)
        decay = [power_integral(early, late, *theta[c.transport], rule=self.rule) for c in self.places]
        path: list[Any] = [0.0]
        for c in self.places[1:]:
            direction = np.cos((theta[c.phi0] - phi) * _DEGREE)
            path.append(direction * power_integral(early, late, *theta[c.velocity], rule=self.rule))
        total = 0.0
        for n in range(self.n):
            for m in range(self.n):
                weight = x1[n] * x2[n] * x1[m] * x2[m]
                fringe = np.cos(q * (path[n] - path[m]))
                total = total + weight * np.exp(-0.5 * q**2 * (decay[n] + decay[m])) * fringe
        return total / (sum(x**2 for x in x1) * sum(x**2 for x in x2))

    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """See :meth:`SeparableModel.terms`: N self terms, then the N(N-1)/2 cross terms."""
        p = self.unpack(params)
        return field_terms(list(self._fields(p, t)), p, phi)

    def _fields(self, p: FloatArray, t: FloatArray) -> Iterator[Field]:
        zero = np.zeros((len(p), len(t)))
        dx = np.zeros((self.n, len(p), len(t)))
        for c in self.places[1:]:
            f0, f1, _ = p[c.fraction]
            dx[c.k, c.fraction] = fraction_gradient(t, f0, f1, 0.0)[[0, 1, 3]]
        dx[0] = -dx[1:].sum(axis=0)
        for c, x, d_x in zip(self.places, self._fractions(p, t), dx, strict=True):
            d_decay, d_path = zero.copy(), zero.copy()
            d_decay[c.transport] = power_cumulative_gradient(t, *p[c.transport][:2], rule=self.rule)
            own = x, d_x, power_cumulative(t, *p[c.transport], rule=self.rule), d_decay
            if c.k == 0:
                yield Field(*own)
                continue
            d_path[c.velocity] = power_cumulative_gradient(t, *p[c.velocity][:2], rule=self.rule)
            yield Field(*own, power_cumulative(t, *p[c.velocity], rule=self.rule), d_path, c.phi0)
