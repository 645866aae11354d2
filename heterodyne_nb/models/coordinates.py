"""Good coordinates to fit in, published ones to report: the map between the two.

Each curve has a chart of its own (:mod:`heterodyne_nb.models.charts`); the shift f2, an exact null direction, is not
fitted at all. A block with a fixed or tied parameter keeps its published coordinates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.models.charts import (
    Block,
    Chart,
    FractionChart,
    PositiveChart,
    PowerChart,
    Times,
    TransportChart,
)
from heterodyne_nb.models.parameters import ParameterTable

__all__ = ["Block", "Coordinates"]

FloatArray = NDArray[np.float64]
_CHARTS = {"fraction": FractionChart, "power": PowerChart, "transport": PositiveChart}


class Coordinates:
    """Map between published parameters theta (p,) and scaled internal coordinates z (n,).

    Parameters
    ----------
    table : ParameterTable
    blocks : tuple of Block
        Curves of the model; parameters in no block are their own coordinates.
    first, last : float
        First and last frame time in s.
    """

    def __init__(self, table: ParameterTable, blocks: tuple[Block, ...], first: float, last: float) -> None:
        self.table, self.times = table, Times(first, last)
        self.lower, self.upper = np.array(table.lower, float), np.array(table.upper, float)
        vary, tied = np.array(table.vary, bool), {t for t in table.tie if t}
        alone = [v and n not in tied for v, n in zip(vary, table.names, strict=True)]
        self.blocks = tuple(b for b in blocks if all(alone[i] for i in b.indices))
        self.charts = tuple(self._chart(block) for block in self.blocks)
        inside = {i for b in self.blocks for i in b.indices}
        shifts = {b.shift for b in self.blocks if b.shift is not None}
        self.order = [i for b in self.blocks for i in b.indices]
        self.order += [i for i in range(len(vary)) if vary[i] and i not in inside and i not in shifts]
        self.source = np.array([table.names.index(t) if t else i for i, t in enumerate(table.tie)])
        self.scale = self._scales()

    def _chart(self, block: Block) -> Chart:
        common = block, self.times, self.lower, self.upper, np.array(self.table.vary, bool)
        chart = _CHARTS[block.kind](*common)
        known = any(self.table.prior[i] is not None for i in block.indices)  # of published parameters
        values = np.array(self.table.values, float)
        if block.kind == "transport" and not known and TransportChart.suits(chart, values):
            return TransportChart(*common)
        return chart

    @property
    def size(self) -> int:
        """Number of internal coordinates."""
        return len(self.order)

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The published parameters that each internal coordinate sets."""
        inside = [one for chart in self.charts for one in chart.sets]
        return inside + [(i,) for i in self.order[len(inside) :]]

    def _scales(self) -> FloatArray:
        """Typical size of each internal coordinate, from the start values."""
        theta = np.array(self.table.values, float)
        raw = self._raw(theta)
        width = (self.upper - self.lower)[self.order]
        floor = np.where(self.lower[self.order] > 0, 0.0, 1e-3 * np.minimum(width, 1e4))
        scale = np.maximum(np.abs(raw), floor)  # what cannot be zero has the size of its start
        for k, i in enumerate(self.order):
            if self.table.names[i].startswith(("alpha", "beta")):
                scale[k] = 0.3
            elif self.table.names[i].startswith("phi0"):
                scale[k] = 10.0
        for part, chart in self.placed():
            scale[part] = chart.scale(raw[part])
        return scale

    def placed(self) -> list[tuple[slice, Chart]]:
        """Each chart with the place of its coordinates."""
        starts = np.cumsum([0, *(len(chart.indices) for chart in self.charts)])
        return [
            (slice(at, at + len(chart.indices)), chart)
            for at, chart in zip(starts.tolist(), self.charts, strict=False)
        ]

    def _raw(self, theta: FloatArray) -> FloatArray:
        raw = theta[self.order].astype(float)
        for part, chart in self.placed():
            raw[part] = chart.raw(theta)
        return raw

    def simplest(self, z: FloatArray) -> FloatArray:
        """Internal coordinates with every curve replaced by a constant one."""
        raw = np.asarray(z, float) * self.scale
        for part, chart in self.placed():
            raw[part] = chart.simplest(raw[part])
        return raw / self.scale

    def labels(self) -> list[str]:
        """A name for each internal coordinate."""
        inside = [label for chart in self.charts for label in chart.labels(self.table.names)]
        return inside + [self.table.names[i] for i in self.order[len(inside) :]]

    def complete(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which internal coordinates (n,) follow from the published parameters that are known (p,)."""
        out = np.array(known)[self.order]
        for part, chart in self.placed():
            out[part] = known[list(chart.indices)].all()
        return out

    def to_internal(self, theta: FloatArray) -> FloatArray:
        """Scaled internal coordinates of a published vector."""
        return self._raw(np.asarray(theta, float)) / self.scale

    def from_internal(self, z: FloatArray) -> FloatArray:
        """Published vector inside its bounds, its curves physical, fixed and tied entries filled in."""
        raw = np.asarray(z, float) * self.scale
        theta = np.array(self.table.values, float)
        theta[self.order] = raw
        for part, chart in self.placed():
            chart.set(theta, raw[part])
        theta = np.clip(theta, self.lower, self.upper)
        return theta[self.source]

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """d theta / d z at a published vector, shape (p, n)."""
        raw = self._raw(theta)
        out = np.zeros((len(theta), self.size))
        out[self.order, np.arange(self.size)] = 1.0
        for part, chart in self.placed():
            out[list(chart.indices), part] = chart.jacobian(theta, raw[part])
        return out[self.source] * self.scale

    def internal_bounds(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Box of z, exact for the exponents, rates, fractions and plain parameters.

        The bounds of an amplitude are those at the present exponent.
        """
        lower, upper = self.lower[self.order].copy(), self.upper[self.order].copy()
        raw = self._raw(theta)
        for part, chart in self.placed():
            lower[part], upper[part] = chart.box(theta)
        lower, upper = np.minimum(lower, raw), np.maximum(upper, raw)
        return lower / self.scale, upper / self.scale

    def room(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What bounds leave to steps from a published vector, for curves linear in them.

        Returns
        -------
        matrix : (n, n)
            Steps of z are ``matrix @ y``.
        lower, upper : (n,)
            Room of y, ``lower <= 0 <= upper``.
        """
        lower, upper = self.internal_bounds(theta)
        z = self.to_internal(theta)
        matrix, lower, upper = np.eye(self.size), lower - z, upper - z
        for part, chart in self.placed():
            matrix[part, part], lower[part], upper[part] = chart.room(theta)
            matrix[part, part] /= self.scale[part, None]
        unit = 1.0 / np.abs(matrix).max(axis=0, initial=0.0)  # no step of 1 moves z by more than that
        return matrix * unit, np.minimum(lower, 0.0) / unit, np.maximum(upper, 0.0) / unit
