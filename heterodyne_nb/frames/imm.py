"""IMM files: a head of 1024 bytes a frame; compression 6 is sparse, 4-byte places before 2-byte counts."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_file
from heterodyne_nb.frames.photons import Events
from heterodyne_nb.frames.sources import Source

HEAD, _SPARSE = 1024, 6
#: Places of the numbers needed in a head: compression, rows, columns, bytes of a pixel, dlen.
_PLACES = {"compression": 4, "rows": 108, "columns": 112, "bytes": 116, "dlen": 152}


def imm_source(path: Path) -> Source:
    """Frames of an IMM file, sparse or dense.

    Raises DataFormatError: Not an IMM file, or it ends inside a frame.
    """
    heads = _heads(path)
    first = heads[0][1]
    shape = (first["rows"], first["columns"])

    def batches(_: IntArray) -> Iterator[Events]:
        with path.open("rb") as stream:
            for number, (place, head) in enumerate(heads):
                stream.seek(place)
                n = head["dlen"]
                sparse = head["compression"] == _SPARSE
                pixel = np.fromfile(stream, "<u4", n).astype(np.int64) if sparse else np.arange(n)
                count = np.fromfile(stream, f"<u{2 if sparse else head['bytes']}", n)
                seen = count > 0
                yield np.full(int(seen.sum()), number, np.int32), pixel[seen], count[seen]

    return Source(path.name, "imm", batches, shape, len(heads), path=path)


def _heads(path: Path) -> list[tuple[int, dict[str, int]]]:
    """Where the data of each frame begin, and what its head says."""
    found: list[tuple[int, dict[str, int]]] = []
    at, size = 0, path.stat().st_size
    with path.open("rb") as stream:
        while at < size:
            stream.seek(at)
            raw = stream.read(HEAD)
            if len(raw) < HEAD:
                raise _cut_short(path, len(found))
            head = {name: struct.unpack_from("<i", raw, place)[0] for name, place in _PLACES.items()}
            if not (0 < head["rows"] < 1 << 16 and 0 < head["columns"] < 1 << 16 and head["dlen"] >= 0):
                raise DataFormatError(
                    f"the head of frame {len(found) + 1} says {head['rows']} × {head['columns']} pixels, "
                    f"{head['dlen']} values",
                    where=path.name,
                    expected="an IMM file",
                )
            width = 6 if head["compression"] == _SPARSE else head["bytes"]
            found.append((at + HEAD, head))
            at += HEAD + head["dlen"] * width
            if at > size:
                raise _cut_short(path, len(found) - 1)
    return found


def _cut_short(path: Path, whole: int) -> DataFormatError:
    return DataFormatError(
        f"the file ends inside a frame, after {whole} whole ones",
        where=path.name,
        hint="copy it again, or wait until it has been written",
    )


def write_imm(path: Path, events: Events, shape: tuple[int, int], n_frames: int) -> None:
    """Write events, frame by frame, as a sparse IMM file."""
    frame, pixel, count = events
    if np.any(count != np.round(count)) or np.max(count, initial=0) > np.iinfo(np.uint16).max:
        raise DataFormatError("counts", where=path.name, expected="whole numbers of 16 bits")
    edges = np.searchsorted(frame, np.arange(n_frames + 1))
    with new_file(path) as made, made.open("wb") as stream:
        for number in range(n_frames):
            mine = slice(edges[number], edges[number + 1])
            head, about = bytearray(HEAD), (_SPARSE, *shape, 2, int(edges[number + 1] - edges[number]))
            for place, value in zip(_PLACES.values(), about, strict=True):
                struct.pack_into("<i", head, place, value)
            stream.write(head)
            stream.write(pixel[mine].astype("<u4").tobytes() + count[mine].astype("<u2").tobytes())
