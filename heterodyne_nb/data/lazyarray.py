"""Arrays that are read, or computed, block by block when they are looked at: maps on disk, bins in a row, g2 of maps."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray, CachingFileManager
from xarray.backends.locks import HDF5_LOCK
from xarray.core import indexing

from heterodyne_nb import remote
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import MapRef
from heterodyne_nb.data.quality import inspect_map, report_map
from heterodyne_nb.errors import DataFormatError, HeterodyneError
from heterodyne_nb.guard import guarded
from heterodyne_nb.remote import Place

_GAP = 64  # frames that are read along rather than split a read in two
_TILE = 256  # frames along a side of the tiles that are mirrored in memory


class BinArray(BackendArray):
    """A lazy array of bins, each with `inner` axes; a subclass says how one bin is read."""

    inner = 2
    shape: tuple[int, ...]
    dtype: np.dtype

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        """The wanted indices along each inner axis of the bin at a place."""
        raise NotImplementedError

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        chosen = [np.arange(n)[k] for k, n in zip(key, self.shape, strict=True)]
        wanted = [np.atleast_1d(indices) for indices in chosen]
        bins, rest = wanted[: -self.inner], wanted[-self.inner :]
        out = np.empty([w.size for w in wanted], self.dtype)
        for at in np.ndindex(*out.shape[: len(bins)]):
            out[at] = self.read_bin(tuple(int(b[i]) for b, i in zip(bins, at, strict=True)), *rest)
        return out.reshape([n for indices in chosen for n in indices.shape])


class TwoTimeArray(BinArray):
    """The maps of many bins as one lazy array of shape (*bins, N, N), float32, symmetric.

    Parameters
    ----------
    path : str
        The HDF5 file.
    cells : ndarray of object
        A :class:`MapRef` a bin, None where there is no map (read as NaN).
    n_frames : int
        N.
    locking : bool, optional
        Use HDF5's file locks, which some network drives do not have.

    Notes
    -----
    A triangle is mirrored while reading: a block and its mirror block are read, never a whole map.
    Reads hold xarray's HDF5 lock one bin at a time, so the array may be used from several threads.
    """

    def __init__(self, path: str | Place, cells: np.ndarray, n_frames: int, *, locking: bool = True) -> None:
        self.path, self.cells = remote.absolute(path), cells
        options = {} if locking else {"locking": False}
        self.manager = CachingFileManager(hdf.opened_h5, self.path, mode="r", kwargs=options)
        self.shape = (*cells.shape, n_frames, n_frames)
        self.dtype = np.dtype(np.float32)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        ref, (rows, cols) = self.cells[place], wanted
        if ref is None or not rows.size or not cols.size:
            return np.full((rows.size, cols.size), np.nan, self.dtype)
        where = f"{self.path.name}:/{ref.path.strip('/')}"
        try:
            with HDF5_LOCK:
                block = read_outer(self.manager.acquire(), ref, rows, cols)
        except (HeterodyneError, Warning):
            raise
        except Exception as error:
            raise hdf.unreadable(error, where) from error
        if block.shape == self.shape[-2:]:
            verdict = inspect_map(block)
            report_map(verdict, ref.label, self.path.name)
            if verdict.dead:
                block[...] = np.nan
        return block

    def close(self) -> None:
        """Close the file; it opens again when something is read."""
        self.manager.close()


class DatasetArray(BackendArray):
    """One dataset of a file as a lazy array; leading axes of length 1 are left out or added."""

    def __init__(self, path: str | Place, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.key, self.shape, self.dtype = remote.absolute(path), key, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._block
        )

    def _block(self, key: tuple[Any, ...]) -> np.ndarray:
        where = f"{self.path.name}:/{self.key.strip('/')}"
        with guarded(where, f"values of shape {self.shape}"), hdf.open_h5(self.path) as h5file:
            node = h5file[self.key]
            lead = node.ndim - len(self.shape)
            if lead < 0:
                return np.reshape(node[()], self.shape)[key]
            return node[(*[0] * lead, *key)]


def checksum(tile: np.ndarray) -> int:
    """CRC-32 of the values of a piece of a map."""
    return zlib.crc32(np.ascontiguousarray(tile, tile.dtype.newbyteorder("<")).data)


class SealedMaps(BinArray):
    """The maps of a file of ours as a lazy array; each tile that is read is held against its checksum."""

    def __init__(self, variable: xr.Variable, sums: np.ndarray, tile: int, name: str) -> None:
        self.variable, self.sums, self.tile, self.name = variable, sums, tile, name
        self.shape, self.dtype = variable.shape, variable.dtype
        tiles = (*self.shape[:-2], *(-(-n // tile) for n in self.shape[-2:]))
        if sums.shape != tiles:
            raise DataFormatError(
                f"checksums of shape {sums.shape}", where=f"{name}:/c2", expected=f"{tiles}"
            )

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        rows, cols = wanted
        out, size = np.empty((rows.size, cols.size), self.dtype), self.tile
        for i in np.unique(rows // size):
            for j in np.unique(cols // size):
                tile = self._tile(place, int(i), int(j))
                at, inside = zip(*(_part(w, size * k, size) for w, k in ((rows, i), (cols, j))), strict=True)
                if all(isinstance(one, slice) for one in at):
                    out[at] = tile[inside]
                else:
                    whole = (np.arange(n)[one] for one, n in zip(at, out.shape, strict=True))
                    out[np.ix_(*whole)] = tile[inside[0]][:, inside[1]]
        return out

    def _tile(self, place: tuple[int, ...], i: int, j: int) -> np.ndarray:
        part = (slice(k * self.tile, (k + 1) * self.tile) for k in (i, j))
        with guarded(f"{self.name}:/c2", "maps written by heterodyne_nb, complete"):
            tile = self.variable[(*place, *part)].values
        if checksum(tile) != self.sums[(*place, i, j)]:
            raise DataFormatError(
                f"the map of bin {place} does not fit its checksum",
                where=f"{self.name}:/c2",
                expected="what heterodyne_nb wrote, unchanged",
                hint="the file was damaged after it was written: take another copy",
            )
        return tile


def _part(wanted: np.ndarray, first: int, size: int) -> tuple[Any, Any]:
    """Which of the wanted indices lie in a tile, and where in it: slices where they follow each other."""
    at = np.flatnonzero((wanted >= first) & (wanted < first + size))
    inside = wanted[at] - first
    if _consecutive(at) and _consecutive(inside):
        return slice(at[0], at[-1] + 1), slice(inside[0], inside[-1] + 1)
    return at, inside


def read_outer(h5file: h5py.File, ref: MapRef, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Rows × columns of the symmetric map, reading contiguous runs."""
    if _consecutive(rows) and _consecutive(cols):
        return read_block(h5file, ref, slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    row_set, row_back = np.unique(rows, return_inverse=True)
    col_set, col_back = np.unique(cols, return_inverse=True)
    out = np.empty((row_set.size, col_set.size), np.float32)
    for r in runs(row_set):
        for c in runs(col_set):
            block = read_block(h5file, ref, slice(*r), slice(*c))
            inside_r = np.flatnonzero((row_set >= r[0]) & (row_set < r[1]))
            inside_c = np.flatnonzero((col_set >= c[0]) & (col_set < c[1]))
            picked = block[np.ix_(row_set[inside_r] - r[0], col_set[inside_c] - c[0])]
            out[np.ix_(inside_r, inside_c)] = picked
    return out[np.ix_(row_back, col_back)]


def _consecutive(indices: np.ndarray) -> bool:
    return bool(np.all(np.diff(indices) == 1))


def as_slices(wanted: Iterable[np.ndarray]) -> list[slice | np.ndarray]:
    """Indices along each axis, as slices where they follow each other."""
    return [slice(int(w[0]), int(w[-1]) + 1) if w.size and _consecutive(w) else w for w in wanted]


def runs(indices: np.ndarray) -> list[tuple[int, int]]:
    """Half-open runs that cover sorted indices; gaps of up to 64 are read along."""
    breaks = np.flatnonzero(np.diff(indices) > _GAP) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(indices, breaks)]


def read_block(h5file: h5py.File, ref: MapRef, rows: slice, cols: slice) -> np.ndarray:
    """One contiguous block of the symmetric map, baseline 1, unmeasured diagonal NaN."""
    block = _mirrored(h5file, ref, rows, cols)
    if ref.add:
        block = block + np.float32(ref.add)
    if ref.zero_diagonal:
        same = np.arange(max(rows.start, cols.start), min(rows.stop, cols.stop))
        block[same - rows.start, same - cols.start] = np.nan
    if not np.isfinite(block.sum()):
        block[~np.isfinite(block)] = np.nan  # one meaning of "not measured", so no infinities
    return block


def _mirrored(h5file: h5py.File, ref: MapRef, rows: slice, cols: slice) -> np.ndarray:
    if ref.triangle == "full":
        return ref.read(h5file, rows, cols)
    above = rows.stop - 1 <= cols.start  # no pixel below the diagonal
    below = rows.start >= cols.stop - 1
    if ref.triangle == "lower":
        above, below = below, above
    if above:
        return ref.read(h5file, rows, cols)
    if below:
        return ref.read(h5file, cols, rows).T.copy()
    direct = ref.read(h5file, rows, cols)
    if rows == cols:
        _mirror_in_place(direct if ref.triangle == "upper" else direct.T)
        return direct
    mirror = ref.read(h5file, cols, rows).T
    row, col = np.ogrid[rows, cols]
    upper = row <= col if ref.triangle == "upper" else row >= col
    return np.where(upper, direct, mirror)


def _mirror_in_place(square: np.ndarray) -> None:
    """Copy what is above the diagonal below it, tile by tile (a whole transposed copy is far slower)."""
    n = square.shape[0]
    for i in range(0, n, _TILE):
        for j in range(i, n, _TILE):
            tile = square[i : i + _TILE, j : j + _TILE]
            if i == j:
                below = np.tril_indices(tile.shape[0], -1)
                tile[below] = tile.T[below]
            else:
                square[j : j + _TILE, i : i + _TILE] = tile.T


class StackedArray(BinArray):
    """The first two axes of a lazy variable as one; each bin reads alone."""

    def __init__(self, variable: xr.Variable) -> None:
        self.variable = variable
        n_q, n_phi, *rest = variable.shape
        self.shape, self.dtype, self.inner = (n_q * n_phi, *rest), variable.dtype, len(rest)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        where = (*divmod(place[0], self.variable.shape[1]), *as_slices(wanted))
        return self.variable.isel(dict(zip(self.variable.dims, where, strict=True))).values


def stack_lazily(variable: xr.Variable) -> xr.Variable:
    """The variable (q, phi, ...) as (bin, ...), still lazy."""
    lazy = indexing.MemoryCachedArray(indexing.LazilyIndexedArray(StackedArray(variable)))
    return xr.Variable(("bin", *variable.dims[2:]), lazy, variable.attrs)


class _G2OfMaps:
    """Computes g2 and its error of one bin from its map, once, and keeps the two curves."""

    def __init__(self, c2: xr.DataArray, mask: np.ndarray, usable: np.ndarray) -> None:
        self.c2, self.mask, self.usable = c2, mask, usable
        self.n_lags = c2.shape[-1] - 1
        self.kept: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.Lock())

    def curves(self, where: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """``(g2, error)`` of one bin at lags 1 .. N-1; NaN where the bin cannot be used."""
        from heterodyne_nb.data.cuts import g2_from_c2

        if not self.usable[where]:
            nothing = np.full(self.n_lags, np.nan)
            return nothing, nothing
        with self.lock:
            if where not in self.kept:
                one = self.c2.isel(dict(zip(self.c2.dims, where, strict=False)))
                self.kept[where] = g2_from_c2(one.values, self.mask)
            return self.kept[where]


class LazyG2Array(BinArray):
    """g2 (``part=0``) or its error (``part=1``) as a lazy array of shape (*bins, N-1)."""

    inner = 1

    def __init__(self, source: _G2OfMaps, part: int) -> None:
        self.source, self.part = source, part
        self.shape = (*source.c2.shape[:-2], source.n_lags)
        self.dtype = np.dtype(float)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        return self.source.curves(place)[self.part][wanted[0]]


def with_lazy_g2(ds: xr.Dataset) -> xr.Dataset:
    """Give a dataset ``g2`` and ``g2_err`` that are computed from ``c2`` when looked at.

    Parameters
    ----------
    ds : Dataset
        With ``c2``; ``mask`` and ``usable`` are respected. Earlier g2 variables are replaced.

    Returns
    -------
    Dataset
        With ``g2(…, tau)``, ``g2_err(…, tau)``, tau = dt, 2 dt, … (s). Their attribute
        ``origin`` says ``"computed from c2"``. Each map is read once, when its curve is wanted.
    """
    from heterodyne_nb.data.dataset import ATTRS

    c2 = ds["c2"]
    if c2.dims[-2:] != ("t1", "t2"):
        c2 = c2.transpose(*[d for d in c2.dims if d not in ("t1", "t2")], "t1", "t2")
    lead = c2.dims[:-2]
    if c2.shape[-1] < 2:
        return ds
    ds = ds.drop_vars(["g2", "g2_err", "tau"], errors="ignore")
    mask = ds["mask"].values if "mask" in ds else np.ones(c2.shape[-1], bool)
    usable = ds["usable"].transpose(*lead).values if "usable" in ds else np.ones(c2.shape[:-2], bool)
    source = _G2OfMaps(c2, mask, usable)
    tau = np.arange(1, c2.shape[-1]) * float(ds.attrs["dt"])
    origin = {"origin": "computed from c2"}
    lazy = {
        name: xr.Variable(
            (*lead, "tau"),
            indexing.MemoryCachedArray(indexing.LazilyIndexedArray(LazyG2Array(source, part))),
            {**ATTRS[name], **origin},
        )
        for part, name in enumerate(("g2", "g2_err"))
    }
    return ds.assign_coords(tau=("tau", tau, ATTRS["tau"])).assign(lazy)
