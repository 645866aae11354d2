"""Dense stacks in HDF5: Eiger, Lambda and whatever else writes an NXdetector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_h5
from heterodyne_nb.frames.photons import Events
from heterodyne_nb.frames.sources import Source, dense_events, frames_a_batch
from heterodyne_nb.guard import need_room


def hdf5_source(paths: list[Path], key: str | None = None) -> Source:
    """Frames of one file or of several that follow each other.

    ``key``: Path of the stack in the file; default ``/entry/data/data``, the parts ``data_000001`` ... beside it, or
    the only stack there is.

    Raises DataFormatError: No stack, several of them, or stacks of different shapes.
    """
    parts: list[tuple[Path, str, int]] = []
    shape, dt = None, None
    for path in paths:
        with hdf.open_h5(path) as h5file:
            for name in stacks(h5file, key):
                node = h5file[name]
                if shape not in (None, node.shape[1:]):
                    raise DataFormatError(
                        f"frames of {node.shape[1:]}", where=hdf.place(node), expected=f"{shape} as before"
                    )
                if node.size and not node.is_virtual and node.id.get_storage_size() == 0:
                    raise DataFormatError("nothing has been written to it", where=hdf.place(node))
                shape = node.shape[1:]
                need_room(8.0 * shape[0] * shape[1], hdf.place(node), "a frame")
                parts.append((path, name, node.shape[0]))
            dt = dt or hdf.frame_time(h5file.get("entry/instrument", {}))
    assert shape is not None
    bad: list[IntArray] = []

    def batches(pixel: IntArray) -> Iterator[Events]:
        step, first = frames_a_batch(shape), 0
        for path, name, n in parts:
            with hdf.open_h5(path) as h5file:
                for k in range(0, n, step):
                    yield dense_events(_read(h5file[name], k, k + step), first + k, pixel, bad)
            first += n

    total = sum(n for _, _, n in parts)
    return Source(paths[0].name, "hdf5", batches, shape, total, dt, paths[0], bad=bad)


def _read(node: h5py.Dataset, first: int, last: int) -> Any:
    try:
        return node[first:last]
    except OSError as error:
        raise hdf.unreadable(error, hdf.place(node), f"the stack from frame {first + 1} on") from error


def stacks(h5file: h5py.File, key: str | None) -> list[str]:
    """Paths of the stacks of frames, in order."""
    if key is not None:
        node = hdf.dataset(h5file, key, "a stack of frames")
        if node.ndim != 3:
            raise DataFormatError(
                f"the shape is {node.shape}", where=hdf.place(node), expected="(frames, rows, columns)"
            )
        return [key]
    for name in ("entry/data/data", "entry/instrument/detector/data", "entry/instrument/detector_1/data"):
        if isinstance(h5file.get(name), h5py.Dataset) and h5file[name].ndim == 3:
            return [name]
    linked = h5file.get("entry/data")
    if isinstance(linked, h5py.Group):
        numbered = sorted(name for name in linked if name.startswith("data_"))
        reached = [f"entry/data/{name}" for name in numbered if isinstance(linked.get(name), h5py.Dataset)]
        if numbered and len(reached) < len(numbered):
            lost = sorted({*numbered} - {name.rpartition("/")[2] for name in reached})
            raise DataFormatError(
                f"the linked file of {lost[0]} cannot be read",
                where=hdf.place(linked),
                hint="keep the data files beside the master file, under their names",
            )
        if reached:
            return reached
    found: list[str] = []
    h5file.visititems(
        lambda name, node: found.append(name) if isinstance(node, h5py.Dataset) and node.ndim == 3 else None
    )
    if len(found) != 1:
        raise DataFormatError(
            f"{len(found)} stacks of frames" + (f": {', '.join(found[:6])}" if found else ""),
            where=hdf.place(h5file),
            expected="one dataset (frames, rows, columns)",
            hint="name it with key=" if found else None,
        )
    return found


def write_hdf5(
    path: str | os.PathLike[str], events: Events, shape: tuple[int, int], n_frames: int, dt: float
) -> None:
    """Write events as a dense stack ``/entry/data/data`` with the frame time of an NXdetector."""
    frame, pixel, count = events
    whole = np.issubdtype(count.dtype, np.integer)
    room = 4 * n_frames * shape[0] * shape[1]
    with new_h5(path, room) as h5file:
        kind = np.uint16 if whole else np.float32
        chunk = (1, *shape)
        stack = h5file.create_dataset(
            "entry/data/data", (n_frames, *shape), kind, chunks=chunk, compression="gzip", compression_opts=1
        )
        step = frames_a_batch(shape)
        edges = np.searchsorted(frame, np.arange(0, n_frames + step, step))
        for k, first in enumerate(range(0, n_frames, step)):
            here = slice(edges[k], edges[k + 1])
            block = np.zeros((min(step, n_frames - first), shape[0] * shape[1]), kind)
            block[frame[here] - first, pixel[here]] = count[here]
            stack[first : first + len(block)] = block.reshape(-1, *shape)
        h5file["entry/instrument/detector_1/frame_time"] = dt
        h5file["entry/instrument/detector_1/frame_time"].attrs["units"] = "s"
