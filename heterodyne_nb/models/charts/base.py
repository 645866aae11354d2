"""What every chart is: coordinates of one curve to fit in, and the way back to the published parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def within(x: float, low: float, high: float) -> float:
    """x moved into [low, high]; for one number much faster than np.clip."""
    return float(min(max(x, low), high))


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


class Chart:
    """Base: indices, times, and the published bounds of all parameters.

    ``turned`` are the raw coordinates whose sign bends the curve the other way, its ends nearly kept.
    """

    turned: tuple[int, ...] = ()

    def __init__(
        self, block: Block, times: Times, lower: FloatArray, upper: FloatArray, free: FloatArray
    ) -> None:
        self.kind, self.indices, self.shift = block.kind, block.indices, block.shift
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

        Returns
        -------
        matrix, lower, upper
            ``lower <= 0 <= upper``.
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
