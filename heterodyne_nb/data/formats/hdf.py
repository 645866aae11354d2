"""Reading small things from HDF5 files of any origin: scalars, text, vectors, units."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from heterodyne_nb import remote
from heterodyne_nb.data import units
from heterodyne_nb.errors import DataFormatError, DataWarning, MissingFileError, warn
from heterodyne_nb.guard import guarded, need_room
from heterodyne_nb.remote import Place, Remote


@contextlib.contextmanager
def open_h5(path: Any) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, or say in our own words why it cannot be read.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataFormatError
        Not HDF5, empty, truncated, a folder, still being written, or not readable.
    """
    path = remote.place(path)
    check_readable(path)
    if importlib.util.find_spec("hdf5plugin"):  # more filters, where the user has them
        importlib.import_module("hdf5plugin")
    with opened_h5(path) as h5file:
        yield h5file


def check_readable(path: Place) -> None:
    """Raise when `path` is missing, a folder or an empty file."""
    if not path.exists():
        raise MissingFileError("there is no such file", where=str(path), expected="the path of a data file")
    if path.is_dir():
        raise DataFormatError("this is a folder", where=str(path), expected="a file")
    if (path.size if isinstance(path, Remote) else path.stat().st_size) == 0:
        raise DataFormatError(
            "the file is empty (0 bytes)", where=str(path), hint="was it copied completely?"
        )


def opened_h5(path: Place, mode: str = "r", **options: Any) -> h5py.File:
    """An open HDF5 file; one elsewhere travels in the pieces that are read."""
    if isinstance(path, Remote):
        stream = path.open()
        try:
            return h5py.File(stream, mode=mode)
        except OSError as error:
            if stream.failure is not None:
                raise stream.failure from None
            raise explain(error, path) from error
    if options:
        return h5py.File(path, mode=mode, **options)
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


def unreadable(error: Exception, where: str, what: str = "the two-time map") -> DataFormatError:
    """What to say when the pixels of a map, or of frames, cannot be read."""
    filtered = "filter" in str(error) or "plugin" in str(error)
    return DataFormatError(
        f"{what} cannot be read ({error})",
        where=where,
        hint="compressed with a plug-in: pip install hdf5plugin"
        if filtered
        else "the file may be damaged or still being written",
    )


def explain(error: OSError, path: Place) -> DataFormatError:
    """Translate what HDF5 says about an unreadable file."""
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return DataFormatError("permission to read the file is denied", where=str(path))
    if "truncated" in text:
        return DataFormatError(
            f"the file is truncated: it ends at {path.size if isinstance(path, Remote) else path.stat().st_size} bytes, before its data does",
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
    if "signature not found" in text or (isinstance(path, Path) and not h5py.is_hdf5(path)):
        return DataFormatError(
            f"this is not an HDF5 file (it begins with {_first_bytes(path)!r})",
            where=str(path),
            expected="an HDF5 file: .h5, .hdf, .nxs or .nc",
        )
    return DataFormatError(f"HDF5 cannot read the file: {text}", where=str(path))


def _first_bytes(path: Place) -> bytes:
    if isinstance(path, Remote):
        return path.bytes(0, min(8, path.size))
    with path.open("rb") as stream:
        return stream.read(8)


def place(node: h5py.File | h5py.Group | h5py.Dataset, key: str = "") -> str:
    """``file.h5:/group/key``, as errors and warnings name a place in a file."""
    name = "/".join(part for part in (node.name.strip("/"), key.strip("/")) if part)
    return f"{Path(node.file.filename).name}:/{name}"


def dataset(group: h5py.Group, key: str, expected: str) -> h5py.Dataset:
    """The dataset under `key`; DataFormatError naming it when it is absent or a group."""
    with guarded(place(group, key), expected):
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
    with guarded(place(node), expected):
        if node.shape is None or node.dtype.kind not in "iufb":
            kind = (
                "there are no values"
                if node.shape is None
                else f"values of type {node.dtype} are not numbers"
            )
            raise DataFormatError(kind, where=place(node), expected=expected)
        if node.size and not node.is_virtual and not node.external and node.id.get_storage_size() == 0:
            raise DataFormatError("nothing has been written to it", where=place(node), expected=expected)
        need_room(8.0 * node.size, place(node), f"{node.shape} numbers")
        return np.asarray(node[()], dtype=float)


def pairs(group: h5py.Group, key: str) -> np.ndarray | None:
    """Rows of two numbers, whether stored as (n, 2), (2, n), compound values or texts ``"(0.01, 30)"``; None for a list."""
    node = dataset(group, key, "numbers")
    if node.dtype.names and len(node.dtype.names) == 2:
        rows = node[()]
        return np.column_stack([np.ravel(rows[name]).astype(float) for name in node.dtype.names])
    if h5py.check_string_dtype(node.dtype) is not None:
        found = [re.findall(r"[-+.\d]+(?:e[-+]?\d+)?", one, re.I) for one in strings(group, key)]
        with guarded(place(node), "(q, phi) a label"):
            return np.array(found, dtype=float).reshape(len(found), 2)
    if len(node.shape) == 2 and (node.shape[1] == 2 or node.shape[0] == 2 < node.shape[1]):
        values = array(group, key, "(q, phi) of each label")
        return values if node.shape[1] == 2 else values.T
    return None


def vector(group: h5py.Group, key: str, expected: str, length: int | None = None) -> np.ndarray:
    """The values as one row, whether stored as (n,), (1, n), (n, 1), (1, 1, n) or a scalar."""
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
    if default is not None and not has(group, key):
        return default
    values = array(group, key, expected)
    if values.size != 1:
        raise DataFormatError(f"the shape is {values.shape}", where=place(group, key), expected=expected)
    return float(values.ravel()[0])


def text(value: object) -> str:
    """A string from bytes, str, or an array of one of them."""
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()


def unit_of(node: h5py.Dataset) -> str | None:
    """The unit attribute of a dataset, under any of its usual spellings."""
    said = {name.lower(): name for name in node.attrs}
    return next((text(node.attrs[said[word]]) for word in ("units", "unit") if word in said), None)


def quantity(
    group: h5py.Group,
    key: str,
    name: str,
    expected: str,
    *,
    assumed: str | None = None,
    unit: str | None = None,
    length: int | None = None,
) -> np.ndarray:
    """One row of numbers in the package's unit of `name` (see :mod:`heterodyne_nb.data.units`).

    `unit` is what another place of the file says where the numbers have no unit of their own.
    """
    values = vector(group, key, expected, length)
    unit = unit_of(group[key]) or unit
    if name in ("phi", "tth", "alpha"):
        units.warn_if_radians(values, unit, place(group, key))
    return units.convert(values, unit, name, place(group, key), assumed)


def delays(group: h5py.Group, key: str, assumed: str = units.FRAMES) -> tuple[np.ndarray, bool]:
    """Delays, and whether they count frames; they are in s otherwise."""
    values, unit = vector(group, key, f"delays in {assumed}"), unit_of(group[key])
    if unit == "" and assumed == units.FRAMES:
        unit = assumed  # as NeXus writes the unit of a count
    values, in_frames = units.convert_delays(values, unit, place(group, key), assumed)
    if in_frames and unit is None and not np.allclose(values, np.rint(values), atol=1e-3):
        warn(
            f"{place(group, key)}: the delays have no unit and are no whole numbers, but this layout counts "
            "frames: if they are times, say units={'tau': 's'}",
            DataWarning,
        )
    return values, in_frames


def seconds(group: h5py.Group, key: str, name: str = "dt") -> float:
    """One time in seconds, by its unit attribute."""
    value = scalar(group, key, "one time, s")
    return float(units.convert(value, unit_of(group[key]), name, place(group, key)))


def table(group: h5py.Group, key: str, shape: tuple[int, int], expected: str) -> np.ndarray:
    """A matrix of the given shape; one row or column may be stored flat."""
    values = array(group, key, expected)
    if values.shape != shape and values.size == shape[0] * shape[1] and 1 in shape:
        values = values.reshape(shape)
    if values.shape != shape:
        raise DataFormatError(
            f"the shape is {values.shape}",
            where=place(group, key),
            expected=expected if str(shape[0]) in expected else f"{shape}: {expected}",
        )
    return values


def has(group: h5py.Group, key: str) -> bool:
    """Whether there is such a key; one that is only a link to nothing is named in a warning."""
    if key in group:
        with contextlib.suppress(KeyError, OSError, RuntimeError):
            group[key]
            return True
    above = ["/".join(key.split("/")[: k + 1]) for k in range(key.count("/"))]
    if lost := lost_link(group, key):
        warn(f"{place(group, key)} is left out: {lost}", DataWarning)
    elif wrong := [name for name in above if name and isinstance(group.get(name), h5py.Dataset)]:
        raise DataFormatError(
            "this is a dataset",
            where=place(group, wrong[0]),
            expected=f"a group with {key.rpartition('/')[2]}",
        )
    elif empty := [
        name for name in above if name and isinstance(group.get(name), h5py.Group) and not len(group[name])
    ]:
        warn(f"{place(group, empty[0])} is empty: there is no {key.rpartition('/')[2]}", DataWarning)
    return False


def tell_links(h5file: h5py.File) -> None:
    """Warn of links that lead to files outside of the folder of this one; they are followed."""
    links: list[str] = []

    def keep(name: bytes, info: Any) -> None:
        if info.type == h5py.h5l.TYPE_EXTERNAL:
            links.append(name.decode("utf-8", "surrogateescape"))

    h5file.id.links.visit(keep, info=True)
    folder = Path(h5file.filename).resolve().parent
    named = {name: h5file.get(name, getlink=True).filename for name in links}
    outside = {n: file for n, file in named.items() if not (folder / file).resolve().is_relative_to(folder)}
    if outside:
        name, file = next(iter(outside.items()))
        more = f", and {len(outside) - 1} more links" if outside.keys() - {name} else ""
        warn(f"{place(h5file, name)} is read from another folder, {file}{more}", DataWarning)


def lost_link(group: h5py.Group, key: str) -> str:
    """In words where a link, or a virtual dataset, leads that cannot be followed; empty where all is there."""
    node = group.file if key.startswith("/") else group
    for part in filter(None, key.split("/")):
        link = node.get(part, getlink=True)
        if link is None:
            return ""
        if isinstance(link, h5py.ExternalLink):
            where = f"/{link.path.strip('/')} of {link.filename}"
        else:
            where = getattr(link, "path", "")
        try:
            node = node[part]
        except (KeyError, OSError, RuntimeError):
            return f"it is linked to {where}, which is not there" if where else "it cannot be opened"
        if not isinstance(node, h5py.Group):
            break
    return ""


def lost_sources(node: h5py.Dataset) -> dict[str, list[tuple[slice, ...]]]:
    """The files of a virtual dataset that are not there, and which part of it each of them holds."""
    lost: dict[str, list[tuple[slice, ...]]] = {}
    if not node.is_virtual:
        return lost
    folder = Path(node.file.filename).absolute().parent
    for source in node.virtual_sources():
        name = source.file_name
        if name != "." and not any(path.exists() for path in (folder / name, Path(name))):
            first, last = source.vspace.get_select_bounds()
            part = tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
            lost.setdefault(name, []).append(part)
    return lost


def strings(group: h5py.Group, key: str) -> list[str]:
    """The texts of a dataset of one or more; empty where there is none."""
    if not has(group, key) or not isinstance(group[key], h5py.Dataset):
        return []
    return [text(one) for one in np.ravel(group[key][()])]


def default_first(names: list[str], *groups: h5py.Group, below: str = "") -> list[str]:
    """Analyses with the one first to which ``default`` leads, the attribute by which NeXus points from group to group.

    Parameters
    ----------
    names : list of str
        Paths below `below`.
    *groups : Group
        Where a pointer may begin: the first that has one counts.
    """
    at = next((g for g in groups if "default" in g.attrs), None)
    seen: set[str] = set()
    while at is not None and at.name not in seen and (step := text(at.attrs.get("default", ""))):
        seen.add(at.name)
        path = step if step.startswith("/") else f"{at.name.rstrip('/')}/{step}"
        found = at.file.get(path)
        at = found if isinstance(found, h5py.Group) else None
    end = f"{path}/" if seen else ""

    def rank(name: str) -> tuple[int, int]:
        place = f"/{below}/{name}/".replace("//", "/")
        return (0, -len(place)) if end.startswith(place) else (1 if end and place.startswith(end) else 2, 0)

    return sorted(names, key=rank)


def follow(group: h5py.Group, key: str, default: h5py.Group) -> h5py.Group:
    """The group that the text in a dataset names, as pointers to results do; `default` where there is no pointer.

    Raises
    ------
    DataFormatError
        It points to nothing.
    """
    named = strings(group, key)
    if not named or not named[0]:
        return default
    found = group.file.get(named[0])
    if not isinstance(found, h5py.Group):
        raise DataFormatError(
            f"it points to {named[0]!r}, and there is no such group",
            where=place(group, key),
            expected="a group",
        )
    return found


def frame_time(instrument: Any) -> float | None:
    """Seconds from frame to frame by the first detector that says it; a period where only that is there.

    Others that say something else are named in a warning.
    """
    if isinstance(instrument, h5py.Dataset):
        raise DataFormatError("this is a dataset", where=place(instrument), expected="a group of detectors")
    found: dict[str, float] = {}
    for key in ("frame_time", "frame_period", "acquire_period"):
        for name in sorted(instrument):
            group = instrument.get(name)
            if not isinstance(group, h5py.Group):
                continue
            detector = name.startswith("detector") or text(group.attrs.get("NX_class", "")) == "NXdetector"
            if detector and has(group, key):
                found[place(group, key)] = seconds(group, key)
    first = next(iter(found), "")
    other = [f"{k} says {v:.6g} s" for k, v in found.items() if v > 0 and abs(v - found[first]) > 0.01 * v]
    if other:
        warn(
            f"{first}, {found[first]:.6g} s, is taken as the time of a frame; {', '.join(other)} (dt=… chooses)",
            DataWarning,
        )
    return found.get(first)
