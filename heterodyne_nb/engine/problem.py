"""The fit's data in the engine's form: float32 maps, per-bin masks and noise, and the sums that never change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.errors import DataFormatError, OptimizationError
from heterodyne_nb.models.parameters import ParameterTable

FloatArray = NDArray[np.float64]

#: A mean correlation above the second is not normalised, one below the first has its baseline at 0.
_LEAST, _MOST = 0.5, 3.0


@dataclass(frozen=True)
class Scale:
    """Units of a correlation: what is 1 in the usual ones, and where it goes when all has decayed (1 or 0 of them)."""

    unit: float = 1.0
    baseline: float = 1.0


def scale_of(mean: float) -> Scale:
    """Units by the mean: normalised, less 1 (baseline 0), or not normalised."""
    return Scale(1.0 if abs(mean) <= _MOST else abs(mean), 0.0 if abs(mean) < _LEAST else 1.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a two-time fit needs, in arrays.

    Attributes
    ----------
    model : TwoTimeModel
    table : ParameterTable
    data : (B, N, N) float32
        c2 of each bin, rows t2; only t1 < t2 is read; a pixel of exactly 0 is unmeasured.
    q, phi : (B,)
        1/Å and degrees.
    t : (N,)
        Frame times in s.
    mask : (B, N)
        1 for a used frame.
    sigma : (B,)
        Noise of one c2 pixel.
    holes : (H, 3) int
        Unmeasured pixels inside used frames, as (bin, t2, t1).
    gap : float or None
        Gap of the shear cell in Å.
    layouts : dict
        Layouts of columns met so far, kept by the kernels.
    count, sum_data, sum_squares : (B,)
        Number of used pixels, sum of c2 and of c2² over them.
    """

    model: Any
    table: ParameterTable
    data: NDArray[np.float32]
    q: FloatArray
    phi: FloatArray
    t: FloatArray
    mask: FloatArray
    sigma: FloatArray
    holes: NDArray[np.int64]
    gap: float | None = None
    layouts: dict[tuple[int, ...], Any] = field(default_factory=dict, repr=False)
    count: FloatArray = field(init=False)
    sum_data: FloatArray = field(init=False)
    sum_squares: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        if len(self.t) < 3 or not np.all(np.diff(self.t) > 0):
            raise DataFormatError(
                f"{len(self.t)} frame times", where="t", expected="at least 3, increasing, in s"
            )
        if not np.all(self.sigma > 0):
            raise OptimizationError(
                "the noise of some bins is not positive", where="sigma", expected="sigma > 0 for every bin"
            )
        moments = data_moments(self.data, self.mask)
        count, total, squares = moments.T
        np.subtract.at(count, self.holes[:, 0], 1.0)  # holes hold 0, so the two sums are right already
        for name, value in (("count", count), ("sum_data", total), ("sum_squares", squares)):
            object.__setattr__(self, name, value)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.q)

    @property
    def n_data(self) -> int:
        """Number of used pixels, all bins together."""
        return round(float(self.count.sum()))

    @property
    def scale(self) -> Scale:
        """In which units the maps are."""
        return scale_of(float(self.sum_data.sum()) / max(float(self.count.sum()), 1.0))

    @property
    def ends(self) -> tuple[float, float]:
        """First and last frame time in s."""
        return float(self.t[0]), float(self.t[-1])

    def every(self, stride: int) -> Problem:
        """Every ``stride``-th frame: the same model at fewer times, to rank start values quickly."""
        keep = slice(stride // 2, None, stride)
        inside = (self.holes[:, 1:] % stride == stride // 2).all(axis=1)
        holes = self.holes[inside].copy()
        holes[:, 1:] //= stride
        return Problem(
            self.model, self.table, np.ascontiguousarray(self.data[:, keep, keep]), self.q, self.phi,
            self.t[keep], np.ascontiguousarray(self.mask[:, keep]), self.sigma, holes, self.gap,
        )  # fmt: skip


@nb.njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def data_moments(data, mask):
    """Number, sum and sum of squares of the used pixels t1 < t2 of each bin, shape (B, 3)."""
    bins, n = data.shape[0], data.shape[1]
    out = np.zeros((bins, 3))
    for b in nb.prange(bins):
        use = mask[b]
        for j in range(1, n):
            if use[j] == 0.0:
                continue
            row = data[b, j, :j]
            frames = total = squares = 0.0
            for i in range(j):
                value = np.float64(row[i]) * use[i]
                frames += use[i]
                total += value
                squares += value * value
            out[b, 0] += frames
            out[b, 1] += total
            out[b, 2] += squares
    return out
