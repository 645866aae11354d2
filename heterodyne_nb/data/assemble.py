"""From what a reader found in a file to the dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb.data.age_lag import with_cells
from heterodyne_nb.data.dataset import ATTRS, IMAGES, grid_of, make_dataset, wrap_degrees
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, MapRef
from heterodyne_nb.data.lazyarray import DatasetArray, TwoTimeArray
from heterodyne_nb.data.quality import far_values, label_of, probe_map, tell_odd_values
from heterodyne_nb.data.units import check_q, warn_if_odd_delays
from heterodyne_nb.errors import DataFormatError, DataWarning, HeterodyneError, warn


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


def assemble(
    found: Ingredients,
    h5file: h5py.File,
    layout: str,
    dt: float | None = None,
    *,
    source: Any = None,
    keep_empty: bool = False,
) -> xr.Dataset:
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
    source : path or Remote, optional
        Where the maps are read from later; the path of `h5file` by default.
    keep_empty : bool, optional
        Keep rings and sectors in which no bin holds any data.

    Raises
    ------
    DataFormatError
        No time step anywhere, maps of different sizes, or nothing usable in the file.
    """
    found = _without_nameless(found, h5file)
    phi = wrap_degrees(found.bins.phi)
    check_q(found.bins.q, Path(h5file.filename).name)
    grid = _grid(found, phi)
    step = _time_step(found, dt, h5file)
    refs, n_frames, dead = _look_at_maps(found, phi, h5file)
    notes = {
        "layout": layout,
        "source": Path(h5file.filename).name,
        **found.bins.notes,
        **found.notes,
        **_map_notes(refs),
    }
    g2, g2_err, tau = _g2(found, step, dt, hdf.place(h5file, "g2"))
    _refuse_nothing(refs, g2, dead, h5file)
    if odd := _odd_values([r for r in refs if r is not None], g2, n_frames, h5file):
        notes["odd_values"] = odd
    array = None
    if refs:
        locking = hdf.uses_locks(h5file)
        array = TwoTimeArray(source or h5file.filename, _cells(refs, grid), n_frames, locking=locking)
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
        others={
            name: (grid.spread(values, np.nan), unit) for name, (values, unit) in found.bins.others.items()
        },
        attrs=notes,
    )
    if found.cells is not None and refs:
        ds = with_cells(ds, *(edges * step for edges in found.cells))
    if found.intensity is not None:
        ds = _with_intensity(ds, found.intensity)
    if found.images:
        ds = _with_images(ds, found, h5file, source or h5file.filename)
        label = np.arange(1, found.n_bin + 1) if found.labels is None else found.labels
        if "dynamic_roi_map" in ds:
            ds = ds.assign(label=(ds["n_pixels"].dims, grid.spread(label, 0), ATTRS["label"]))
    if not keep_empty:
        ds = _without_empty(ds)
    if array is not None:
        ds.set_close(array.close)
    return ds


def _with_intensity(ds: xr.Dataset, counts: np.ndarray) -> xr.Dataset:
    """Add ``intensity(t)``; recorded frames that were averaged before correlating are averaged here too."""
    if "t" not in ds.dims:
        return ds.assign(recorded_intensity=("recorded_frame", counts, ATTRS["intensity"]))
    n_frames = ds.sizes["t"]
    together = counts.size // n_frames
    if together * n_frames != counts.size:
        note = f"not read: {counts.size} values for {n_frames} frames"
        return ds.assign_attrs(intensity_trace=note)
    return ds.assign(intensity=("t", counts.reshape(n_frames, together).mean(1), ATTRS["intensity"]))


def _with_images(ds: xr.Dataset, found: Ingredients, h5file: h5py.File, source: Any) -> xr.Dataset:
    """Add the pictures and curves of the whole run; they stay on disk. One of another shape is named and left out."""
    sizes: dict[str, int] = {}
    for name, key in found.images.items():
        node = h5file[key]
        wanted = IMAGES[name]
        shape = (1,) * (len(wanted) - node.ndim) + node.shape
        lead = len(shape) - len(wanted)
        here = dict(zip(wanted, shape[lead:], strict=True))
        if set(shape[:lead]) - {1} or any(sizes.get(d, n) != n for d, n in here.items()):
            ds = ds.assign_attrs({f"{name}_left_out": f"its shape {node.shape} does not fit"})
            continue
        sizes |= here
        array = DatasetArray(source, key, tuple(here.values()), node.dtype)
        attrs = {"long_name": name.replace("_", " "), "units": "1"}
        if unit := hdf.unit_of(node):
            attrs["file_units"] = unit
        lazy = indexing.MemoryCachedArray(indexing.LazilyIndexedArray(array))
        ds = ds.assign({name: xr.Variable(wanted, lazy, attrs)})
    return ds


def _without_empty(ds: xr.Dataset) -> xr.Dataset:
    """Leave out rings and sectors in which nothing was measured, and say which."""
    if "bin" in ds.dims:
        return ds
    held = ds["usable"].values.copy() if "usable" in ds else np.zeros(ds["n_pixels"].shape, bool)
    if "g2" in ds and ds["g2"].attrs.get("origin") == "measured":
        held |= np.isfinite(ds["g2"].values).any(axis=-1)
    gone = []
    for axis, name in enumerate(("q", "phi")):
        kept = held.any(axis=1 - axis)
        if not kept.all():
            gone.append(f"{name} = {', '.join(f'{v:.5g}' for v in ds[name].values[~kept])}")
            ds = ds.isel({name: np.flatnonzero(kept)})
    return ds.assign_attrs(no_data=f"left out: {'; '.join(gone)}") if gone else ds


def _without_nameless(found: Ingredients, h5file: h5py.File) -> Ingredients:
    """Leave out bins whose q or phi is NaN: some partitions list their empty bins so."""
    bins = found.bins
    if bins.others and np.isnan(bins.q).all():  # a partition without q, which has been said
        return found
    named = np.isfinite(bins.q) & np.isfinite(bins.phi) & (bins.q != 0)
    axes = () if bins.cells is None else bins.cells[:2]
    if not named.any() or not all(np.isfinite(axis).all() for axis in axes):
        raise DataFormatError(
            "q or phi of the bins is NaN, or q is 0",
            where=hdf.place(h5file),
            expected="a finite q above 0 and a finite phi a bin",
        )
    if not bins.others and "phi_origin" not in bins.notes:
        _tell_twins(bins.q[named], wrap_degrees(bins.phi[named]), np.flatnonzero(named) + 1, h5file)
    if named.all():
        return found
    labels = np.flatnonzero(~named) + 1
    warn(
        f"{Path(h5file.filename).name}: bins {labels.tolist()} have no q or no phi; they are left out",
        DataWarning,
    )

    def kept(values: np.ndarray | None, axis: int = 0) -> np.ndarray | None:
        return None if values is None else np.compress(named, values, axis=axis)

    others = {name: (values[named], unit) for name, (values, unit) in bins.others.items()}
    return replace(
        found,
        bins=bins._replace(q=bins.q[named], phi=bins.phi[named], others=others, cells=None),
        maps=[ref for ref, keep in zip(found.maps, named, strict=True) if keep] if found.maps else (),
        g2=kept(found.g2, 1),
        g2_err=kept(found.g2_err, 1),
        n_pixels=kept(found.n_pixels),
        labels=np.flatnonzero(named) + 1,
    )


def _tell_twins(q: np.ndarray, phi: np.ndarray, labels: np.ndarray, h5file: h5py.File) -> None:
    """Warn where two bins are at the same place."""
    _, at, n = np.unique(np.stack([q, phi]), axis=1, return_inverse=True, return_counts=True)
    twins = labels[n[at.ravel()] > 1]
    if twins.size:
        warn(
            f"{Path(h5file.filename).name}: bins {twins.tolist()[:8]} share their q and phi with another bin",
            DataWarning,
        )


def _grid(found: Ingredients, phi: np.ndarray) -> _Grid:
    if found.bins.others:
        grid = None
    elif found.bins.cells is None:
        grid = grid_of(found.bins.q, phi)
    else:
        grid = _stated_grid(found)
    if grid is None:
        return _Grid(found.bins.q, phi, np.arange(found.n_bin), (found.n_bin,))
    q_axis, phi_axis, cells = grid
    return _Grid(q_axis, phi_axis, cells, (q_axis.size, phi_axis.size))


def _stated_grid(found: Ingredients) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The layout's own grid, phi ascending after wrapping; None when it is mostly empty."""
    assert found.bins.cells is not None
    q_axis, phi_axis, cells = found.bins.cells
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
    for i, ref in enumerate(refs):
        if ref is not None:
            refs[i] = ref.with_(label=ref.label or label_of(float(found.bins.q[i]), float(phi[i])))
    dead: dict[str, list[str]] = {}
    shapes: dict[tuple[int, int], MapRef] = {}
    for i, ref in enumerate(refs):
        if ref is None:
            continue
        if verdict := _unlinked(h5file, ref):
            dead.setdefault(verdict, []).append(ref.label)
            refs[i] = None
        else:
            shapes.setdefault(ref.n_frames(h5file), ref)
    if shapes:
        _check_shapes(shapes, h5file)
    n_frames = next(iter(shapes), (0, 0))[0]
    for i, ref in enumerate(refs):
        if ref is not None:
            probed, verdict = _probe(h5file, ref, n_frames)
            refs[i] = None if verdict else probed
            if verdict:
                dead.setdefault(verdict, []).append(ref.label)
    for verdict, labels in dead.items():
        warn(
            f"{Path(h5file.filename).name}: left out, because its two-time map is {verdict}: "
            f"bin {', bin '.join(labels)}",
            DataWarning,
        )
    return refs if shapes else [], n_frames, sum(map(len, dead.values()))


def _unlinked(h5file: h5py.File, ref: MapRef) -> str:
    """In words, if a map lies in another file, or in a place, that is not there."""
    name = ref.path.rpartition("/")[2]
    if lost := hdf.lost_link(h5file, ref.path):
        return f"missing ({name}: {lost})"
    node = h5file[ref.path]
    if not isinstance(node, h5py.Dataset):
        return f"missing ({name} is a group)"
    for file, parts in hdf.lost_sources(node).items():
        if any(ref.overlaps(part) for part in parts):
            return f"missing ({name} is put together from {file}, which is not there)"
    return ""


def _unwritten(node: h5py.Dataset, ref: MapRef, n: int) -> str:
    """In words, if pieces of the part of a map that is populated are not in the file."""
    chunks, stored = node.chunks, set[tuple[int, ...]]()
    if (
        chunks is None
        or node.is_virtual
        or node.id.get_num_chunks() == np.prod(-(-np.array(node.shape) // chunks))
    ):
        return ""
    node.id.chunk_iter(lambda info: stored.update([tuple(info.chunk_offset)]))
    lead, size = len(ref.before), chunks[len(ref.before)]
    for row in range(0, n, size):
        for col in range(0, n, chunks[lead + 1]):
            below, above = row >= col + chunks[lead + 1], row + size <= col
            if (ref.triangle == "upper" and below) or (ref.triangle == "lower" and above):
                continue
            ends = [i // c * c for i, c in zip(ref.before, chunks, strict=False)]
            tail = [i // c * c for i, c in zip(ref.after, chunks[lead + 2 :], strict=True)]
            if (*ends, row, col, *tail) not in stored:
                return f"not complete: its piece at frames {row + 1}, {col + 1} is not in the file"
    return ""


def _odd_values(refs: list[MapRef], g2: np.ndarray | None, n_frames: int, h5file: h5py.File) -> str:
    """What does not suit a baseline of 1, by small samples of the first, the middle and the last map, and by g2."""
    where, odd = Path(h5file.filename).name, []
    looked = [
        far_values(h5file, ref, n_frames)
        for ref in dict.fromkeys((*refs[:1], *refs[len(refs) // 2 :][:1], *refs[-1:]), 0)
    ]
    parts = [values for values, _ in looked if values.size]
    if parts and n_frames > 2:
        mean = float(np.mean([v.mean() for v in parts]))
        error = float(np.hypot.reduce([v.std() / np.sqrt(v.size) for v in parts]) / len(parts))
        odd.append(tell_odd_values(mean, error, where, "c2", 0.0 if refs[0].add else 1.0))
    if any(differ for _, differ in looked):
        warn(f"{where}: the two halves of a two-time map differ; a fit uses that of t2 > t1", DataWarning)
    if g2 is not None and np.isfinite(g2).any():
        odd.append(tell_odd_values(float(np.nanmedian(g2)), 0.0, where, "g2"))
    return "; ".join(filter(None, odd))


def _probe(h5file: h5py.File, ref: MapRef, n_frames: int) -> tuple[MapRef, str]:
    try:
        probed, verdict = probe_map(h5file, ref, n_frames)
        if not verdict and type(ref) is MapRef:
            verdict = _unwritten(h5file[ref.path], probed, n_frames)
        return probed, verdict
    except (HeterodyneError, Warning):
        raise
    except Exception as error:
        raise hdf.unreadable(error, hdf.place(h5file, ref.path)) from error


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
    found: Ingredients, step: float, dt: float | None, where: str
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Measured g2 as (bin, tau), the unmeasured as NaN, tau in s and ascending."""
    if found.g2 is None or found.tau is None:
        return None, None, None
    g2 = np.array(found.g2, dtype=float).T
    err = np.full(g2.shape, np.nan) if found.g2_err is None else np.array(found.g2_err, dtype=float).T
    missing = (g2 == 0) & ((err == 0) | np.isnan(err))
    g2[missing], err[missing] = np.nan, np.nan
    if (err < 0).any():
        warn(f"{np.count_nonzero(err < 0)} errors of g2 are negative and taken as not known", DataWarning)
        err[err < 0] = np.nan
    frame = step
    if found.tau_frame is not None:
        frame = found.tau_frame if dt is None or found.dt is None else found.tau_frame * dt / found.dt
    tau = found.tau * frame if found.tau_in_frames else found.tau
    if not found.tau_in_frames:
        warn_if_odd_delays(tau, frame, where)
    order = np.argsort(tau, kind="stable")
    order = order[tau[order] > 0]  # lag 0 holds the shot noise, not the sample
    return g2[:, order], err[:, order], tau[order]


def _refuse_nothing(refs: list[MapRef | None], g2: np.ndarray | None, dead: int, h5file: h5py.File) -> None:
    if any(ref is not None for ref in refs) or (g2 is not None and np.isfinite(g2).any()):
        return
    if dead:
        raise DataFormatError(
            f"nothing in the file can be used: all {dead} two-time maps are NaN, constant, missing or not yet written",
            where=hdf.place(h5file),
            expected="at least one map, or one g2 curve, with data",
        )
    raise DataFormatError(
        "the file holds no correlation: no two-time map and no g2 with finite values",
        where=hdf.place(h5file),
    )
