"""The one place where files are written: whole or not at all, and what belongs to others is never deleted.

A file or folder is made in a workplace, a hidden folder beside its final place that carries the host and process of
its writer, and moved when it is complete. What a killed writer left is swept by the next one; a folder that it had moved
aside is put back.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from os import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterodyne_nb import remote
from heterodyne_nb.errors import HeterodyneError, OutputError

if TYPE_CHECKING:
    import h5py

_HOST = re.sub(r"[^A-Za-z0-9.]+", "_", platform.node()) or "host"
_STEM = ".heterodyne_nb-"
_WORKPLACE = re.compile(re.escape(_STEM) + r"(?P<host>[\w.]+)-(?P<process>\d+)-[^-]+")
#: Workplaces in use by this process; others of its number are left from an interrupt.
_in_use: set[Path] = set()
#: Names of the files of a Zarr store: what it says of itself, and its pieces by number.
_ZARR = re.compile(r"zarr\.json|\.z(group|array|attrs|metadata)|c|\d+(\.\d+)*")
#: Bytes of an HDF5 file that is made in memory at most.
_IN_MEMORY = 1 << 28
#: What fails while a file is filled because of its place; other errors may come from what is read meanwhile.
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS)


@contextmanager
def new_file(path: remote.AnyPath) -> Iterator[Path]:
    """Yield a temporary path of the same name; move it onto `path` on success.

    A symbolic link stays one: the file that it leads to is replaced. So do the permissions of an older file.

    Raises OutputError: The folder does not exist or cannot be written, the disk is full, or there is no file at
    `path` but something else.
    """
    path = remote.place(path)
    if isinstance(path, remote.Remote):
        with path.made() as made:
            yield made
        return
    target = _place(path)
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a device or the like"
        raise OutputError(f"is {kind}, not a file", where=str(path), hint="choose another name")
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError("is write-protected and left as it is", where=str(path), hint="choose another name")
    with _workplace(target.parent) as work:
        made = work / "new" / target.name
        with explained(path, _FULL):
            yield made
            if target.exists():
                shutil.copymode(target, made)
        with explained(path):
            _flush(made)
            replace(made, target)
            _flush(target.parent)


@contextmanager
def new_h5(path: remote.AnyPath, room: int = 0, **options: Any) -> Iterator[h5py.File]:
    """An HDF5 file that takes its name only when it is complete; HDF5 itself never meets a full disk, of which it dies.

    ``room``: Bytes that the file takes at most. A large one is written to the disk, once that has granted the room
    for it; others are made in memory. ``**options``: For :class:`h5py.File`.

    Raises OutputError: As for :func:`new_file`.
    """
    import h5py

    with new_file(path) as made:
        if room > _IN_MEMORY:
            with made.open("wb") as stream:
                grant(stream.fileno(), room + room // 8)
            with h5py.File(made, "w", **options) as h5file:
                yield h5file
            return
        with h5py.File(made.name, "w", driver="core", backing_store=False, **options) as h5file:
            yield h5file
            h5file.flush()
            image = h5file.id.get_file_image()
        made.write_bytes(image)


def grant(handle: int, n_bytes: int) -> None:
    """Have the system set room aside in an open file, or raise OSError: what is then written finds it."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, n_bytes)


@contextmanager
def new_folder(path: remote.AnyPath, ours: re.Pattern[str], mark: str, kind: str) -> Iterator[Path]:
    """Yield a temporary path for a folder; exchange it for what is at `path` on success.

    ``path``: Folder to create or replace. ``ours``: Matches the name of every file that such a folder can hold. A
    folder with another one is never replaced. ``mark``: Pattern of a name that such a folder holds at its top.
    ``kind``: What such a folder is, for messages.

    Raises OutputError: Something else is at `path`, the parent folder does not exist or cannot be written, or the
    disk is full.
    """
    path = remote.place(path)
    if isinstance(path, remote.Remote):
        if path.exists() and not any(re.fullmatch(mark, name) for name in path.names()):
            raise OutputError(f"exists and is not {kind}; it is left alone", where=str(path))
        with path.made() as made:
            yield made
        return
    target = _place(path)
    recover(target)
    _refuse_foreign(target, ours, mark, kind)
    with _workplace(target.parent) as work:
        made = work / "new" / target.name
        with explained(path, _FULL):
            yield made
            for folder, _, names in os.walk(made):
                for name in names:
                    _flush(Path(folder, name))
        with explained(path):
            if target.exists():
                (work / "old").mkdir()
                replace(target, work / "old" / target.name)
            replace(made, target)
            _flush(target.parent)


def new_zarr(path: remote.AnyPath) -> AbstractContextManager[Path]:
    """As :func:`new_folder`, for a Zarr store of format 2 or 3."""
    return new_folder(path, _ZARR, r"\.zgroup|zarr\.json", "a Zarr store")


def write_text(path: remote.AnyPath, text: str) -> None:
    """Write a text file; what no UTF-8 can hold (bytes of a file name) is written as an escape."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and those above it, where they are not there yet, and return it."""
    with explained(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def recover(path: remote.AnyPath) -> None:
    """Put back the folder `path` where a writer was killed between moving it aside and putting the new one there."""
    if not isinstance(path, str | os.PathLike):
        return
    target = Path(os.path.realpath(path))
    if not target.exists() and target.parent.is_dir():
        with suppress(OSError):  # a reader without the right to write finds what is there
            _sweep(target.parent)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Hold a folder; yields whether nobody else, in this process or another, holds it or writes in it."""
    with _workplace(folder) as work:
        yield _workplaces(folder) == [work.name]


def check_folder(folder: str | os.PathLike[str], room: int) -> None:
    """Check that files can be written into a folder, which need not exist yet, before long work is begun.

    ``room``: Bytes that are needed at most.

    Raises OutputError: It, or a folder above it, is a file, may not be written, or its disk has less room.
    """
    place = Path(os.path.realpath(folder))
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise OutputError(
            f"cannot be made: {place} is a file" if place != Path(os.path.realpath(folder)) else "is a file",
            where=str(folder),
            expected="a folder, or a name not in use",
            hint="choose another folder, or move the file away",
        )
    with _workplace(place), explained(folder):
        free = shutil.disk_usage(place).free
    if free < room:
        raise OutputError(
            f"the disk has {free / 1e6:.0f} MB left",
            where=str(folder),
            expected=f"{room / 1e6:.0f} MB, which results and figures can take",
            hint="make room, or choose a folder on another disk",
        )


def _place(path: str | os.PathLike[str]) -> Path:
    """Where a file really goes: the end of its links, in a folder that exists."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputError("there is no such folder", where=str(target.parent), hint="create the folder first")
    return target


def _refuse_foreign(target: Path, ours: re.Pattern[str], mark: str, kind: str) -> None:
    if not target.exists():
        return
    found = [Path(folder, name) for folder, _, names in os.walk(target) for name in names]
    if not target.is_dir() or not any(re.fullmatch(mark, f.name) and f.parent == target for f in found):
        raise OutputError(
            f"exists and is not {kind}; it is left alone", where=str(target), hint="choose another name"
        )
    foreign = [str(file.relative_to(target)) for file in found if not ours.fullmatch(file.name)]
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        raise OutputError(
            f"holds {foreign[0]!r}{more}, no part of {kind}; the folder is left alone",
            where=str(target),
            hint="move what is yours out of it, or choose another name",
        )


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A hidden folder for what is not complete yet; what killed writers left beside it is swept."""
    work = folder / f"{_STEM}{_HOST}-{os.getpid()}-{secrets.token_hex(6)}"
    _in_use.add(work)  # before it is there, or another thread would sweep it
    try:
        with explained(folder):
            _sweep(folder)
            work.mkdir(mode=0o700)
        try:
            (work / "new").mkdir()
            yield work
        finally:
            _clear(work)
    finally:
        _in_use.discard(work)


def _workplaces(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.startswith(_STEM)]


def _sweep(folder: Path) -> None:
    for name in _workplaces(folder):
        found = _WORKPLACE.fullmatch(name)
        if found and found["host"] == _HOST and not _alive(folder / name, int(found["process"])):
            with suppress(OSError):  # another sweeper may have been faster
                _clear(folder / name)


def _alive(work: Path, process: int) -> bool:
    if process == os.getpid():
        return work in _in_use
    import psutil

    return bool(psutil.pid_exists(process))


def _clear(work: Path) -> None:
    """Put back what was moved aside, where its successor has not arrived, and remove the rest."""
    old, new = (list(part.iterdir()) if part.is_dir() else [] for part in (work / "old", work / "new"))
    if old and new:
        home = work.parent / old[0].name
        if home.exists():  # somebody put another thing there: both are kept
            return
        replace(old[0], home)
    for _ in range(20):  # a failed writer's threads may still be writing into it
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            return
        time.sleep(0.05)


def _flush(path: Path) -> None:
    """Wait until the disk has it, where the system allows that; a crash then finds the old or the new."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def explained(path: str | os.PathLike[str], reasons: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn the system's errors, or those of the given numbers, into ours."""
    try:
        yield
    except OSError as error:
        if isinstance(error, HeterodyneError) or (reasons is not None and error.errno not in reasons):
            raise
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="make room, or choose a folder where you may write",
        ) from error
