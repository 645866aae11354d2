"""Which maps can be used: dead bins, constant bins, NaN pixels, and which triangle is populated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.dataset import ATTRS
from heterodyne_nb.data.door import over_runs
from heterodyne_nb.data.formats.base import MapRef
from heterodyne_nb.errors import DataWarning, warn

_PROBE = 12  # frames along each side of a probed block
_CONFIRM = 2048  # maps up to this many frames are read whole before they are called dead
_CHUNK_LIMIT = 32e6  # bytes: a probe must not unpack chunks larger than this
#: A mean correlation above the second is not normalised, one below the first has its baseline at 0.
BASELINE_0, NOT_NORMALISED = 0.5, 3.0


@dataclass(frozen=True)
class MapVerdict:
    """What is wrong with one map: ``""``, ``"all NaN"`` or ``"constant"``, and its NaN pixels."""

    dead: str
    n_nan: int
    n_pixels: int


def inspect_map(values: np.ndarray) -> MapVerdict:
    """Judge one map of shape (N, N); the diagonal does not count.

    Returns
    -------
    MapVerdict
        Dead when no pixel off the diagonal is finite, or when all are equal.
    """
    n = values.shape[0]
    diagonal = np.einsum("ii->i", values)
    total = float(values.sum())
    if n < 3 or (np.isfinite(total) and not _all_equal(values)):
        return MapVerdict("", 0, n * n - n)
    finite = np.isfinite(values)
    bad_diagonal = int(n - np.isfinite(diagonal).sum())
    n_nan = int(values.size - finite.sum()) - bad_diagonal
    off = values[finite & ~np.eye(n, dtype=bool)]
    if off.size == 0:
        return MapVerdict("all NaN", n_nan, n * n - n)
    if off.size > 1 and np.all(off == off[0]):
        return MapVerdict("constant", n_nan, n * n - n)
    return MapVerdict("", n_nan, n * n - n)


def _all_equal(values: np.ndarray) -> bool:
    """Whether everything off the diagonal is one value, looking at two rows before all."""
    first = values[0, 1:]
    return bool(np.all(first == first[0])) and bool(np.all(values[-1, :-1] == first[0]))


def report_map(verdict: MapVerdict, label: str, source: str) -> None:
    """Warn about a dead map or NaN pixels, naming file and bin; silent when all is well."""
    if verdict.dead:
        text = f"{source}: the two-time map of bin {label} is {verdict.dead}; the bin is left out"
    elif verdict.n_nan:
        share = 100.0 * verdict.n_nan / verdict.n_pixels
        text = (
            f"{source}: the two-time map of bin {label} has {verdict.n_nan} NaN pixels "
            f"({share:.3g} %); they are masked and the rest is used"
        )
    else:
        return
    warn(text, DataWarning)


def label_of(q: float, phi: float) -> str:
    """A bin in words."""
    return f"q = {q:.5g} 1/Å, phi = {phi:.5g}°"


@over_runs
def check_maps(ds: xr.Dataset) -> xr.Dataset:
    """Load each map once, warn about dead bins and NaN pixels, and mark what cannot be used.

    Parameters
    ----------
    ds : Dataset
        With ``c2(q, phi, t1, t2)`` or ``c2(bin, t1, t2)``.

    Returns
    -------
    Dataset
        The same with ``usable`` up to date; dead maps held in memory become NaN.
        Maps on disk are read one at a time and not kept.
    """
    if "c2" not in ds:
        return ds
    c2 = ds["c2"]
    lead = c2.dims[:-2]
    in_memory = isinstance(c2.variable._data, np.ndarray)
    usable = _usable_array(ds, lead)
    dead = np.zeros_like(usable)
    for where in zip(*np.nonzero(usable), strict=True):
        one = c2.isel(dict(zip(lead, where, strict=True)))
        verdict = inspect_map(one.values)
        if in_memory or hasattr(c2.variable._data, "dask") or verdict.dead == "constant":
            report_map(verdict, label_of(float(one["q"]), float(one["phi"])), source_of(ds))
        dead[where] = bool(verdict.dead)
    if in_memory and dead.any():
        values = c2.values.copy()
        values[dead] = np.nan
        ds = ds.assign(c2=c2.copy(data=values))
    return ds.assign(usable=(lead, usable & ~dead, ATTRS["usable"]))


def source_of(ds: xr.Dataset) -> str:
    """Name of the file a dataset came from, for messages."""
    return str(ds.attrs.get("source") or "dataset")


def _usable_array(ds: xr.Dataset, lead: tuple) -> np.ndarray:
    if "usable" in ds:
        return ds["usable"].transpose(*lead).values.copy()
    return np.ones([ds.sizes[d] for d in lead], dtype=bool)


def probe_map(h5file: h5py.File, ref: MapRef, n_frames: int) -> tuple[MapRef, str]:
    """Look at a few small blocks of one map: which triangle, which diagonal, is it dead?

    Returns
    -------
    ref : MapRef
        With `triangle` and `zero_diagonal` set.
    dead : str
        ``""``, ``"all NaN"``, ``"constant"`` or ``"empty: nothing has been written to it"``.
    """
    node = h5file[ref.path]
    if node.chunks is not None and node.id.get_storage_size() == 0:
        return ref, "empty: nothing has been written to it"
    if _too_large_to_probe(node):
        return ref, ""
    up, low, diagonal = _probed(h5file, ref, n_frames)
    kind = _which(up, low)
    if kind == "full" and ref.said and not np.array_equal(up, low, equal_nan=True):
        kind = ref.said
    ref = ref.with_(triangle=kind, zero_diagonal=not np.any(diagonal))
    return ref, _dead(h5file, ref, n_frames, low if ref.triangle == "lower" else up)


def _probed(h5file: h5py.File, ref: MapRef, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values above and below the diagonal and on it, from as few blocks as show that the map is alive."""
    up, low, diagonal = (np.empty(0, np.float32) for _ in range(3))
    for rows, cols in _blocks(n):
        upper = ref.read(h5file, rows, cols)
        lower = upper.T if rows == cols else ref.read(h5file, cols, rows).T
        row, col = np.ogrid[rows, cols]
        above = row < col
        up, low = np.r_[up, upper[above]], np.r_[low, lower[above]]
        diagonal = np.r_[diagonal, upper[row == col]]
        if _varies(up) or _varies(low):
            break
    return up, low, diagonal


def _varies(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(np.any(finite != finite[0]))


def _too_large_to_probe(node: h5py.Dataset) -> bool:
    packed = node.chunks is not None and node.compression is not None
    return packed and float(np.prod(node.chunks)) * node.dtype.itemsize > _CHUNK_LIMIT


def _blocks(n: int) -> list[tuple[slice, slice]]:
    """Blocks on the diagonal, then above it, spread over the map."""
    size = min(_PROBE, n)
    starts = sorted({0, (n - size) // 3, 2 * (n - size) // 3, n - size})
    parts = [slice(s, s + size) for s in starts]
    return [*zip(parts, parts, strict=True), *pairwise(parts)]


def _which(upper: np.ndarray, lower: np.ndarray) -> str:
    """The half that is populated; the other one holds nothing where it is all of one value (0, NaN, 1, −1)."""
    if _varies(upper) != _varies(lower):
        return "upper" if _varies(upper) else "lower"
    for half, other, name in ((upper, lower, "upper"), (lower, upper, "lower")):
        if np.any(np.nan_to_num(half)) and not np.any(np.nan_to_num(other)):
            return name
    return "full"


def tell_odd_values(mean: float, error: float, where: str, what: str, said: float = 1.0) -> str:
    """Warn where a correlation is not what its file says: around 0, around 2, not normalised; the note in short.

    Parameters
    ----------
    mean, error : float
        Of values at long delays, as read, and how well that is known.
    said : float
        Baseline that the file states; 1 was added to values of one that is 0.
    """
    low, high = mean - 3 * error, mean + 3 * error
    if high < BASELINE_0:
        told = f"lie around {mean:.2g}, as those of a baseline of 0 do"
    elif said == 0 and low > 1.75:
        told = f"lie around {mean - 1:.3g} in the file, which says that their baseline is 0"
    elif low > NOT_NORMALISED:
        told = f"lie around {mean:.3g}: they are not normalised"
    else:
        return ""
    name = what.split()[0]
    warn(
        f"{where}: the values of {what} {told}, where a baseline of 1 is expected; they are read as they are "
        f"(ds.assign({name}=…) mends them)",
        DataWarning,
    )
    return f"{name} lies around {mean:.3g}"


def far_values(h5file: h5py.File, ref: MapRef, n: int) -> tuple[np.ndarray, bool]:
    """Values of a map at its longest lags, or at short ones where those hold nothing; whether its halves differ."""
    if _too_large_to_probe(h5file[ref.path]):
        return np.empty(0), False
    near, far = slice(0, min(_PROBE, n)), slice(max(n - _PROBE, 0), n)
    here, there = (
        ref.read(h5file, near, near),
        ref.read(h5file, *((far, near) if ref.triangle == "lower" else (near, far))),
    )
    above = np.triu(np.ones(here.shape, bool), 1)
    known = above & np.isfinite(here) & np.isfinite(here.T)
    unlike = ~np.isclose(here[known], here.T[known], rtol=1e-3)
    differ = ref.triangle == "full" and bool(2 * unlike.sum() > unlike.size)
    row, col = np.ogrid[near, far] if ref.triangle != "lower" else np.ogrid[far, near]
    off = row > col if ref.triangle == "lower" else row < col
    for values in (there[off], here[above.T if ref.triangle == "lower" else above]):
        values = values[np.isfinite(values)].astype(float) + ref.add
        if values.size > 1 and np.any(values != values[0]):
            return values, differ
    return np.empty(0), differ


def _dead(h5file: h5py.File, ref: MapRef, n: int, probed: np.ndarray) -> str:
    """A map that looks dead where probed is read whole before judging, unless it is very large."""
    if n < 3 or _varies(probed):
        return ""
    if n <= _CONFIRM:
        whole = ref.read(h5file, slice(0, n), slice(0, n))
        row, col = np.ogrid[:n, :n]
        probed = whole[row > col] if ref.triangle == "lower" else whole[row < col]
        if _varies(probed):
            return ""
    return "constant" if np.isfinite(probed).any() else "all NaN"


def tidy_map(values: np.ndarray) -> str:
    """Make one map in memory symmetric, in place, and say which triangle it came with.

    Returns
    -------
    str
        ``"full"``, ``"upper"`` or ``"lower"``. A diagonal of zeros becomes NaN.
    """
    upper = np.triu_indices(values.shape[0], 1)
    kind = _which(values[upper], values.T[upper])
    if kind == "upper":
        values.T[upper] = values[upper]
    elif kind == "lower":
        values[upper] = values.T[upper]
    if not np.any(np.diagonal(values)):
        np.fill_diagonal(values, np.nan)
    values[~np.isfinite(values)] = np.nan
    return kind
