"""From what a reader found in a file to the dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb.data.bins import grid_of
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, MapRef
from heterodyne_nb.data.model import ATTRS, make_dataset
from heterodyne_nb.data.quality import label_of, probe_map
from heterodyne_nb.data.twotime_array import TwoTimeArray
from heterodyne_nb.data.wrap import wrap_degrees
from heterodyne_nb.errors import DataFormatError, DataWarning, warn


@dataclass
class _Grid:
    """Where each bin goes: a (q, phi) grid, or the bins in a row."""

    q: np.ndarray
    phi: np.ndarray
    cells: np.ndarray
    shape: tuple[int, ...]

    def spread(self, values: np.ndarray, fill: Any) -> np.ndarray:
        """One value (or row) a bin, put in its cell."""
        values = np.asarray(values)
        out = np.full((int(np.prod(self.shape)), *values.shape[1:]), fill, values.dtype)
        out[self.cells] = values
        return out.reshape(*self.shape, *values.shape[1:])


def assemble(found: Ingredients, h5file: h5py.File, layout: str, dt: float | None = None) -> xr.Dataset:
    """The dataset of a file whose reader found `found`.

    Parameters
    ----------
    found : Ingredients
        One entry a bin.
    h5file : h5py.File
        Still open; a few small blocks of each map are looked at.
    layout : str
        Name of the reader.
    dt : float, optional
        Time from frame to frame that the user gives, s; overrides the file's.

    Raises
    ------
    DataFormatError
        No time step anywhere, maps of different sizes, or nothing usable in the file.
    """
    found = _without_nameless(found, h5file)
    phi = wrap_degrees(found.phi)
    grid = _grid(found, phi)
    step = _time_step(found, dt, h5file)
    refs, n_frames, dead = _look_at_maps(found, phi, h5file)
    notes = {"layout": layout, "source": Path(h5file.filename).name, **found.notes, **_map_notes(refs)}
    g2, g2_err, tau = _g2(found, step, dt)
    _refuse_nothing(refs, g2, dead, h5file)
    array = None
    if refs:
        locking = hdf.uses_locks(h5file)
        array = TwoTimeArray(h5file.filename, _cells(refs, grid), n_frames, locking=locking)
    if found.mask is not None and refs and len(found.mask) != n_frames:
        raise DataFormatError(
            f"the frame mask has {len(found.mask)} entries, the maps have {n_frames} frames",
            where=hdf.place(h5file),
        )
    ds = make_dataset(
        None if array is None else _lazy_maps(array),
        q=grid.q,
        phi=grid.phi,
        dt=step,
        g2=None if g2 is None else grid.spread(g2, np.nan),
        g2_err=None if g2_err is None else grid.spread(g2_err, np.nan),
        tau=tau,
        n_pixels=None if found.n_pixels is None else grid.spread(found.n_pixels, 0),
        mask=found.mask,
        usable=grid.spread(np.array([r is not None for r in refs]), False) if refs else None,
        bin_form=len(grid.shape) == 1,
        attrs=notes,
    )
    if found.intensity is not None and "t" in ds.dims:
        ds = _with_intensity(ds, found.intensity)
    if array is not None:
        ds.set_close(array.close)
    return ds


def _with_intensity(ds: xr.Dataset, counts: np.ndarray) -> xr.Dataset:
    """Add ``intensity(t)``; recorded frames that were averaged before correlating are averaged here too."""
    n_frames = ds.sizes["t"]
    together = counts.size // n_frames
    if together * n_frames != counts.size:
        note = f"not read: {counts.size} values for {n_frames} frames"
        return ds.assign_attrs(intensity_trace=note)
    return ds.assign(intensity=("t", counts.reshape(n_frames, together).mean(1), ATTRS["intensity"]))


def _without_nameless(found: Ingredients, h5file: h5py.File) -> Ingredients:
    """Leave out bins whose q or phi is NaN: some partitions list their empty bins so."""
    named = np.isfinite(found.q) & np.isfinite(found.phi)
    axes = () if found.cells is None else found.cells[:2]
    if not named.any() or not all(np.isfinite(axis).all() for axis in axes):
        raise DataFormatError(
            "q or phi of the bins is NaN", where=hdf.place(h5file), expected="a finite q and phi a bin"
        )
    if named.all():
        return found
    labels = (np.flatnonzero(~named) + 1).tolist()
    warn(f"{Path(h5file.filename).name}: bins {labels} have no q or no phi; they are left out", DataWarning)

    def kept(values: np.ndarray | None, axis: int = 0) -> np.ndarray | None:
        return None if values is None else np.compress(named, values, axis=axis)

    return replace(
        found,
        q=found.q[named],
        phi=found.phi[named],
        maps=[ref for ref, keep in zip(found.maps, named, strict=True) if keep] if found.maps else (),
        g2=kept(found.g2, 1),
        g2_err=kept(found.g2_err, 1),
        n_pixels=kept(found.n_pixels),
    )


def _grid(found: Ingredients, phi: np.ndarray) -> _Grid:
    if found.cells is None:
        grid = grid_of(found.q, phi)
    else:
        grid = _stated_grid(found)
    if grid is None:
        return _Grid(found.q, phi, np.arange(found.q.size), (found.q.size,))
    q_axis, phi_axis, cells = grid
    return _Grid(q_axis, phi_axis, cells, (q_axis.size, phi_axis.size))


def _stated_grid(found: Ingredients) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The layout's own grid, phi ascending after wrapping; None when it is mostly empty."""
    assert found.cells is not None
    q_axis, phi_axis, cells = found.cells
    if 2 * cells.size <= q_axis.size * phi_axis.size and cells.size > 1:
        return None
    wrapped = wrap_degrees(phi_axis)
    order = np.argsort(wrapped, kind="stable")
    rank = np.argsort(order, kind="stable")
    moved = (cells // phi_axis.size) * phi_axis.size + rank[cells % phi_axis.size]
    return q_axis, wrapped[order], moved


def _time_step(found: Ingredients, dt: float | None, h5file: h5py.File) -> float:
    step = dt if dt is not None else found.dt
    if step is None:
        raise DataFormatError(
            "the file does not say how long a frame lasts",
            where=hdf.place(h5file),
            hint="give it: open_dataset(path, dt=…) in seconds",
        )
    if not (np.isfinite(step) and step > 0):
        raise DataFormatError(
            f"the time from frame to frame is {step} s",
            where=hdf.place(h5file),
            expected="a positive time",
            hint="give it: open_dataset(path, dt=…) in seconds",
        )
    return float(step)


def _look_at_maps(
    found: Ingredients, phi: np.ndarray, h5file: h5py.File
) -> tuple[list[MapRef | None], int, int]:
    """Maps with their triangle known and the dead ones left out; N; how many were dead."""
    refs: list[MapRef | None] = list(found.maps)
    shapes: dict[tuple[int, int], MapRef] = {}
    for one in filter(None, refs):
        shapes.setdefault(one.n_frames(h5file), one)
    if not shapes:
        return [], 0, 0
    _check_shapes(shapes, h5file)
    n_frames = next(iter(shapes))[0]
    dead: dict[str, list[str]] = {}
    for i, ref in enumerate(refs):
        if ref is None:
            continue
        label = ref.label or label_of(float(found.q[i]), float(phi[i]))
        probed, verdict = _probe(h5file, ref.with_(label=label), n_frames)
        refs[i] = None if verdict else probed
        if verdict:
            dead.setdefault(verdict, []).append(label)
    for verdict, labels in dead.items():
        warn(
            f"{Path(h5file.filename).name}: left out, because its two-time map is {verdict}: "
            f"bin {', bin '.join(labels)}",
            DataWarning,
        )
    return refs, n_frames, sum(map(len, dead.values()))


def _probe(h5file: h5py.File, ref: MapRef, n_frames: int) -> tuple[MapRef, str]:
    try:
        return probe_map(h5file, ref, n_frames)
    except OSError as error:
        raise hdf.unreadable_map(error, hdf.place(h5file, ref.path)) from error


def _check_shapes(shapes: dict[tuple[int, int], MapRef], h5file: h5py.File) -> None:
    for shape, ref in shapes.items():
        if len(shape) != 2 or shape[0] != shape[1]:
            raise DataFormatError(
                f"the map has shape {shape}",
                where=hdf.place(h5file, ref.path),
                expected="a square map: frames × frames",
            )
    if len(shapes) > 1:
        sizes = ", ".join(f"{s[0]} ({ref.path.rpartition('/')[2]})" for s, ref in shapes.items())
        raise DataFormatError(
            f"maps have different numbers of frames: {sizes}", where=hdf.place(h5file), expected="one number"
        )


def _cells(refs: list[MapRef | None], grid: _Grid) -> np.ndarray:
    column = np.empty(len(refs), dtype=object)
    column[:] = refs
    return grid.spread(column, None)


def _lazy_maps(array: TwoTimeArray) -> xr.Variable:
    n_frames = array.shape[-1]
    dims = (*[f"d{i}" for i in range(array.cells.ndim)], "t1", "t2")
    tile = n_frames if n_frames <= 4096 else 2048
    chunks = {**dict.fromkeys(("q", "phi", "bin"), 1), "t1": tile, "t2": tile}
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), encoding={"preferred_chunks": chunks})


def _map_notes(refs: list[MapRef | None]) -> dict[str, str]:
    kinds = sorted({ref.triangle for ref in refs if ref is not None})
    if not kinds:
        return {}
    notes = {"triangle": kinds[0] if len(kinds) == 1 else "mixed: " + ", ".join(kinds)}
    if any(ref is not None and ref.zero_diagonal for ref in refs):
        notes["diagonal"] = "zero in the file, read as NaN"
    return notes


def _g2(
    found: Ingredients, step: float, dt: float | None
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Measured g2 as (bin, tau), the unmeasured as NaN, tau in s and ascending."""
    if found.g2 is None or found.tau is None:
        return None, None, None
    g2 = np.array(found.g2, dtype=float).T
    err = np.full(g2.shape, np.nan) if found.g2_err is None else np.array(found.g2_err, dtype=float).T
    missing = (g2 == 0) & ((err == 0) | np.isnan(err))
    g2[missing], err[missing] = np.nan, np.nan
    frame = step
    if found.tau_frame is not None:
        frame = found.tau_frame if dt is None or found.dt is None else found.tau_frame * dt / found.dt
    tau = found.tau * frame if found.tau_in_frames else found.tau
    order = np.argsort(tau, kind="stable")
    order = order[tau[order] > 0]  # lag 0 holds the shot noise, not the sample
    return g2[:, order], err[:, order], tau[order]


def _refuse_nothing(refs: list[MapRef | None], g2: np.ndarray | None, dead: int, h5file: h5py.File) -> None:
    if any(ref is not None for ref in refs) or (g2 is not None and np.isfinite(g2).any()):
        return
    if dead:
        raise DataFormatError(
            f"nothing in the file can be used: all {dead} two-time maps are NaN, constant or not yet written",
            where=hdf.place(h5file),
            expected="at least one map, or one g2 curve, with data",
        )
    raise DataFormatError(
        "the file holds no correlation: no two-time map and no g2 with finite values",
        where=hdf.place(h5file),
    )
