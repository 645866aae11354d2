"""Open a file of any known layout as one dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from heterodyne_nb.data.assemble import assemble
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Layout
from heterodyne_nb.errors import ConfigurationError, DataFormatError


def layouts() -> tuple[Layout, ...]:
    """The HDF5 layouts, in the order in which they are tried."""
    from heterodyne_nb.data.formats.apsu import ApsU

    return (ApsU(),)


def read_h5(
    path: str | os.PathLike[str], *, layout: str | None = None, dt: float | None = None
) -> xr.Dataset:
    """Read one HDF5 result file; the maps stay on disk."""
    with hdf.open_h5(path) as h5file:
        reader = find_layout(h5file, layout)
        return assemble(reader.read(h5file), h5file, reader.name, dt)


def find_layout(h5file: h5py.File, name: str | None = None) -> Layout:
    """The reader for a file, found by its keys or by name."""
    known = {one.name: one for one in layouts()}
    if name is not None:
        if name not in known:
            raise ConfigurationError(f"layout {name!r} is not known", expected=f"one of {sorted(known)}")
        missing = known[name].lacks(h5file)
        if missing:
            raise DataFormatError(
                f"the file does not have the layout {name}: it lacks {', '.join(missing)}",
                where=hdf.place(h5file),
            )
        return known[name]
    tried = {one.name: one.lacks(h5file) for one in known.values()}
    for key, missing in tried.items():
        if not missing:
            return known[key]
    lines = "\n".join(f"    {key}: lacks {', '.join(missing)}" for key, missing in tried.items())
    raise DataFormatError(
        f"the layout of this file is not known; it holds {_contents(h5file)}. Layouts tried:\n{lines}",
        where=hdf.place(h5file),
        hint="for other files pass the arrays to heterodyne_nb.data.make_dataset",
    )


def _contents(h5file: h5py.File) -> str:
    names = [f"/{name}" for name in list(h5file)[:8]]
    return ", ".join(names) if names else "nothing"


def open_dataset(
    path: str | os.PathLike[str],
    *,
    q: Any = None,
    phi: Any = None,
    frames: Any = None,
    dt: float | None = None,
    layout: str | None = None,
    mask: Any = None,
) -> xr.Dataset:
    """Open a result file of any known layout.

    Parameters
    ----------
    path : str or path
        The file.
    q, phi : float, list or (lo, hi), optional
        Bins to keep, 1/Å and degrees: nearest to a value, to each of a list, or within a range.
    frames : (start, end) or slice, optional
        Frames to keep; a pair is 1-based and inclusive.
    dt : float, optional
        Time from frame to frame, s, where the file does not say or says it wrong.
    layout : str, optional
        Name of the layout, where it should not be guessed.
    mask : array of bool, optional
        True for each frame of the file that is used.

    Returns
    -------
    Dataset
        The data model of the package; two-time maps stay on disk until they are looked at.

    Raises
    ------
    DataFormatError
        The file cannot be read, or a selection leaves nothing.
    """
    ds = read_h5(Path(path), layout=layout, dt=dt)
    return refine(ds, q=q, phi=phi, frames=frames, mask=mask)


def refine(ds: xr.Dataset, *, q: Any, phi: Any, frames: Any, mask: Any) -> xr.Dataset:
    """Apply the selections of :func:`open_dataset`."""
    from heterodyne_nb.data import prepare

    if mask is not None:
        ds = prepare.mask_frames(ds, mask)
    if frames is not None:
        ds = prepare.crop_frames(ds, *frames)
    if q is not None or phi is not None:
        ds = prepare.select(ds, q=q, phi=phi)
    return ds
