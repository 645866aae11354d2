"""The N-component model, He et al., PNAS (2025) 10.1073/pnas.2514216122 SI, Eq. S-94."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import (
    Curve,
    fraction,
    fraction_gradient,
    power_cumulative,
    power_cumulative_gradient,
    power_integral,
)
from heterodyne_nb.models.fields import Field, field_terms
from heterodyne_nb.models.model import FloatArray, Parameters, SeparableModel, Terms
from heterodyne_nb.models.parameters import multicomponent_parameters
from heterodyne_nb.models.symmetries import HalfTurn, Reversal, Swap

_DEGREE = np.pi / 180.0


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
        return self.transport.stop + 6


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
