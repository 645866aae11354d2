"""Photons that are kept on disk as they come, so that a live fit which was killed goes on with all of them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.errors import DataFormatError, OutputError
from heterodyne_nb.frames.partition import Partition

_FORM = "heterodyne_nb live frames 1"
_RECORD = np.dtype([("number", "<i8"), ("photons", "<i8"), ("float", "<i8")])


class Kept:
    """A file that photons are appended to, and that they are read from again.

    After a line that says what it is come records: the number of a frame (from 1; 0 for dead pixels), of its photons, and 1
    where counts are not whole; then pixels, int32, and counts, uint32 or float32. What a kill cut off at the end is
    taken off.

    ``path``: Made where it is not there. Raises DataFormatError: The file is of other bins or another frame time, or
    no such file. Raises OutputError: It cannot be written.
    """

    def __init__(self, path: Path, partition: Partition, dt: float) -> None:
        bins = zlib.crc32(np.ascontiguousarray(partition.labels, "<i8").data)
        head = f"{json.dumps([_FORM, list(partition.shape), bins, dt])}\n".encode()
        self.path, self._begin = path, len(head)
        try:
            path.touch()
            with path.open("r+b") as file:
                there = file.read(len(head))
                if not head.startswith(there):
                    raise DataFormatError(
                        "the file holds other frames", where=str(path), expected="those of these bins and frame times",
                        hint="name another file, or remove this one",
                    )  # fmt: skip
                file.seek(0)
                file.write(head)
                for _ in self._of(file):
                    pass
                file.truncate()
        except OSError as error:
            raise OutputError(str(error), where=str(path), hint="name a file that can be written") from error

    def records(self) -> Iterator[tuple[int, NDArray[np.int32], NDArray[Any]]]:
        """Number, pixels and counts of what was kept, in the order it came."""
        with self.path.open("rb") as file:
            yield from self._of(file)

    def _of(self, file: BinaryIO) -> Iterator[tuple[int, NDArray[np.int32], NDArray[Any]]]:
        """See :meth:`records`; the file is left at the end of the last whole one."""
        size, end = file.seek(0, os.SEEK_END), file.seek(self._begin)
        while len(head := file.read(_RECORD.itemsize)) == _RECORD.itemsize:
            number, photons, floats = np.frombuffer(head, _RECORD)[0].tolist()
            if not 0 <= 8 * photons <= size - end - _RECORD.itemsize:
                break
            pixel, count = (file.read(4 * photons) for _ in range(2))
            end = file.tell()
            yield number, np.frombuffer(pixel, "<i4"), np.frombuffer(count, "<f4" if floats else "<u4")
        file.seek(end)

    def add(self, number: int, pixel: NDArray[Any], count: NDArray[Any]) -> None:
        """Keep a frame, or dead pixels as number 0; it is with the system, and survives us, when this returns."""
        whole = np.issubdtype(count.dtype, np.integer)
        head = np.array([(number, len(pixel), not whole)], _RECORD)
        parts = (
            head.tobytes(),
            pixel.astype("<i4").tobytes(),
            count.astype("<u4" if whole else "<f4").tobytes(),
        )
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(parts))
        except OSError as error:
            raise OutputError(str(error), where=str(self.path), hint="make room on the disk") from error
