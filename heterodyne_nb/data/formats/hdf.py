"""Reading small things from HDF5 files of any origin: scalars, text, vectors, units."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from heterodyne_nb.errors import DataFormatError, MissingFileError

_PER_NM = {"1/nm", "nm-1", "nm^-1", "nm^{-1}", "nm**-1", "1/nanometer", "inverse_nanometer", "nm⁻¹"}
_PER_ANGSTROM = {
    *("1/a", "a-1", "a^-1", "a^{-1}", "1/å", "å-1", "å^-1", "å⁻¹", "1/angstrom", "1/angstroms"),
    *("angstrom-1", "angstrom^-1", "angstroms^-1", "inverse_angstrom", "a**-1"),
}


@contextlib.contextmanager
def open_h5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, or say in our own words why it cannot be read.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataFormatError
        Not HDF5, empty, truncated, a folder, still being written, or not readable.
    """
    path = Path(path)
    check_readable(path)
    if importlib.util.find_spec("hdf5plugin"):  # more filters, where the user has them
        importlib.import_module("hdf5plugin")
    with _open(path) as h5file:
        yield h5file


def check_readable(path: Path) -> None:
    """Raise when `path` is missing, a folder or an empty file."""
    if not path.exists():
        raise MissingFileError("there is no such file", where=str(path), expected="the path of a data file")
    if path.is_dir():
        raise DataFormatError("this is a folder", where=str(path), expected="a file")
    if path.stat().st_size == 0:
        raise DataFormatError(
            "the file is empty (0 bytes)", where=str(path), hint="was it copied completely?"
        )


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, mode="r")
    except OSError as error:
        text = str(error)
        if "No locks available" in text or "Function not implemented" in text:
            return h5py.File(path, mode="r", locking=False)
        raise explain(error, path) from error


def uses_locks(h5file: h5py.File) -> bool:
    """Whether a file was opened with HDF5's file locks (some network drives have none)."""
    return bool(h5file.id.get_access_plist().get_file_locking()[0])


def unreadable_map(error: Exception, where: str) -> DataFormatError:
    """What to say when the pixels of a map cannot be read."""
    filtered = "filter" in str(error) or "plugin" in str(error)
    return DataFormatError(
        f"the two-time map cannot be read ({error})",
        where=where,
        hint="it is compressed with a plug-in: pip install hdf5plugin"
        if filtered
        else "the file may be damaged or still being written",
    )


def explain(error: OSError, path: Path) -> DataFormatError:
    """Translate what HDF5 says about an unreadable file."""
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return DataFormatError("permission to read the file is denied", where=str(path))
    if "truncated" in text:
        return DataFormatError(
            f"the file is truncated: it ends at {path.stat().st_size} bytes, before its data does",
            where=str(path),
            expected="a complete HDF5 file",
            hint="copy it again, or wait until it has been written",
        )
    if "unable to lock" in text or "already open for write" in text or "consistency flag" in text:
        return DataFormatError(
            "the file is still being written by another process",
            where=str(path),
            hint="open it again when the writer has closed it",
        )
    if "signature not found" in text or not h5py.is_hdf5(path):
        return DataFormatError(
            f"this is not an HDF5 file (it begins with {_first_bytes(path)!r})",
            where=str(path),
            expected="an HDF5 file: .h5, .hdf, .nxs or .nc",
        )
    return DataFormatError(f"HDF5 cannot read the file: {text}", where=str(path))


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(8)


def place(node: h5py.File | h5py.Group | h5py.Dataset, key: str = "") -> str:
    """``file.h5:/group/key``, as errors and warnings name a place in a file."""
    name = "/".join(part for part in (node.name.strip("/"), key.strip("/")) if part)
    return f"{Path(node.file.filename).name}:/{name}"


def dataset(group: h5py.Group, key: str, expected: str) -> h5py.Dataset:
    """The dataset under `key`; DataFormatError naming it when it is absent or a group."""
    found = group.get(key)
    if isinstance(found, h5py.Dataset):
        return found
    parent = key.rpartition("/")[0]
    holder = group.get(parent) if parent else group
    near = f"; {place(holder)} holds {sorted(holder)[:8]}" if isinstance(holder, h5py.Group) else ""
    kind = "missing" if found is None else "a group, not a dataset"
    raise DataFormatError(f"this key is {kind}{near}", where=place(group, key), expected=expected)


def array(group: h5py.Group, key: str, expected: str) -> np.ndarray:
    """All values of a dataset of numbers, as float64 of the shape in the file."""
    node = dataset(group, key, expected)
    try:
        return np.asarray(node[()], dtype=float)
    except (ValueError, TypeError) as error:
        raise DataFormatError(
            f"values of type {node.dtype} are not numbers", where=place(node), expected=expected
        ) from error
    except OSError as error:
        raise DataFormatError(
            f"the values cannot be read ({error})", where=place(node), expected=expected
        ) from error


def vector(group: h5py.Group, key: str, expected: str, length: int | None = None) -> np.ndarray:
    """The values as one row, whether stored as (n,), (1, n), (n, 1) or a scalar."""
    values = array(group, key, expected)
    if values.size != max(values.shape, default=1):
        raise DataFormatError(f"the shape is {values.shape}", where=place(group, key), expected=expected)
    if length is not None and values.size != length:
        raise DataFormatError(
            f"there are {values.size} values where {length} are needed",
            where=place(group, key),
            expected=expected,
        )
    return values.ravel()


def scalar(group: h5py.Group, key: str, expected: str, default: float | None = None) -> float:
    """One number, whether stored as (), (1,) or (1, 1); `default` when the key is absent."""
    if default is not None and key not in group:
        return default
    values = array(group, key, expected)
    if values.size != 1:
        raise DataFormatError(f"the shape is {values.shape}", where=place(group, key), expected=expected)
    return float(values.ravel()[0])


def text(value: object) -> str:
    """A string from bytes, str, or an array of one of them."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()


def unit_of(node: h5py.Dataset) -> str | None:
    """The unit attribute of a dataset, under any of its usual spellings."""
    for name in ("units", "unit", "Units", "Unit"):
        if name in node.attrs:
            return text(node.attrs[name])
    return None


def to_inverse_angstrom(values: np.ndarray, unit: str | None, where: str, assumed: str = "1/Å") -> np.ndarray:
    """Convert q to 1/Å by its unit, or by `assumed` where the file gives none."""
    name = (unit or assumed).strip().lower().replace(" ", "")
    if name in _PER_NM:
        return values / 10.0
    if name in _PER_ANGSTROM:
        return values
    raise DataFormatError(f"the unit of q is {unit!r}", where=where, expected="1/Å or 1/nm")


def table(group: h5py.Group, key: str, shape: tuple[int, int], expected: str) -> np.ndarray:
    """A matrix of the given shape; one row or column may be stored flat."""
    values = array(group, key, expected)
    if values.shape != shape and values.size == shape[0] * shape[1] and 1 in shape:
        values = values.reshape(shape)
    if values.shape != shape:
        raise DataFormatError(
            f"the shape is {values.shape}", where=place(group, key), expected=f"{shape}: {expected}"
        )
    return values


def label_counts(group: h5py.Group, key: str, n_label: int) -> np.ndarray | None:
    """Detector pixels of each label (1, 2, ...) of a label image; None where there is none."""
    if key not in group:
        return None
    labels = array(group, key, "a label image").ravel()
    labels = labels[np.isfinite(labels) & (labels > 0)].astype(np.int64)
    return np.bincount(labels, minlength=n_label + 1)[1 : n_label + 1]


def seconds(group: h5py.Group, key: str, expected: str = "one time, s") -> float:
    """One time in seconds, by its unit attribute."""
    factors = {"s": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    value = scalar(group, key, expected)
    unit = unit_of(group[key]) or "s"
    if unit not in factors:
        raise DataFormatError(
            f"the unit of time is {unit!r}", where=place(group, key), expected="s, ms, us or ns"
        )
    return value * factors[unit]
