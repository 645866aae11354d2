"""Open a file of any known layout as one dataset: now, or when it is first needed."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb import remote
from heterodyne_nb.data.assemble import assemble
from heterodyne_nb.data.formats import LAYOUTS, Layout, arrays, hdf, native
from heterodyne_nb.data.isolated import probe
from heterodyne_nb.data.units import number, reading
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.files import recover
from heterodyne_nb.guard import guarded


def open_dataset(
    path: Any,
    *,
    q: Any = None,
    phi: Any = None,
    frames: Any = None,
    dt: float | None = None,
    layout: str | None = None,
    mask: Any = None,
    analysis: str | None = None,
    units: Mapping[str, str] | None = None,
    keep_empty: bool = False,
    isolated: bool | Mapping[str, float] = False,
) -> xr.Dataset:
    """Open a result file of any known layout, or many.

    Parameters
    ----------
    path : str, path, file object, Zarr group or store, or several of them
        An HDF5 result file, arrays (``.npz``, ``.npy``, ``.mat``, text), or this package's netCDF or Zarr; also an
        address (``https://…``, ``s3://…``, all that fsspec knows), of which only what is read travels. Many runs:
        a list (or array, or generator), a pattern such as ``"run_*.hdf"`` or ``"2024/**/*.hdf"``, a folder, also at an
        address such as ``s3://``.
    q, phi : float, list or (lo, hi), optional
        Bins to keep, 1/Å and degrees: nearest to a value, to each of a list, or within a range
        (a range of phi may cross ±180°). For plain arrays that come without them: their values.
    frames : (start, end) or slice, optional
        Frames to keep. A pair is 1-based and inclusive, as in the configuration; a slice counts
        from 0 and leaves its end out, as Python's do.
    dt : float, optional
        Time from frame to frame, s, where the file does not say or says it wrong.
    layout : str, optional
        Name of the layout, where it should not be recognised.
    mask : array of bool or list of frame numbers, optional
        True for each frame that is used, or the numbers (from 1) of frames to leave out.
    analysis : str, optional
        Which of several analyses in the file: those of :func:`list_analyses`. The file's own default otherwise.
    units : mapping, optional
        Units of q, phi, dt, tau, … where the file does not say or says them wrong: ``{"tau": "ms", "q": "1/nm"}``.
    keep_empty : bool, optional
        Keep rings and sectors in which no bin holds any data.
    isolated : bool or mapping, optional
        For a file that is not trusted: read all of it in a process of its own first, which may take ``seconds`` and
        ``memory`` (bytes; both have defaults by the size of the file). HDF5 itself dies of some damaged files.

    Returns
    -------
    Dataset
        The data model of the package. Two-time maps stay on disk until they are looked at; where
        the file has no measured g2 it is computed from them, also only then. Many runs with the same bins, frames and
        delays are one dataset with the dimension ``run``.
    DataTree
        Many runs of which some have other bins, frames or delays than the first: one dataset has one axis for all,
        and would have to fill with NaN what a run does not have. Attribute ``runs_differ`` says which and why.

    Raises
    ------
    MissingFileError, DataFormatError
        The file is not there or cannot be understood: what was looked for and what was found.
    ConfigurationError
        A selection is not understood or leaves nothing.

    Warns
    -----
    DataWarning
        Bins that cannot be used (their map is NaN, constant or empty) and whatever had to be assumed; of a pattern or
        a folder, the files that cannot be read, which are left out.

    Examples
    --------
    >>> runs = open_dataset("run_*.hdf", q=0.012)  # doctest: +SKIP
    >>> table = hn.fit_batch(runs, "heterodyne", over="run")  # doctest: +SKIP
    """
    from heterodyne_nb.data.runs import is_listed, open_runs, run_files

    _check_arguments(dt, layout, analysis)
    if is_listed(path):
        path = list(path)
    else:
        _checked_path(path)

    if run_files(path) is not None:
        named = {
            "analysis": analysis,
            "units": units,
            "keep_empty": keep_empty,
            "layout": layout,
            "mask": mask,
            "isolated": isolated,
        }
        return open_runs(path, q=q, phi=phi, frames=frames, dt=dt, **named)  # type: ignore[return-value]
    path = _checked_path(path)
    recover(path)
    if isolated:
        options = {"q": q, "phi": phi, "frames": frames, "dt": dt, "layout": layout, "mask": mask}
        options |= {"analysis": analysis, "units": units, "keep_empty": keep_empty}
        probe(path, options, isolated)
    with guarded(path, "a complete file of a known layout"), reading(units) as read:
        if native.is_zarr(path):
            _no_analysis(analysis, path)
            ds = native.open_own(path, dt=dt)
        elif path.suffix.lower() in arrays.ENDINGS:
            _no_analysis(analysis, path)
            with contextlib.nullcontext(path) if isinstance(path, Path) else path.copied(".json") as here:
                ds, q, phi = arrays.read_plain(here, q=q, phi=phi, dt=dt)
        else:
            ds = read_h5(path, layout=layout, dt=dt, analysis=analysis, keep_empty=keep_empty)
    if read.assumed:
        ds.attrs["units_assumed"] = "; ".join(f"{key}: {unit}" for key, unit in read.assumed.items())
    given = {"analysis": analysis, "units": dict(units or {}), "keep_empty": keep_empty}
    if given := {name: value for name, value in given.items() if value}:
        ds.attrs["opened_with"] = json.dumps(given)  # a script that repeats a fit says the same
    else:
        ds.attrs.pop("opened_with", None)
    with guarded(path, "q, phi, frames and mask as they are described", error=ConfigurationError, hint=None):
        chosen = refine(ds, q=q, phi=phi, frames=frames, mask=mask)
    chosen.encoding["source"] = remote.told(path)
    if chosen is not ds:
        chosen.set_close(ds.close)
    return chosen


def _checked_path(path: Any) -> Any:
    """Where the data are: a Path, a Remote, or Zarr's own group or store as it is."""
    if native.is_zarr_object(path):
        return path
    if isinstance(path, str | os.PathLike) and "\0" in os.fsdecode(path):
        raise ConfigurationError(f"{path!r} is no path", expected="the path of a data file")
    try:
        return remote.place(path)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path!r} is no path ({error})", expected="the path of a data file"
        ) from None


def _check_arguments(dt: Any, layout: Any, analysis: Any) -> None:
    """Refuse arguments of another kind than they should be, by name."""
    for name, value in (("layout", layout), ("analysis", analysis)):
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{value!r} is no name", where=name, expected="a text")
    if dt is not None:
        with guarded("dt", "a positive time in s", error=ConfigurationError, hint=None):
            step = np.asarray(number(dt, "dt"))
            if step.dtype.kind not in "iuf" or step.size != 1 or not (np.isfinite(step).all() and step > 0):
                raise ConfigurationError(f"{dt!r} is no time", where="dt", expected="a positive time in s")


def read_h5(
    path: Any,
    *,
    layout: str | None = None,
    dt: float | None = None,
    analysis: str | None = None,
    keep_empty: bool = False,
) -> xr.Dataset:
    """Read one HDF5 file of any layout; the maps stay on disk."""
    with hdf.open_h5(path) as h5file:
        if layout in (None, native.NAME) and native.is_own(h5file):
            _no_analysis(analysis, remote.place(path))
            return native.open_own(remote.place(path), dt=dt)
        hdf.tell_links(h5file)
        reader = find_layout(h5file, layout)
        names = reader.analyses(h5file)
        if not names:
            _no_analysis(analysis, remote.place(path))
        found = reader.read(h5file, analysis)
        if len(names) > 1:
            found.notes |= {"analysis": analysis or names[0], "analyses": ", ".join(names)}
            if analysis is None:
                warn(
                    f"{hdf.place(h5file)}: {len(names)} analyses, {names[0]!r} is read; not read: {names[1:]} "
                    "(analysis=… chooses)",
                    DataWarning,
                )
        elif reader.name == "esrf-id02":
            found.notes["analysis"] = names[0]
        return assemble(found, h5file, reader.name, dt, source=path, keep_empty=keep_empty)


def _no_analysis(analysis: str | None, path: Any) -> None:
    if analysis is not None:
        raise ConfigurationError(
            f"there is no analysis {analysis!r}: this layout holds a single one",
            where=str(getattr(path, "name", path)),
        )


def list_analyses(path: str | os.PathLike[str], *, layout: str | None = None) -> list[str]:
    """Names of the analyses in a result file, the default first; empty where its layout holds a single one.

    Raises
    ------
    MissingFileError, DataFormatError
        As for :func:`open_dataset`.
    """
    with guarded(path, "a complete file of a known layout"), hdf.open_h5(path) as h5file:
        return [] if native.is_own(h5file) else find_layout(h5file, layout).analyses(h5file)


def find_layout(h5file: h5py.File, name: str | None = None) -> Layout:
    """The reader for a file, recognised by its keys, or the one of the given name.

    Raises
    ------
    DataFormatError
        No layout fits; the message lists what each one lacks.
    ConfigurationError
        There is no layout of that name.
    """
    known = {one.name: one for one in LAYOUTS}
    if name is not None:
        return _named(h5file, name, known)
    tried = {one.name: one.lacks(h5file) for one in LAYOUTS}
    for key, missing in tried.items():
        if not missing:
            return known[key]
    tried[native.NAME] = [f"root attribute {native.ATTRIBUTE}"]
    lines = "\n".join(f"    {key}: lacks {', '.join(missing)}" for key, missing in tried.items())
    raise DataFormatError(
        f"the layout of this file is not known; it holds {_contents(h5file)}. Layouts tried:\n{lines}",
        where=hdf.place(h5file),
        hint="build the dataset from arrays with heterodyne_nb.data.make_dataset",
    )


def _named(h5file: h5py.File, name: str, known: dict[str, Layout]) -> Layout:
    if name not in known:
        raise ConfigurationError(
            f"layout {name!r} is not known", expected=f"one of {sorted([*known, native.NAME])}"
        )
    missing = known[name].lacks(h5file)
    if missing:
        raise DataFormatError(
            f"the file does not have the layout {name!r}: it lacks {', '.join(missing)}",
            where=hdf.place(h5file),
        )
    return known[name]


def _contents(h5file: h5py.File) -> str:
    names = list(h5file)
    shown = ", ".join(f"/{name}" for name in names[:8])
    return (shown + (", …" if len(names) > 8 else "")) or "nothing"


def refine(ds: xr.Dataset, *, q: Any, phi: Any, frames: Any, mask: Any) -> xr.Dataset:
    """Apply the selections of :func:`open_dataset`."""
    from heterodyne_nb.data import prepare

    if mask is not None:
        ds = prepare.mask_frames(ds, mask)
    if frames is not None:
        ds = prepare.crop_frames(ds, *_first_and_last(frames, ds))
    if q is not None or phi is not None:
        ds = prepare.select(ds, q=q, phi=phi)
    return ds


def _first_and_last(frames: Any, ds: xr.Dataset) -> tuple[int, int]:
    """1-based inclusive limits."""
    if isinstance(frames, slice):
        start, stop, step = frames.indices(ds.sizes.get("t", 0))
        if step != 1 or stop <= start:
            raise ConfigurationError(
                f"frames = {frames} keeps nothing or not every frame",
                expected=f"a slice of step 1 within the {ds.sizes.get('t', 0)} frames",
            )
        return start + 1, stop
    pair = np.ravel(np.asarray(frames, dtype=object))
    if pair.size != 2:
        raise ConfigurationError(
            f"frames = {frames!r}", expected="(first, last) frame numbers, from 1, or a slice"
        )
    return pair[0], pair[1]


class LazyDataLoader:
    """Opens a result file on first access.

    Parameters
    ----------
    file_path : str or path
        The file; it is not touched before :attr:`data` is asked for.
    **selection
        Keywords of :func:`heterodyne_nb.open_dataset`: q, phi, frames, dt, layout, mask.

    Examples
    --------
    >>> with LazyDataLoader("run_0042.hdf", q=(0.005, 0.02)) as loader:  # doctest: +SKIP
    ...     loader.data.c2
    """

    def __init__(self, file_path: str | os.PathLike[str], **selection: Any) -> None:
        self.file_path = os.fspath(file_path)
        self._selection = selection
        self._data: xr.Dataset | None = None
        self._lock = threading.Lock()

    @property
    def data(self) -> xr.Dataset:
        """The dataset, opened once; its maps stay on disk."""
        with self._lock:
            if self._data is None:
                self._data = open_dataset(self.file_path, **self._selection)
            return self._data

    @property
    def is_open(self) -> bool:
        """Whether the file has been opened."""
        return self._data is not None

    def close(self) -> None:
        """Close the file. :attr:`data` opens it again."""
        with self._lock:
            if self._data is not None:
                self._data.close()
                self._data = None

    def __enter__(self) -> LazyDataLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LazyDataLoader({self.file_path!r}, {'open' if self.is_open else 'not opened yet'})"
