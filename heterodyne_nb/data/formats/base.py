"""What a layout is: a reader that hands on what a file says, and the parts that writers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.age_lag import EDGES
from heterodyne_nb.data.dataset import grid_of, levels, live_bins, stack_bins
from heterodyne_nb.data.door import checked, one_run
from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.units import QUANTITIES, Bins
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn

Index = tuple[int, ...]


@dataclass(frozen=True)
class MapRef:
    """Where the two-time map of one bin lies in a file, and how to understand it.

    Attributes
    ----------
    path : str
        HDF5 path of the dataset.
    before, after : tuple of int
        Indices before and after the two frame axes, for datasets that hold many maps.
    triangle : str
        Which part is populated: ``"full"``, ``"upper"`` (t2 > t1) or ``"lower"``.
    zero_diagonal : bool
        The diagonal holds zeros, that is nothing.
    add : float
        Added on reading: 1 where the file's baseline is 0.
    label : str
        The bin in words, for warnings.
    said : str
        Which triangle the file says is populated, where it says.
    """

    path: str
    before: Index = ()
    after: Index = ()
    triangle: str = "full"
    zero_diagonal: bool = False
    add: float = 0.0
    label: str = ""
    said: str = ""

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        """Shape of the map in the file."""
        shape = h5file[self.path].shape
        return shape[len(self.before) : len(shape) - len(self.after)]

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        """The block of the file as it is stored, float32."""
        block = h5file[self.path][(*self.before, rows, cols, *self.after)]
        return np.asarray(block, dtype=np.float32)

    def overlaps(self, part: tuple[slice, ...]) -> bool:
        """Whether some of this map lies within a part of its dataset."""
        last = len(part) - len(self.after)
        at = [*zip(self.before, part, strict=False), *zip(self.after, part[last:], strict=True)]
        return all(one.start <= i < one.stop for i, one in at)

    def with_(self, **changes: Any) -> MapRef:
        """A copy with some attributes changed."""
        return replace(self, **changes)


@dataclass(kw_only=True)
class Ingredients:
    """What a reader found, one entry a bin, in the units of the package.

    Attributes
    ----------
    bins : Bins
        q (1/Å; NaN where unknown), phi (degrees, any range) and the other coordinates of each bin.
    dt : float or None
        Time from frame to frame of the maps, s; None where the file does not say.
    maps : sequence of MapRef or None
        One map a bin, None where a bin has none; empty when the file has no maps.
    tau : ndarray of shape (n_tau,), optional
        Delays of the measured g2: seconds, or frames when `tau_in_frames`.
    g2, g2_err : ndarray of shape (n_tau, n_bin), optional
        As stored; (0, 0) means not measured.
    n_pixels : ndarray of shape (n_bin,), optional
        Detector pixels in each bin.
    mask : ndarray of shape (n_frames,), optional
        True where the frame is used.
    intensity : ndarray of shape (n,), optional
        Mean counts of each recorded frame, before any averaging of frames.
    tau_frame : float or None
        Time of one frame of `tau`, s, where it differs from `dt`.
    labels : ndarray of shape (n_bin,), optional
        Label of each bin in the file; 1, 2, … where not given.
    images : dict
        Pictures and curves of the whole run, by the name of their variable: paths of datasets, read when looked at.
    cells : (lag edges, age edges), optional
        Of maps that are averages over cells, in frames; the ages as sums of frame numbers (from 1) over 2.
    notes : dict
        What to tell about this file, its metadata included (becomes attributes).
    """

    bins: Bins
    dt: float | None
    maps: Sequence[MapRef | None] = ()
    tau: np.ndarray | None = None
    tau_in_frames: bool = True
    tau_frame: float | None = None
    g2: np.ndarray | None = None
    g2_err: np.ndarray | None = None
    n_pixels: np.ndarray | None = None
    mask: np.ndarray | None = None
    intensity: np.ndarray | None = None
    labels: np.ndarray | None = None
    images: dict[str, str] = field(default_factory=dict)
    cells: tuple[np.ndarray, np.ndarray] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_bin(self) -> int:
        """How many bins."""
        return self.bins.q.size


class Layout:
    """One layout of XPCS result files: a subclass says what it lacks and reads it."""

    name = ""

    def lacks(self, h5file: h5py.File) -> list[str]:
        """What keeps this file from having this layout; empty when it has it. Must be cheap."""
        raise NotImplementedError

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Everything but the maps' values, of the default analysis or the one of this name."""
        raise NotImplementedError

    def analyses(self, h5file: h5py.File) -> list[str]:
        """Names of the analyses in a file, the default one first; empty where a layout holds a single one."""
        return []


def lacking(h5file: h5py.File, *keys: str) -> list[str]:
    """Those of `keys` that the file has not; ``"a | b"`` asks for either."""
    return [key for key in keys if not any(_has(h5file, one.strip()) for one in key.split("|"))]


def _has(h5file: h5py.File, key: str) -> bool:
    try:
        return key in h5file
    except (KeyError, RuntimeError):  # a broken external link on the way
        return False


def bins_of_lists(q: np.ndarray, phi: np.ndarray | None = None) -> Bins:
    """Bins from one q and one phi for each; without phi it is 0, which is noted."""
    if phi is not None:
        return Bins(q, phi, {}, None, {})
    return Bins(q, np.zeros(q.size), {}, None, {"phi_origin": "not in the file: 0 assumed"})


def chosen(found: list[str], wanted: str | None, where: str) -> str:
    """The analysis to read: the one asked for, or the default; the others are named.

    Raises
    ------
    ConfigurationError
        There is none of that name.
    """
    if wanted is None:
        return found[0]
    if wanted not in found:
        raise ConfigurationError(
            f"there is no analysis {wanted!r}", where=where, expected=f"one of {', '.join(found)}"
        )
    return wanted


def stacked_maps(node: h5py.Dataset, order: str | None = None) -> list[MapRef]:
    """The maps of a dataset of shape (bins, N, N), (N, N, bins) or (N, N).

    Parameters
    ----------
    node : h5py.Dataset
        The stack.
    order : {"first", "last"}, optional
        Where the bins are; found from the shape when not given ("first" when both are possible).
    """
    shape = node.shape
    if len(shape) == 2 and shape[0] == shape[1]:
        return [MapRef(node.name)]
    if len(shape) != 3 or (shape[1] != shape[2] and shape[0] != shape[1]):
        raise DataFormatError(
            f"the shape is {shape}", where=hdf.place(node), expected="(bins, N, N) or (N, N, bins)"
        )
    if order is None:
        order = "first" if shape[1] == shape[2] else "last"
    if order == "first":
        return [MapRef(node.name, before=(i,)) for i in range(shape[0])]
    return [MapRef(node.name, after=(i,)) for i in range(shape[2])]


def by_label(refs: Iterable[tuple[int, MapRef]], n_label: int, where: str) -> list[MapRef | None]:
    """The map of each label (1, 2, …), None where there is none; refuses a label that no bin has, or two maps have."""
    maps: list[MapRef | None] = [None] * n_label
    for label, ref in refs:
        if not 1 <= label <= n_label or maps[label - 1] is not None:
            raise DataFormatError(
                f"there is a map of label {label}"
                if not 1 <= label <= n_label
                else f"two maps have label {label}",
                where=where,
                expected=f"labels from 1 to {n_label} (0 means unused), each once",
            )
        maps[label - 1] = ref
    return maps


@dataclass(frozen=True)
class FlippedMap(MapRef):
    """A map whose first row is the last frame (time origin in the lower left corner)."""

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        n = self.n_frames(h5file)[0]
        block = super().read(h5file, slice(n - rows.stop, n - rows.start), cols)
        return block[::-1]


@dataclass(frozen=True)
class TrainMean(MapRef):
    """The mean over a leading axis of repeats (pulse trains) of one bin's maps, NaN left out."""

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        shape = h5file[self.path].shape[1:]
        return shape[len(self.before) : len(shape) - len(self.after)]

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        block = h5file[self.path][(slice(None), *self.before, rows, cols, *self.after)]
        block = np.asarray(block, dtype=np.float64)
        known = np.isfinite(block)
        count = known.sum(axis=0)
        total = np.where(known, block, 0.0).sum(axis=0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).astype(np.float32)


@dataclass(frozen=True)
class LagAgeMap(MapRef):
    """A map stored as (lag, age), lag = t2 − t1 and age = (t1 + t2)/2; each pixel takes its bin's value.

    Attributes
    ----------
    lag_of : ndarray of int
        Index along the lag axis of each lag in frames, −1 where there is none.
    age_of : ndarray of int
        Index along the age axis of each sum of two frame numbers (from 0), −1 where there is none.
    """

    lag_of: np.ndarray = field(default_factory=lambda: np.empty(0, int), compare=False)
    age_of: np.ndarray = field(default_factory=lambda: np.empty(0, int), compare=False)

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        return self.lag_of.size, self.lag_of.size

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        row, col = np.ogrid[rows, cols]
        lag, age = self.lag_of[np.abs(col - row)], self.age_of[row + col]
        known = (lag >= 0) & (age >= 0)
        if not known.any():
            return np.full(lag.shape, np.nan, np.float32)
        lo_lag, hi_lag = int(lag[known].min()), int(lag[known].max()) + 1
        lo_age, hi_age = int(age[known].min()), int(age[known].max()) + 1
        stored = super().read(h5file, slice(lo_lag, hi_lag), slice(lo_age, hi_age))
        picked = stored[np.where(known, lag - lo_lag, 0), np.where(known, age - lo_age, 0)]
        return np.where(known, picked, np.float32(np.nan)).astype(np.float32)


@dataclass(frozen=True)
class BinTable:
    """The bins that a file will hold, and their places in a (q, phi) grid.

    Attributes
    ----------
    bins : Dataset
        The stacked form, live bins and cells with a measured g2 only, in the order of their labels.
    axes : two of (name, values, unit)
        The grid: q and phi, or the axes of the partition that the dataset names.
    cells : ndarray of int
        Place of each bin in the ravelled grid.
    partition : ndarray or None
        The label image of the file that the dataset came from.
    """

    bins: xr.Dataset
    axes: tuple[tuple[str, np.ndarray, str], tuple[str, np.ndarray, str]]
    cells: np.ndarray
    partition: np.ndarray | None = None

    @property
    def n_bin(self) -> int:
        """How many bins."""
        return self.cells.size

    def map_of(self, number: int) -> np.ndarray:
        """The (N, N) map of one bin, NaN and all, read when asked for."""
        return np.asarray(self.bins["c2"].isel(bin=number).values, dtype=np.float32)

    def roi_map(self) -> tuple[np.ndarray, str]:
        """Label image with the labels that the bins have now, and what is not known of it where it is made up."""
        if self.partition is not None and "label" in self.bins:
            labels = self.bins["label"].values.astype(int)
            new = np.zeros(int(max(self.partition.max(initial=0), labels.max(initial=0))) + 1, np.uint32)
            new[labels] = np.arange(1, self.n_bin + 1)
            new[0] = 0
            return new[self.partition.astype(int)], ""
        if pixels_known(self.bins):
            return roi_map(self.bins["n_pixels"].values), travel.ONLY_COUNTS
        return roi_map(np.ones(self.n_bin)), "nothing is known of the detector"

    @property
    def with_map(self) -> np.ndarray:
        """Numbers (from 0) of the bins that have a usable map."""
        if "c2" not in self.bins:
            return np.array([], dtype=int)
        return np.flatnonzero(live_bins(self.bins))


def to_write(ds: Any) -> tuple[xr.Dataset, BinTable]:
    """The dataset as the data model has it, and the bins of the file that it will be."""
    ds = checked(one_run(ds, "writing this layout"))
    return ds, bin_table(ds)


def bin_table(ds: xr.Dataset) -> BinTable:
    """Give each bin that holds anything a label and a place."""
    if EDGES[0] in ds:
        warn(
            "the layout has no place for cells of age and lag: neighbouring pixels of the written maps repeat, and a fit "
            "will take each as one",
            DataWarning,
        )
    stacked = stack_bins(ds, drop_dead=False)
    exists = np.zeros(stacked.sizes["bin"], dtype=bool)
    if "c2" in stacked:
        exists |= live_bins(stacked)
    if has_measured_g2(ds):
        exists |= np.isfinite(stacked["g2"].values).any(axis=1)
    if "n_pixels" in stacked and "comment" not in stacked["n_pixels"].attrs:
        exists |= stacked["n_pixels"].values > 0
    if not exists.any():
        raise DataFormatError("the dataset holds no data to write: every bin is empty or NaN")
    bins = stacked.isel(bin=np.flatnonzero(exists))
    partition = ds["dynamic_roi_map"].values if "dynamic_roi_map" in ds else None
    if "bin" in ds.dims:
        return _loose_table(bins, partition)
    return BinTable(bins, _q_phi(ds["q"].values, ds["phi"].values), np.flatnonzero(exists), partition)


def _q_phi(q: np.ndarray, phi: np.ndarray) -> Any:
    return ("q", q, QUANTITIES["q"].unit), ("phi", phi, QUANTITIES["phi"].unit)


def _loose_table(bins: xr.Dataset, partition: np.ndarray | None) -> BinTable:
    names = [n for n in str(bins.attrs.get("partition_axes", "")).split(", ") if n in bins.coords]
    grid = None if names else grid_of(bins["q"].values, bins["phi"].values)
    if grid is not None:
        return BinTable(bins, _q_phi(*grid[:2]), grid[2], partition)
    names = [*(names or ["q", "phi"]), "none"][:2]
    found = [levels(bins[n].values) if n in bins.coords else (np.zeros(1), np.zeros(1, int)) for n in names]
    units = [str(bins[n].attrs.get("units", "1")) if n in bins.coords else "1" for n in names]
    first, second = ((n, values, u) for n, (values, _), u in zip(names, found, units, strict=True))
    return BinTable(bins, (first, second), found[0][1] * second[1].size + found[1][1], partition)


def has_measured_g2(ds: xr.Dataset) -> bool:
    """Whether g2 is measured, not computed from the maps."""
    return "g2" in ds and ds["g2"].attrs.get("origin") != "computed from c2"


def pixels_known(bins: xr.Dataset) -> bool:
    """Whether n_pixels came from somewhere."""
    return "n_pixels" in bins and "comment" not in bins["n_pixels"].attrs


def upper_triangle(values: np.ndarray) -> np.ndarray:
    """The map with nothing (zero) below the diagonal, as correlators store it; a NaN diagonal is 0."""
    upper = np.triu(values)
    diagonal = np.einsum("ii->i", upper)
    if np.isnan(diagonal).all():
        diagonal[...] = 0
    return upper


def delays_in_frames(tau: np.ndarray, dt: float) -> np.ndarray:
    """Lags as whole frames where they are, as fractions of frames otherwise."""
    frames = tau / dt
    whole = np.rint(frames)
    return whole.astype(np.int64) if np.allclose(frames, whole, rtol=1e-9, atol=1e-9) else frames


def roi_map(n_pixels: np.ndarray) -> np.ndarray:
    """A label image, as square as it gets, with the right number of pixels of each label."""
    labels = np.repeat(np.arange(1, n_pixels.size + 1, dtype=np.uint32), n_pixels.astype(int))
    side = max(1, int(np.ceil(np.sqrt(labels.size))))
    image = np.zeros(side * side, dtype=np.uint32)
    image[: labels.size] = labels
    return image.reshape(side, side)
