"""The fit's data in the engine's form: float32 maps with their masks and noise, or g2 of every bin against lag.

Maps larger than memory: kept in a temporary file, of which a bounded number of bins is in memory at a time.

The file has no name, so nothing is left behind however the process ends; ``TMPDIR`` says on which disk it is.
"""

from __future__ import annotations

import mmap
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import numba as nb
import numpy as np
import psutil
from numpy.typing import NDArray

from heterodyne_nb import kernels
from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.quality import BASELINE_0, NOT_NORMALISED
from heterodyne_nb.errors import DataFormatError, OptimizationError
from heterodyne_nb.files import check_folder, explained, grant
from heterodyne_nb.kernels import LOOPS
from heterodyne_nb.models.parameters import ParameterTable
from heterodyne_nb.options import ExecutionOptions
from heterodyne_nb.options.fit import bytes_of


def room(memory: Any = None) -> float:
    """Bytes that maps may take; ``memory`` as in :class:`heterodyne_nb.options.ExecutionOptions`."""
    asked = ExecutionOptions.default("memory") if memory is None else memory
    return bytes_of(asked, psutil.virtual_memory().available)


def maps_of(shape: tuple[int, int, int], most: float) -> NDArray[np.float32]:
    """Maps of zeros, (B, N, N): in memory where they take at most so many bytes, else in a temporary file.

    Raises OutputError: The disk of temporary files has no room for them.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= most:
        return np.zeros(shape, np.float32)
    check_folder(tempfile.gettempdir(), size)
    with explained(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        grant(file.fileno(), size)  # else a disk that fills up later ends the process
        return np.asarray(np.memmap(file, np.float32, "w+", shape=shape))


def bins_at_once(data: NDArray[np.float32], most: float) -> int | None:
    """How many bins of maps in a file may be in memory together, one at least; None for maps in memory."""
    return None if _file_of(data) is None else max(1, int(most // max(data[0].nbytes, 1)))


def let_go(data: NDArray[np.float32]) -> None:
    """Have the system take back the memory of maps that are in a file; they are read again when needed."""
    file = _file_of(data)
    if file is not None and hasattr(file, "madvise"):
        file.madvise(mmap.MADV_DONTNEED)


def _file_of(data: Any) -> mmap.mmap | None:
    while data is not None and not isinstance(data, mmap.mmap):
        data = getattr(data, "base", None)
    return data


@dataclass(frozen=True)
class Scale:
    """Units of a correlation: what is 1 in the usual ones, and where it goes when all has decayed (1 or 0 of them)."""

    unit: float = 1.0
    baseline: float = 1.0


def scale_of(mean: float) -> Scale:
    """Units by the mean: normalised, less 1 (baseline 0), or not normalised."""
    return Scale(1.0 if abs(mean) <= NOT_NORMALISED else abs(mean), 0.0 if abs(mean) < BASELINE_0 else 1.0)


class BinData(ABC):
    """What two-time and one-time data have in common: bins, and times that can be cut into blocks."""

    #: q, phi (B,): 1/Å and degrees.
    q: FloatArray
    phi: FloatArray
    #: What the times are of, and how many of them a block needs at least.
    _what, _least = "frames", 4

    @property
    @abstractmethod
    def times(self) -> FloatArray:
        """Times of the frames, or lags, in s."""

    @abstractmethod
    def subset(self, keep: NDArray[np.bool_]) -> Self:
        """The same data of some of the bins; ``keep`` (B,) bool."""

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.q)

    @property
    def ends(self) -> tuple[float, float]:
        """First and last time in s."""
        return float(self.times[0]), float(self.times[-1])

    def blocks(self, most: int) -> int:
        """Number of blocks of frames (of lags) that the data allow, at most ``most`` and at least 2."""
        return max(2, min(most, len(self.times) // self._least))

    def block_ends(self, blocks: int) -> tuple[FloatArray, FloatArray]:
        """First and last time of every block in s, (blocks,) each."""
        edges = np.rint(np.linspace(0, len(self.times), blocks + 1)).astype(int)
        return self.times[edges[:-1]], self.times[edges[1:] - 1]

    def block_name(self, k: int, blocks: int) -> str:
        """``"the frames from 1 to 10 s"``."""
        first, last = self.block_ends(blocks)
        return f"the {self._what} from {first[k]:.4g} to {last[k]:.4g} s"

    def places(self, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Block of t2 and block of t1 of every tile, (T,) each."""
        return np.tril_indices(blocks)


@dataclass(frozen=True, eq=False)
class Problem(BinData):
    """Everything a two-time fit needs, in arrays."""

    model: Any  #: TwoTimeModel
    table: ParameterTable
    #: (B, N, N): c2 of each bin, rows t2; only t1 < t2 is read; a pixel of exactly 0 is unmeasured.
    data: NDArray[np.float32]
    #: q, phi (B,): 1/Å and degrees.
    q: FloatArray
    phi: FloatArray
    t: FloatArray  #: (N,): Frame times in s.
    mask: FloatArray  #: (B, N): 1 for a used frame.
    sigma: FloatArray  #: (B,): Noise of one c2 pixel.
    holes: NDArray[np.int64]  #: (H, 3): Unmeasured pixels inside used frames, as (bin, t2, t1).
    gap: float | None = None  #: Gap of the shear cell in Å.
    at_once: int | None = None  #: Bins whose maps may be in memory together, where they are in a file.
    #: Layouts of columns met so far, kept by the kernels.
    layouts: dict[tuple[int, ...], Any] = field(default_factory=dict, repr=False)
    #: count, sum_data, sum_squares (B,): Number of used pixels, sum of c2 and of c2² over them.
    count: FloatArray = field(init=False)
    sum_data: FloatArray = field(init=False)
    sum_squares: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        kernels.require_threads()
        if len(self.t) < 3 or not np.all(np.diff(self.t) > 0):
            raise DataFormatError(
                f"{len(self.t)} frame times", where="t", expected="at least 3, increasing, in s"
            )
        if not np.all(self.sigma > 0):
            raise OptimizationError(
                "the noise of some bins is not positive", where="sigma", expected="sigma > 0 for every bin"
            )
        count, total, squares = self._moments().T
        np.subtract.at(count, self.holes[:, 0], 1.0)  # holes hold 0, so the two sums are right already
        for name, value in (("count", count), ("sum_data", total), ("sum_squares", squares)):
            object.__setattr__(self, name, value)

    def _moments(self) -> FloatArray:
        parts = [data_moments(self.data[some], self.mask[some]) for some in self.windows()]
        return np.concatenate(parts)

    def windows(self, most: int | None = None) -> Iterator[slice]:
        """Bins that are taken together: all, or so many at most, and no more than memory has room for."""
        few = min(n for n in (self.n_bins, self.at_once, most) if n is not None)
        for first in range(0, self.n_bins, few):
            yield slice(first, min(first + few, self.n_bins))
            if self.at_once is not None:
                let_go(self.data)

    @property
    def times(self) -> FloatArray:
        """Times of the frames in s, (N,)."""
        return self.t

    @property
    def n_data(self) -> int:
        """Number of used pixels, all bins together."""
        return round(float(self.count.sum()))

    @property
    def scale(self) -> Scale:
        """In which units the maps are."""
        return scale_of(float(self.sum_data.sum()) / max(float(self.count.sum()), 1.0))

    def every(self, stride: int) -> Problem:
        """Every ``stride``-th frame: the same model at fewer times, to rank start values quickly."""
        keep = slice(stride // 2, None, stride)
        parts = [np.ascontiguousarray(self.data[some, keep, keep]) for some in self.windows(1)]
        return self.thinned(stride, np.concatenate(parts))

    def thinned(self, stride: int, data: NDArray[np.float32]) -> Problem:
        """The problem of every ``stride``-th frame, its maps given."""
        keep = slice(stride // 2, None, stride)
        inside = (self.holes[:, 1:] % stride == stride // 2).all(axis=1)
        holes = self.holes[inside].copy()
        holes[:, 1:] //= stride
        mask = np.ascontiguousarray(self.mask[:, keep])
        return Problem(
            self.model, self.table, data, self.q, self.phi, self.t[keep], mask, self.sigma, holes, self.gap
        )

    def subset(self, keep: NDArray[np.bool_]) -> Problem:
        """See :meth:`BinData.subset`."""
        if np.all(keep):
            return self
        holes = self.holes[keep[self.holes[:, 0]]]
        holes[:, 0] = (np.cumsum(keep) - 1)[holes[:, 0]]
        data: Any = self.data  # maps, or what stands for them
        return replace(
            self, data=data.subset(keep) if hasattr(data, "subset") else data[keep], q=self.q[keep], phi=self.phi[keep], mask=self.mask[keep],
            sigma=self.sigma[keep], holes=holes, at_once=None, layouts={},
        )  # fmt: skip


def require_lags(lags: int, parameters: int) -> None:
    """Refuse a fit of no more lags than parameters."""
    if lags <= parameters:
        raise DataFormatError(
            f"only {lags} lags can be used", where="g2", expected="more than there are parameters"
        )


@dataclass(frozen=True, eq=False)
class OneTimeProblem(BinData):
    """g2 of B bins at K lags."""

    model: Any  #: OneTimeModel
    table: ParameterTable
    tau: FloatArray  #: (K,): Lags in s.
    g2: FloatArray  #: (B, K): Unused entries hold any finite number.
    weight: FloatArray  #: (B, K): 1/err² of the used entries, 0 for the others.
    #: q, phi (B,): 1/Å and degrees.
    q: FloatArray
    phi: FloatArray
    errors_known: bool = True  #: Whether the weights come from measured errors.
    #: Of ``contrast`` and ``offset``, beyond what the table says.
    levels: Mapping[str, Any] = field(default_factory=dict)
    _what, _least = "lags", 2

    def __post_init__(self) -> None:
        require_lags(self.n_data, len(self.table))

    @property
    def times(self) -> FloatArray:
        """Lags in s, (K,)."""
        return self.tau

    @property
    def n_data(self) -> int:
        """Number of used entries."""
        return int(np.count_nonzero(self.weight))

    @property
    def count(self) -> FloatArray:
        """Used entries of each bin."""
        return np.asarray(np.count_nonzero(self.weight, axis=1).astype(float))

    @property
    def scale(self) -> Scale:
        """In which units g2 is."""
        return scale_of(float(np.sum(self.weight * self.g2) / np.sum(self.weight)))

    def places(self, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A tile is a block of lags."""
        return np.arange(blocks), np.arange(blocks)

    def subset(self, keep: NDArray[np.bool_]) -> OneTimeProblem:
        """See :meth:`BinData.subset`."""
        g2, weight, q, phi = (a[keep] for a in (self.g2, self.weight, self.q, self.phi))
        levels = {name: request.subset(keep) for name, request in self.levels.items()}
        model = self.model.subset(keep) if hasattr(self.model, "subset") else self.model
        return replace(self, model=model, g2=g2, weight=weight, q=q, phi=phi, levels=levels)

    def block_products(self, z: FloatArray, blocks: int) -> FloatArray:
        """Weighted sums of z zᵀ, z (B, R, K), over each block of lags, (B, blocks, R, R)."""
        weighted = z * self.weight[:, None, :]
        edges = np.rint(np.linspace(0, z.shape[2], blocks + 1)).astype(int)
        parts = [weighted[:, :, i:j] @ z[:, :, i:j].transpose(0, 2, 1) for i, j in pairwise(edges)]
        return np.stack(parts, axis=1)


@nb.njit(cache=True, nogil=True, parallel=LOOPS, fastmath={"reassoc", "contract", "nsz", "arcp"})
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
