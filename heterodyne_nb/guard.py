"""The one door through which files are read: whatever goes wrong becomes our error, and what we wrote is known again.

A seal is a checksum over the numbers, names and attributes of a dataset, independent of the file format; every file of
our own carries one, and is refused where it does not fit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from heterodyne_nb.errors import DataFormatError, HeterodyneError, MissingFileError

if TYPE_CHECKING:
    import xarray as xr

#: Attribute of a sealed dataset.
SEAL = "heterodyne_nb_sha256"
_LONGEST = 300


@contextmanager
def guarded(
    where: Any,
    expected: str = "a complete file of this kind",
    *,
    error: type[HeterodyneError] = DataFormatError,
    hint: str | None = "the file may be damaged, or still being written",
) -> Iterator[None]:
    """Turn whatever a library raises while a file is read into an error of ours.

    ``where`` (path, Remote, or Zarr group or store): The file, for the message. ``expected``: What would have been
    right. ``error``: What is raised; a file that is not there is a MissingFileError all the same. ``hint``: How to
    mend it.
    """
    try:
        yield
    except (HeterodyneError, Warning):  # a warning where the user has made them errors
        raise
    except FileNotFoundError as problem:
        if isinstance(where, str | os.PathLike) and os.path.lexists(where):
            raise _ours(error, problem, where, expected, hint) from problem
        raise MissingFileError("there is no such file", where=_place(where), expected=expected) from problem
    except Exception as problem:
        raise _ours(error, problem, where, expected, hint) from problem


def _ours(
    error: type[HeterodyneError], problem: Exception, where: Any, expected: str, hint: str | None
) -> HeterodyneError:
    text = where.said(problem) if hasattr(where, "said") else str(problem)
    told = " ".join(text.split()) or "no more is known"
    if isinstance(problem, MemoryError):
        told = f"it asks for more memory than there is: {told}"
    if len(told) > _LONGEST:
        told = f"{told[:_LONGEST]} …"
    text = f"cannot be read ({type(problem).__name__}: {told})"
    return error(text, where=_place(where), expected=expected, hint=hint)


def _place(where: Any) -> str:
    return os.fsdecode(where) if isinstance(where, str | bytes | os.PathLike) else str(where)


def need_room(n_bytes: float, where: str, what: str) -> None:
    """Refuse what would not fit into memory before anything is allocated for it.

    Raises DataFormatError: More than half of the memory that is free would be needed.
    """
    if n_bytes < 1 << 26:
        return
    import psutil

    free = psutil.virtual_memory().available
    if n_bytes > free / 2:
        raise DataFormatError(
            f"{what} would take {n_bytes / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free",
            where=where,
            expected="what fits into half of the free memory",
        )


def seal_of(dataset: xr.Dataset, skip: tuple[str, ...] = ()) -> str:
    """Checksum of names, dimensions, attributes and values; the values of the variables in `skip` do not count."""
    made = hashlib.sha256(_words(dataset.attrs))
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        made.update(_words([name, name in dataset.coords, variable.dims, variable.shape, variable.attrs]))
        if name in skip:
            continue
        values = variable.values
        if values.dtype.kind in "biufc":
            made.update(values.dtype.newbyteorder("<").str.encode())
            made.update(values.astype(values.dtype.newbyteorder("<"), order="C", copy=False).tobytes())
        else:
            made.update(_words([str(one) for one in values.ravel().tolist()]))
    return made.hexdigest()


def sealed(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its checksum as an attribute."""
    return dataset.assign_attrs({SEAL: seal_of(dataset)})


def _words(value: Any) -> bytes:
    """One writing of names and attributes, whatever library has read them."""
    return json.dumps(_plain(value), sort_keys=True, default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if key != SEAL}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return _plain(value[0]) if len(value) == 1 else [_plain(one) for one in value]
    return float(value) if isinstance(value, bool | int | float) else value


def check_seal(dataset: xr.Dataset, where: str, *, needed: bool, skip: tuple[str, ...] = ()) -> xr.Dataset:
    """The dataset without its seal.

    Raises DataFormatError: The seal does not fit what was read, or there is none where one is `needed`.
    """
    said = dataset.attrs.get(SEAL)
    if said is None and not needed:
        return dataset
    if said != seal_of(dataset, skip):
        raise DataFormatError(
            "the checksum is missing" if said is None else "the contents do not fit the checksum",
            where=where,
            expected="what heterodyne_nb wrote, unchanged",
            hint="the file was damaged or changed after it was written: take another copy",
        )
    bare = dataset.copy(deep=False)
    del bare.attrs[SEAL]
    bare.set_close(dataset.close)
    return bare
