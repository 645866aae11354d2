"""Events of Rigaku detectors: 64 bits each, count in bits 0-11, pixel in bits 16-36, frame in bits 40-63."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import explained, new_file
from heterodyne_nb.frames.photons import Events
from heterodyne_nb.frames.sources import Source

#: Rows and columns of a 500k module, and how six of them make a 3M: by rows of two, with gaps between.
MODULE = (512, 1024)
ORDER, GAPS = (5, 0, 4, 1, 3, 2), (70, 52)
SHAPE_3M = (3 * MODULE[0] + 2 * GAPS[0], 2 * MODULE[1] + GAPS[1])
_COUNT, _PIXEL, _FRAME = (1 << 12) - 1, (1 << 21) - 1, (1 << 24) - 1
_EVENTS = 1 << 22


def rigaku_source(paths: list[Path]) -> Source:
    """One file of a 500k, or the six ``.bin.000`` ... ``.bin.005`` of a 3M (the first or all of them named).

    Raises DataFormatError: A file of the six is missing, or a length is not that of whole events.
    """
    if ".bin." in paths[0].name:
        stem = paths[0].name.rpartition(".")[0]
        paths = [paths[0].with_name(f"{stem}.{number:03d}") for number in range(6)]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise DataFormatError(
                f"{', '.join(missing)} of a Rigaku 3M missing",
                where=str(paths[0].parent),
                expected="six files",
            )
    for path in paths:
        if path.stat().st_size % 8:
            raise DataFormatError(
                f"{path.stat().st_size} bytes are not whole events of 8",
                where=path.name,
                expected="a complete file of 64-bit events",
                hint="copy it again, or wait until it has been written",
            )
    if not any(path.stat().st_size for path in paths):
        raise DataFormatError("there is no event", where=paths[0].name, hint="was it copied completely?")
    shape = SHAPE_3M if len(paths) == 6 else MODULE

    def batches(_: IntArray) -> Iterator[Events]:
        for number, path in enumerate(paths):
            with path.open("rb") as stream:
                while (words := np.fromfile(stream, "<u8", _EVENTS)).size:
                    yield _unpacked(words, number if len(paths) == 6 else None)

    return Source(paths[0].name, "rigaku", batches, shape, _frame_number(paths), path=paths[0])


def _frame_number(paths: list[Path]) -> int:
    """Frames are sorted: the last event is of the last frame that has one."""
    last = 0
    for path in paths:
        if size := path.stat().st_size:
            word = np.fromfile(path, "<u8", 1, offset=size - 8)
            last = max(last, int(word[0] >> np.uint64(40)) + 1)
    return last


def _unpacked(words: NDArray[np.uint64], module: int | None) -> Events:
    frame = ((words >> np.uint64(40)) & np.uint64(_FRAME)).astype(np.int32)
    pixel = ((words >> np.uint64(16)) & np.uint64(_PIXEL)).astype(np.int64)
    count = (words & np.uint64(_COUNT)).astype(np.uint16)
    pixel = np.where(pixel >= 1 << 20, pixel - (1 << 20), pixel)  # some modules count from 2^20
    if module is None:
        return frame, pixel, count
    row, column = divmod(ORDER.index(module), 2)
    y, x = np.divmod(pixel, MODULE[1])
    y, x = y + row * (MODULE[0] + GAPS[0]), x + column * (MODULE[1] + GAPS[1])
    return frame, y * SHAPE_3M[1] + x, count


def write_rigaku(path: Path, events: Events, shape: tuple[int, int]) -> None:
    """Write the events of a 500k, or of a 3M as six files ``path.000`` ... ``path.005``.

    Raises DataFormatError: The detector has another shape, or a count has no room in 12 bits.
    """
    frame, pixel, count = events
    if shape not in (MODULE, SHAPE_3M):
        raise DataFormatError(f"a detector of {shape}", where=path.name, expected=f"{MODULE} or {SHAPE_3M}")
    if np.any(count != np.round(count)) or np.max(count, initial=0) > _COUNT:
        raise DataFormatError("counts", where=path.name, expected=f"whole numbers up to {_COUNT}")
    if shape == MODULE:
        _write_events(path, frame, pixel, count)
        return
    y, x = np.divmod(pixel, SHAPE_3M[1])
    (row, y), (column, x) = np.divmod(y, MODULE[0] + GAPS[0]), np.divmod(x, MODULE[1] + GAPS[1])
    if np.any(y >= MODULE[0]) or np.any(x >= MODULE[1]):
        raise DataFormatError("photons in the gaps between modules", where=path.name)
    for number in range(6):
        mine = row * 2 + column == ORDER.index(number)
        local = (y * MODULE[1] + x)[mine]
        _write_events(path.with_name(f"{path.name}.{number:03d}"), frame[mine], local, count[mine])


def _write_events(
    path: Path, frame: NDArray[np.integer], pixel: NDArray[np.integer], count: NDArray[np.number]
) -> None:
    words = frame.astype("<u8") << np.uint64(40)
    with new_file(path) as made, explained(path):
        (words | pixel.astype("<u8") << np.uint64(16) | count.astype("<u8")).tofile(made)
