"""Good coordinates to fit in, published ones to report: the map between the two.

Each curve has a parametrisation of its own (:mod:`heterodyne_nb.models.parametrisations`); the shift f2, an exact null
direction, is not fitted at all. A curve with a fixed or tied parameter keeps its published coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.models.curves import Curve
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.models.parametrisations import Parametrisation, RelativeChange, Times, parametrisation_of

#: Typical sizes of an exponent and of a direction (degrees) that are their own coordinates.
_PLAIN_SIZES = {"exponent": 0.3, "direction": 10.0}


def fitted_curves(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    """The curves that have a parametrisation, in the order of their parameters."""
    return tuple(sorted(filter(parametrisation_of, curves), key=lambda curve: curve.parameters))


class Coordinates:
    """Map between published parameters theta (p,) and scaled internal coordinates z (n,).

    ``curves``: Curves of the model; parameters in none that has a parametrisation are their own coordinates.
    ``first``, ``last``: First and last frame time in s.
    """

    def __init__(self, table: ParameterTable, curves: Iterable[Curve], first: float, last: float) -> None:
        self.table, self.times, every = table, Times(first, last), tuple(curves)
        self.lower, self.upper = np.array(table.lower, float), np.array(table.upper, float)
        vary, tied = np.array(table.vary, bool), {t for t in table.tie if t}
        alone = [v and n not in tied for v, n in zip(vary, table.names, strict=True)]
        self.curves = tuple(c for c in fitted_curves(every) if all(alone[i] for i in c.indices))
        self.parametrisations = tuple(self._parametrisation(curve) for curve in self.curves)
        starts = np.cumsum([0, *(len(own.indices) for own in self.parametrisations)]).tolist()
        places = (
            slice(at, at + len(own.indices)) for at, own in zip(starts, self.parametrisations, strict=False)
        )
        self._placed = list(zip(places, self.parametrisations, strict=True))
        inside = {i for c in self.curves for i in c.indices}
        shifts = {c.shift for c in self.curves if c.shift is not None}
        self.order = [i for c in self.curves for i in c.indices]
        self.order += [i for i in range(len(vary)) if vary[i] and i not in inside and i not in shifts]
        self.source = np.array([table.names.index(t) if t else i for i, t in enumerate(table.tie)])
        self._parts = {i: part for c in every for i, part in c.parts.items()}
        self._parts |= {c.direction: "direction" for c in every if c.direction is not None}
        self.scale = self._scales()

    def _parametrisation(self, curve: Curve) -> Parametrisation:
        common = curve, self.times, self.lower, self.upper, np.array(self.table.vary, bool)
        make = parametrisation_of(curve)
        assert make is not None
        plain = make(*common)
        known = any(self.table.prior[i] is not None for i in curve.indices)  # of published parameters
        if not known and RelativeChange.suits(plain, np.array(self.table.values, float)):
            return RelativeChange(*common)
        return plain

    @property
    def size(self) -> int:
        """Number of internal coordinates."""
        return len(self.order)

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The published parameters that each internal coordinate sets."""
        inside = [one for own in self.parametrisations for one in own.sets]
        return inside + [(i,) for i in self.order[len(inside) :]]

    def _scales(self) -> FloatArray:
        """Typical size of each internal coordinate, from the start values."""
        theta = np.array(self.table.values, float)
        raw = self._raw(theta)
        width = (self.upper - self.lower)[self.order]
        floor = np.where(self.lower[self.order] > 0, 0.0, 1e-3 * np.minimum(width, 1e4))
        scale = np.maximum(np.abs(raw), floor)  # what cannot be zero has the size of its start
        for k, i in enumerate(self.order):
            scale[k] = _PLAIN_SIZES.get(self._parts.get(i, ""), scale[k])
        for part, own in self.placed():
            scale[part] = own.scale(raw[part])
        return scale

    def placed(self) -> list[tuple[slice, Parametrisation]]:
        """Each parametrisation with the place of its coordinates."""
        return self._placed

    def _raw(self, theta: FloatArray) -> FloatArray:
        raw = theta[self.order].astype(float)
        for part, own in self.placed():
            raw[part] = own.raw(theta)
        return raw

    def simplest(self, z: FloatArray) -> FloatArray:
        """Internal coordinates with every curve replaced by a constant one."""
        raw = np.asarray(z, float) * self.scale
        for part, own in self.placed():
            raw[part] = own.simplest(raw[part])
        return raw / self.scale

    def labels(self) -> list[str]:
        """A name for each internal coordinate."""
        inside = [label for own in self.parametrisations for label in own.labels(self.table.names)]
        return inside + [self.table.names[i] for i in self.order[len(inside) :]]

    def complete(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which internal coordinates (n,) follow from the published parameters that are known (p,)."""
        out = np.array(known)[self.order]
        for part, own in self.placed():
            out[part] = known[list(own.indices)].all()
        return out

    def to_internal(self, theta: FloatArray) -> FloatArray:
        """Scaled internal coordinates of a published vector."""
        return self._raw(np.asarray(theta, float)) / self.scale

    def from_internal(self, z: FloatArray) -> FloatArray:
        """Published vector inside its bounds, its curves physical, fixed and tied entries filled in."""
        raw = np.asarray(z, float) * self.scale
        theta = np.array(self.table.values, float)
        theta[self.order] = raw
        for part, own in self.placed():
            own.set(theta, raw[part])
        theta = np.clip(theta, self.lower, self.upper)
        return np.asarray(theta[self.source])

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """d theta / d z at a published vector, shape (p, n)."""
        raw = self._raw(theta)
        out = np.zeros((len(theta), self.size))
        out[self.order, np.arange(self.size)] = 1.0
        for part, own in self.placed():
            out[list(own.indices), part] = own.jacobian(theta, raw[part])
        return np.asarray(out[self.source] * self.scale)

    def internal_bounds(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Box of z, exact for the exponents, rates, fractions and plain parameters.

        The bounds of an amplitude are those at the present exponent.
        """
        lower, upper = self.lower[self.order].copy(), self.upper[self.order].copy()
        raw = self._raw(theta)
        for part, own in self.placed():
            lower[part], upper[part] = own.box(theta)
        lower, upper = np.minimum(lower, raw), np.maximum(upper, raw)
        return lower / self.scale, upper / self.scale

    def room(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What bounds leave to steps from a published vector, for curves linear in them.

        Returns ``matrix`` (n, n): Steps of z are ``matrix @ y``. Returns ``lower, upper`` (n,): Room of y, ``lower <=
        0 <= upper``.
        """
        lower, upper = self.internal_bounds(theta)
        z = self.to_internal(theta)
        matrix, lower, upper = np.eye(self.size), lower - z, upper - z
        for part, own in self.placed():
            matrix[part, part], lower[part], upper[part] = own.room(theta)
            matrix[part, part] /= self.scale[part, None]
        unit = 1.0 / np.abs(matrix).max(axis=0, initial=0.0)  # no step of 1 moves z by more than that
        return matrix * unit, np.minimum(lower, 0.0) / unit, np.maximum(upper, 0.0) / unit
