"""Files that are not on a disk of this machine: URLs through fsspec, and file objects; only what is read travels.

Credentials come from fsspec's own configuration (``~/.config/fsspec``, ``FSSPEC_…``, those of each service). What a URL
holds of them, a password or a query, serves to open it and is never shown, recorded or saved.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from heterodyne_nb.errors import (
    DataFormatError,
    HeterodyneError,
    MissingExtraError,
    MissingFileError,
    OutputError,
)

__all__ = ["AnyPath", "Place", "Remote", "RemoteFile", "is_url", "place", "public"]

#: Bytes of a block, blocks kept, and the most that is read ahead where reads follow each other; longer reads go alone.
BLOCK, KEPT, AHEAD = 1 << 16, 512, 1 << 18
#: Seconds before each further attempt after a connection was lost.
WAITS = (0.2, 0.5, 1.0)
_GONE = (FileNotFoundError, IsADirectoryError, PermissionError, NotImplementedError, TypeError)
Found = TypeVar("Found")


def is_url(path: Any) -> bool:
    """Whether a path is an address, such as ``s3://bucket/run.h5``."""
    return isinstance(path, str) and "://" in path


def place(path: Any) -> Place:
    """Where a file is: on this machine (a Path), or elsewhere."""
    if isinstance(path, Remote | Path):
        return path
    if is_url(path):
        if path.startswith("file://"):
            return Path(urllib.request.url2pathname(urllib.parse.urlsplit(path).path))
        return Remote(path)
    if hasattr(path, "full_name") and hasattr(path, "open"):
        path = path.open()  # as fsspec.open gives it
    if hasattr(path, "read") and hasattr(path, "seek"):
        name = getattr(path, "full_name", None) or getattr(path, "path", None) or getattr(path, "name", None)
        return Remote(f"object://{os.path.basename(str(name)) if name else 'file'}", path)
    return Path(path)


def absolute(path: Any) -> Place:
    """The place, whole where it is on this machine; ``~`` is the home of the user."""
    found = place(path)
    return found.expanduser().absolute() if isinstance(found, Path) else found


def told(path: Any) -> str:
    """What a dataset may remember of its file."""
    if isinstance(path, Remote):
        return path.name if path.source is not None else str(path)
    return str(path.absolute() if isinstance(path, Path) else path)


def public(url: str) -> str:
    """A URL without user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@dataclass(frozen=True)
class Remote:
    """A file or folder elsewhere; as far as it is used here, it answers as a Path does."""

    url: str  #: In full, for opening; ``str(remote)`` is what may be shown.
    source: Any = None  #: What is read instead.

    def __str__(self) -> str:
        return public(self.url)

    def __repr__(self) -> str:
        return str(self)

    def __truediv__(self, name: str) -> Remote:
        parts = urllib.parse.urlsplit(self.url)
        return Remote(parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl())

    @property
    def name(self) -> str:
        """Last part of the path, or the host or bucket where that is all."""
        return str(self).rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Remote:
        """The folder."""
        parts = urllib.parse.urlsplit(self.url)
        return Remote(parts._replace(path=parts.path.rstrip("/").rpartition("/")[0]).geturl())

    @property
    def suffix(self) -> str:
        """Ending of the name."""
        return Path(self.name).suffix

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """fsspec's file system and what it calls this."""
        need("fsspec", str(self))
        import fsspec

        try:
            system, inside = fsspec.core.url_to_fs(self.url)
            return system, inside
        except ImportError as error:
            missing = error.name or str(error)
            raise MissingExtraError(
                f"{missing} is not installed", where=str(self), hint="pip install 'heterodyne_nb[remote]'"
            ) from None
        except ValueError as error:
            raise DataFormatError(self.said(error), where=str(self), expected="https://, s3://, …") from None

    def said(self, error: Exception) -> str:
        """What an error says, without secrets of the address."""
        text = str(error) or type(error).__name__
        secret = urllib.parse.urlsplit(self.url)
        for part in (self.url, secret.query, secret.netloc.rpartition("@")[0]):
            text = text.replace(part, "…") if part else text
        return text

    def _tried(self, what: Callable[[Any, str], Found]) -> Found:
        """Do something with the file system, again where the connection is lost.

        Raises MissingFileError, DataFormatError.
        """
        system, path = self._opened
        for wait in (*WAITS, None):
            try:
                return what(system, path)
            except HeterodyneError:
                raise
            except FileNotFoundError:
                raise MissingFileError("there is no such file", where=str(self)) from None
            except _GONE as error:
                raise DataFormatError(f"cannot be read: {self.said(error)}", where=str(self)) from None
            except Exception as error:  # each service has errors of its own
                if 400 <= getattr(error, "status", 500) < 500:
                    raise DataFormatError(
                        f"the server refuses: {self.said(error)}", where=str(self)
                    ) from None
                if wait is None:
                    raise DataFormatError(
                        f"the connection is lost ({type(error).__name__}: {self.said(error)})",
                        where=str(self),
                        hint=f"it was tried {len(WAITS) + 1} times; try again later",
                    ) from None
                system.invalidate_cache()
                time.sleep(wait)
        raise AssertionError("unreachable")

    # -- reading -----------------------------------------------------------------------------------

    @cached_property
    def size(self) -> int:
        """Bytes."""
        if self.source is not None:
            return int(self.source.seek(0, os.SEEK_END))
        found = self._tried(lambda system, path: system.info(path).get("size"))
        if found is None:
            raise DataFormatError("the server does not say how long the file is", where=str(self))
        return int(found)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.source is not None or self._tried(lambda system, path: bool(system.exists(path)))

    is_file = exists

    def is_dir(self) -> bool:
        """Whether it is a folder; a plain web server has none."""
        if self.source is not None or self.url.startswith("http"):
            return False
        return self._tried(lambda system, path: bool(system.isdir(path)))

    def names(self) -> list[str]:
        """Names in a folder."""
        return self._tried(
            lambda system, path: [n.rstrip("/").rpartition("/")[2] for n in system.ls(path, detail=False)]
        )

    def found(self, inside: str = "") -> list[str]:
        """Addresses of what fits this one as a pattern, or a pattern inside of this folder, in their order."""
        pattern = f"{{}}/{inside}" if inside else "{}"

        def look(system: Any, path: str) -> list[str]:
            hits = system.glob(pattern.format(path.rstrip("/")))
            return [str(system.unstrip_protocol(one)) for one in sorted(hits)]

        return self._tried(look)

    def bytes(self, start: int, end: int) -> bytes:
        """The bytes from start up to end."""
        if self.source is not None:
            self.source.seek(start)
            return bytes(self.source.read(end - start))

        def fetch(system: Any, path: str) -> bytes:
            data = bytes(system.cat_file(path, start=start, end=end))
            if len(data) == self.size != end - start:
                data = data[start:end]  # a server without ranges sends all
            if len(data) != end - start:
                raise ConnectionError(f"{len(data)} of {end - start} bytes have come")
            return data

        return self._tried(fetch)

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of it as text."""
        return self.bytes(0, self.size).decode(encoding)

    def open(self) -> RemoteFile:
        """A file object that reads blocks when they are wanted."""
        return RemoteFile(self)

    @contextmanager
    def copied(self, *beside: str) -> Iterator[Path]:
        """A copy on this machine for as long as it is needed, a whole folder too; of files beside it where they are."""
        with tempfile.TemporaryDirectory(prefix="heterodyne_nb-") as folder:
            target = Path(folder) / self.name
            if self.source is not None:
                target.write_bytes(self.bytes(0, self.size))
            else:
                deep = self.is_dir()
                self._tried(lambda system, path: system.get(path.rstrip("/"), str(target), recursive=deep))
            for ending in beside if self.source is None else ():
                other = Remote(self.url.replace(self.name, Path(self.name).stem + ending))
                if other.exists():
                    Path(folder, other.name).write_bytes(other.bytes(0, other.size))
            yield target

    # -- writing -----------------------------------------------------------------------------------

    @contextmanager
    def made(self) -> Iterator[Path]:
        """A path on this machine for a new file or folder, which is sent when it is complete.

        Raises OutputError: It cannot be written there.
        """
        with tempfile.TemporaryDirectory(prefix="heterodyne_nb-") as folder:
            local = Path(folder) / self.name
            yield local
            try:
                if self.source is not None:
                    with local.open("rb") as stream:
                        shutil.copyfileobj(stream, self.source)
                else:
                    self._tried(lambda system, path: _send(system, local, path))
            except DataFormatError as error:
                raise OutputError(f"cannot be written: {error.message}", where=str(self)) from None


def _send(system: Any, local: Path, path: str) -> None:
    if local.is_dir():
        if system.exists(path):
            system.rm(path, recursive=True)
        for file in sorted(one for one in local.rglob("*") if one.is_file()):
            target = f"{path.rstrip('/')}/{file.relative_to(local).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(file), target)
    else:
        system.put_file(str(local), path)


Place = Path | Remote
AnyPath = str | os.PathLike[str] | Remote


class RemoteFile(io.RawIOBase):
    """A seekable file of a :class:`Remote`, read in blocks; large reads are one request, small ones share theirs.

    Its repr is the public address, which HDF5 takes for the file's name.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.failure: HeterodyneError | None = None
        self._at, self._last = 0, (-1, 0)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return str(self.remote)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFile, (self.remote,)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.remote.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        with self._lock:
            data = self._read(self._at, min(self._at + len(buffer), self.remote.size))
            self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _read(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        try:
            if end - start >= AHEAD:
                return self.remote.bytes(start, end)
            first, last = start // BLOCK, (end - 1) // BLOCK
            data = b"".join(self._block(k) for k in range(first, last + 1))
        except HeterodyneError as error:
            self.failure = error
            raise
        return data[start - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            following, count = self._last
            count = min(2 * count, AHEAD // BLOCK) if number == following else 1
            last = -(-self.remote.size // BLOCK)
            wanted = [number]
            while len(wanted) < count and wanted[-1] + 1 < last and wanted[-1] + 1 not in self._blocks:
                wanted.append(wanted[-1] + 1)
            first = number * BLOCK
            data = self.remote.bytes(first, min(first + len(wanted) * BLOCK, self.remote.size))
            for k, one in enumerate(wanted):
                self._blocks[one] = data[k * BLOCK : (k + 1) * BLOCK]
            self._last = wanted[-1] + 1, len(wanted)
        self._blocks.move_to_end(number)
        found = self._blocks[number]
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
        return found


def need(package: str, where: str) -> None:
    """Refuse where a package of the extra is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(
            f"{package} is not installed", where=where, hint="pip install 'heterodyne_nb[remote]'"
        )
