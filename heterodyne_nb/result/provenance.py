"""Where a result comes from: file, selection, masks, settings, versions, seed."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import heterodyne_nb
from heterodyne_nb.data.units import METADATA
from heterodyne_nb.remote import Place, Remote, is_url

_LIBRARIES = ("numpy", "scipy", "numba", "xarray", "h5py")


def collect_provenance(
    dataset: xr.Dataset,
    config: Mapping[str, Any] | None = None,
    *,
    source_path: str | Path | None = None,
    seed: int | None = None,
    date: str | None = None,
) -> dict[str, Any]:
    """Gather what is needed to do a fit again; the same input gives the same answer.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data that were fitted, in either form (q, phi or bin).
    config : mapping, optional
        Keyword arguments :func:`heterodyne_nb.fit` was called with; ``FitResult.to_script`` writes them.
    source_path : str or Path, optional
        The data file. Default: what the dataset remembers of it. Only its name and hash are kept.
    seed : int, optional
    date : str, optional
        Kept as given; without it no date is kept.

    Returns
    -------
    dict
        JSON-ready: ``source``, ``source_sha256``, ``averaged`` (runs), ``layout``, ``dt``, ``opened_with`` (settings of
        ``open_dataset``), ``run`` (its metadata), ``selection``, ``masks``, ``config``,
        ``versions``, ``seed``, ``date``; what is not known is left out.
    """
    path = source_path or dataset.encoding.get("source")
    name = dataset.attrs.get("source") or (Path(path).name if path else None)
    told = {
        "source": str(path) if is_url(path) else None if name is None else Path(str(name)).name,
        "source_sha256": dataset.attrs.get("source_sha256")
        or (sha256(path) if path and Path(path).is_file() else None),
        "averaged": [run for run in str(dataset.attrs.get("runs", "")).split(", ") if run] or None,
        "layout": dataset.attrs.get("layout"),
        "dt": dataset.attrs.get("dt"),
        "opened_with": json.loads(dataset.attrs.get("opened_with", "{}")),
        "run": {name: dataset.attrs[name] for name in METADATA if name in dataset.attrs},
        "selection": _selection(dataset),
        "masks": _masks(dataset),
        "config": dict(config) if config else None,
        "versions": versions(),
        "seed": seed,
        "date": date,
    }
    return {key: _jsonable(value) for key, value in told.items() if value not in (None, {})}


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that compute."""
    return dict(_versions())


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    """Read once: an installed library does not change under a running session."""
    found = [("python", platform.python_version()), ("heterodyne_nb", heterodyne_nb.__version__)]
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found.append((library, metadata.version(library)))
    return tuple(found)


def sha256(path: str | Place) -> str:
    """Hash a file piece by piece; a file that did not change is hashed once a session.

    ``path``: An existing file, of any size.
    """
    if isinstance(path, Remote):
        return hashlib.sha256(path.bytes(0, path.size)).hexdigest()
    file = Path(path)
    state = file.stat()
    return _sha256(file.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _selection(dataset: xr.Dataset) -> dict[str, Any]:
    selection: dict[str, Any] = {}
    if "bin" in dataset.dims and {"q", "phi"} <= set(dataset.coords):
        pairs = zip(dataset["q"].values.tolist(), dataset["phi"].values.tolist(), strict=True)
        selection["bins"] = [list(pair) for pair in pairs]
    else:
        axes = [name for name in ("q", "phi") if name in dataset.coords]
        selection |= {name: np.atleast_1d(dataset[name].values).tolist() for name in axes}
    if "frame" in dataset.coords:
        frames = dataset["frame"].values
        selection["frames"] = [int(frames[0]), int(frames[-1])]
    return selection


def _masks(dataset: xr.Dataset) -> dict[str, Any]:
    points = np.ravel(dataset.attrs.get("excluded_points", [])).tolist()
    found: dict[str, Any] = {"points": points} if points else {}
    if "mask" not in dataset or "frame" not in dataset.coords:
        return found
    left_out = dataset["frame"].values[~np.asarray(dataset["mask"].values, dtype=bool)]
    return {**found, "frames": ranges(left_out)} if left_out.size else found


def ranges(numbers: np.ndarray) -> list[list[int]]:
    """Write increasing whole numbers as inclusive ranges: 3, 4, 5, 9 gives [[3, 5], [9, 9]]."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(numbers, breaks)]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_jsonable(item) for item in value)
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return value.name
    return getattr(value, "__name__", None) or type(value).__name__
