"""Good coordinates to fit in, published ones to report: the map between the two.

A power law is fitted through its amplitude at mid-time, a fraction through its values at the first and the
last frame (each boxed in [0, 1], which keeps the whole monotone curve inside) and its rate; the shift f2, an
exact null direction, is not fitted at all. A block with a fixed or tied parameter keeps its published
coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.config.parameters_table import ParameterTable
from heterodyne_nb.models.curves import LARGEST_EXPONENT

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Parameters that belong to one curve.

    ``kind`` is ``"transport"`` (a power law that may not go negative), ``"power"`` (any sign),
    ``"fraction"`` (f0, f1, f3 and, when ``shift`` is given, f2 at that index).
    """

    kind: str
    indices: tuple[int, ...]
    shift: int | None = None


@dataclass(frozen=True)
class _Times:
    first: float
    last: float

    @property
    def middle(self) -> float:
        return float(np.sqrt(self.first * self.last))

    @property
    def span(self) -> float:
        return self.last - self.first


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

    #: Smallest |rate * span| of a fraction: below it the curve is straight and the rate has no meaning.
    SMALLEST_BEND = 1e-3

    def __init__(self, table: ParameterTable, blocks: tuple[Block, ...], first: float, last: float) -> None:
        self.table, self.times = table, _Times(first, last)
        self.lower, self.upper = np.array(table.lower, float), np.array(table.upper, float)
        vary, tied = np.array(table.vary, bool), {t for t in table.tie if t}
        alone = [v and n not in tied for v, n in zip(vary, table.names, strict=True)]
        self.blocks = tuple(b for b in blocks if all(alone[i] for i in b.indices))
        inside = {i for b in self.blocks for i in b.indices}
        shifts = {b.shift for b in self.blocks if b.shift is not None}
        self.order = [i for b in self.blocks for i in b.indices]
        self.order += [i for i in range(len(vary)) if vary[i] and i not in inside and i not in shifts]
        self.source = np.array([table.names.index(t) if t else i for i, t in enumerate(table.tie)])
        self.scale = self._scales()

    @property
    def size(self) -> int:
        """Number of internal coordinates."""
        return len(self.order)

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The published parameters that each internal coordinate sets."""
        out: list[tuple[int, ...]] = [(i,) for i in self.order]
        for at, block in self._placed():
            if block.kind == "fraction":
                amplitude, rate, constant = block.indices
                out[at : at + 3] = [(amplitude, constant), (amplitude, constant), (rate,)]
        return out

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
        for at, block in self._placed():
            if block.kind == "fraction":
                scale[at : at + 3] = 0.2, 0.2, 1.0 / self.times.span
            else:
                size = abs(raw[at]) + abs(raw[at + 2])
                scale[at] = scale[at + 2] = max(size, 1e-6 * width[at])
        return scale

    def _placed(self) -> list[tuple[int, Block]]:
        starts = np.cumsum([0, *(len(b.indices) for b in self.blocks)])
        return [(int(at), block) for at, block in zip(starts, self.blocks, strict=False)]

    # -- published -> internal -----------------------------------------------------------------

    def _raw(self, theta: FloatArray) -> FloatArray:
        raw = theta[self.order].astype(float)
        for at, block in self._placed():
            if block.kind == "fraction":
                raw[at : at + 3] = self._fraction_ends(theta, block)
            else:
                raw[at] = theta[block.indices[0]] * self.times.middle ** theta[block.indices[1]]
        return raw

    def _fraction_ends(self, theta: FloatArray, block: Block) -> tuple[float, float, float]:
        f0, f1, f3 = (theta[i] for i in block.indices)
        shift = self._shift(theta, block)
        ends = [f0 * _growth(f1, t - shift) + f3 for t in (self.times.first, self.times.last)]
        least = self.SMALLEST_BEND / self.times.span
        if abs(f1) < least:
            f1 = least if f1 > 0 else -least
        return ends[0], ends[1], f1

    def _shift(self, theta: FloatArray, block: Block) -> float:
        return 0.0 if block.shift is None else float(theta[block.shift])

    def to_internal(self, theta: FloatArray) -> FloatArray:
        """Scaled internal coordinates of a published vector."""
        return self._raw(np.asarray(theta, float)) / self.scale

    # -- internal -> published -----------------------------------------------------------------

    def from_internal(self, z: FloatArray) -> FloatArray:
        """Published vector inside its bounds, its curves physical, fixed and tied entries filled in."""
        raw = np.asarray(z, float) * self.scale
        theta = np.array(self.table.values, float)
        theta[self.order] = raw
        for at, block in self._placed():
            if block.kind == "fraction":
                self._set_fraction(theta, block, raw[at : at + 3])
            else:
                self._set_power(theta, block, raw[at : at + 3])
        theta = np.clip(theta, self.lower, self.upper)
        return theta[self.source]

    def _set_power(self, theta: FloatArray, block: Block, raw: FloatArray) -> None:
        i, j, k = block.indices
        exponent = float(np.clip(raw[1], self.lower[j], self.upper[j]))
        least = self.lower[i]
        if block.kind == "transport":
            least = max(least, self._least_amplitude(exponent, float(self.upper[k])))
        amplitude = float(np.clip(raw[0] * self.times.middle**-exponent, least, self.upper[i]))
        theta[i], theta[j] = amplitude, exponent
        theta[k] = raw[2] if block.kind == "power" else max(raw[2], self._least_offset(amplitude, exponent))

    def _least_offset(self, amplitude: float, exponent: float) -> float:
        """Offset at which the power law touches zero at its lower end."""
        return -min(amplitude * self.times.first**exponent, amplitude * self.times.last**exponent)

    def _least_amplitude(self, exponent: float, largest_offset: float) -> float:
        """Amplitude below which no allowed offset keeps the power law from going negative."""
        ends = self.times.first**exponent, self.times.last**exponent
        return -largest_offset / (max(ends) if largest_offset >= 0 else min(ends))

    def _set_fraction(self, theta: FloatArray, block: Block, raw: FloatArray) -> None:
        i, j, k = block.indices
        first, last = np.clip(raw[:2], 0.0, 1.0)
        rate = self._bent(float(raw[2]), j)
        shift = self._shift(theta, block)
        early, late, rise = self._growths(rate, shift)
        amplitude = (last - first) / rise
        if block.shift is not None:
            amplitude, theta[block.shift] = self._move_shift(amplitude, rate, shift, block)
            early, late, rise = self._growths(rate, theta[block.shift])
        amplitude = float(np.clip(amplitude, *self._amplitudes(early, late, rise, i, k)))
        lowest = max(self.lower[k], -amplitude * early, -amplitude * late)
        highest = min(self.upper[k], 1.0 - amplitude * early, 1.0 - amplitude * late)
        theta[i], theta[j] = amplitude, rate
        theta[k] = np.clip(first - amplitude * early, lowest, highest)

    def _bent(self, rate: float, j: int) -> float:
        """The rate inside its bounds and, where they allow, away from 0."""
        least, bounds = self.SMALLEST_BEND / self.times.span, (self.lower[j], self.upper[j])
        rate = float(np.clip(rate, *bounds))
        if abs(rate) >= least:
            return rate
        return float(np.clip(np.copysign(least, rate), *bounds)) or float(np.clip(-least, *bounds))

    def _growths(self, rate: float, shift: float) -> tuple[float, float, float]:
        """exp(rate (t - shift)) at the first and the last frame, and the rise between them, never 0."""
        early, late = (_growth(rate, t - shift) for t in (self.times.first, self.times.last))
        return early, late, (late - early) or np.inf

    def _amplitudes(self, early: float, late: float, rise: float, i: int, k: int) -> tuple[float, float]:
        """Amplitudes for which some allowed constant part keeps both ends of a fraction in [0, 1]."""
        steepest, grown = 1.0 / abs(rise), (early, late)
        lowest = [-self.upper[k] / g for g in grown]
        highest = [(1.0 - self.lower[k]) / g for g in grown]
        return max(self.lower[i], -steepest, *lowest), min(self.upper[i], steepest, *highest)

    def _move_shift(self, amplitude: float, rate: float, shift: float, block: Block) -> tuple[float, float]:
        """Use the null direction f0 exp(-f1 f2) to bring f0 inside its bounds, as far as f2 may move."""
        i, at = block.indices[0], block.shift
        assert at is not None
        limit = self.upper[i] if amplitude > 0 else -self.lower[i]
        if not self.table.vary[at] or abs(amplitude) <= limit or limit <= 0:
            return amplitude, shift
        moved = shift - np.log(abs(amplitude) / (0.9 * limit)) / rate
        moved = float(np.clip(moved, self.lower[at], self.upper[at]))
        return amplitude * _growth(rate, moved - shift), moved

    # -- derivatives and bounds ----------------------------------------------------------------

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """d theta / d z at a published vector, shape (p, n)."""
        raw = self._raw(theta)
        out = np.zeros((len(theta), self.size))
        out[self.order, np.arange(self.size)] = 1.0
        for at, block in self._placed():
            rows = list(block.indices)
            if block.kind == "fraction":
                out[rows, at : at + 3] = self._fraction_jacobian(theta, block, raw[at : at + 3])
            else:
                middle = self.times.middle
                shrink = middle ** -theta[rows[1]]
                out[rows[0], at] = shrink
                out[rows[0], at + 1] = -raw[at] * shrink * np.log(middle)
        return out[self.source] * self.scale

    def _fraction_jacobian(self, theta: FloatArray, block: Block, raw: FloatArray) -> FloatArray:
        first, last, rate = raw
        shift = self._shift(theta, block)
        early, late, rise = self._growths(rate, shift)
        d_early, d_late = (self.times.first - shift) * early, (self.times.last - shift) * late
        amplitude = (last - first) / rise
        by_rate = -amplitude * (d_late - d_early) / rise
        f0 = np.array([-1.0 / rise, 1.0 / rise, by_rate])
        f3 = np.array([1.0, 0.0, -amplitude * d_early]) - early * f0
        return np.stack([f0, [0.0, 0.0, 1.0], f3])

    def internal_bounds(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Box of z, exact for the exponents, rates, fractions and plain parameters.

        The bounds of an amplitude are those at the present exponent.
        """
        lower, upper = self.lower[self.order].copy(), self.upper[self.order].copy()
        raw = self._raw(theta)
        for at, block in self._placed():
            if block.kind == "fraction":
                lower[at : at + 2], upper[at : at + 2] = 0.0, 1.0
                continue
            grow = self.times.middle ** theta[block.indices[1]]
            lower[at] *= grow
            upper[at] *= grow
            if block.kind == "transport":
                least = self._least_offset(theta[block.indices[0]], theta[block.indices[1]])
                lower[at + 2] = max(lower[at + 2], least)
        lower, upper = np.minimum(lower, raw), np.maximum(upper, raw)
        return lower / self.scale, upper / self.scale


def _growth(rate: float, t: float) -> float:
    return float(np.exp(np.clip(rate * t, -LARGEST_EXPONENT, LARGEST_EXPONENT)))
