"""Where frames come from: each source gives its photon events in batches, and reads nothing before it must."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.data.formats.arrays import loading
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.frames.photons import Events
from heterodyne_nb.guard import guarded

#: Values of one batch of dense frames that are looked at together.
_VALUES = 1 << 24


@dataclass
class Source:
    """Photon events of a run."""

    name: str  #: What errors call it.
    layout: str
    #: ``batches(pixel)`` gives the events of these detector pixels (of all, for formats of events) in batches.
    batches: Callable[[IntArray], Iterator[Events]]
    shape: tuple[int, int] | None = None  #: (rows, columns): Of the detector, where the source knows it.
    n_frames: int | None = None
    dt: float | None = None  #: s.
    path: Path | None = None  #: Of the (first) file.
    once: bool = False  #: Can be read only once.
    #: Detector pixels that turned out to have no counts but a mark, filled while reading.
    bad: list[IntArray] = field(default_factory=list)


def dense_events(block: NDArray[Any], first: int, pixel: IntArray, bad: list[IntArray]) -> Events:
    """Events of consecutive dense frames (k, rows, columns), the first of number ``first``.

    Detectors mark dead pixels by the largest number of their type, or NaN: those go to ``bad``.
    """
    if block.dtype.kind not in "biuf":
        raise DataFormatError(f"frames of type {block.dtype}", where="frames", expected="numbers")
    values = block.reshape(len(block), -1)[:, pixel]
    if np.issubdtype(values.dtype, np.unsignedinteger) and values.dtype.itemsize > 1:
        marked = values == np.iinfo(values.dtype).max
    elif np.issubdtype(values.dtype, np.floating):
        marked = ~np.isfinite(values)
    else:
        marked = values < 0
    if marked.any():
        bad.append(pixel[marked.any(axis=0)])
        values = np.where(marked, 0, values)
    frame, place = np.nonzero(values)
    return frame + first, pixel[place], values[frame, place]


def frames_a_batch(shape: tuple[int, int]) -> int:
    """How many dense frames are read together."""
    return max(1, _VALUES // max(1, shape[0] * shape[1]))


def dense_source(values: Any, name: str = "frames", layout: str = "array", **known: Any) -> Source:
    """A stack (N, rows, columns): NumPy, dask, h5py or anything that can be sliced."""
    if len(values.shape) != 3 or not values.shape[0]:
        raise DataFormatError(
            f"the frames have shape {tuple(values.shape)}", where=name, expected="(frames, rows, columns)"
        )
    n, shape = int(values.shape[0]), (int(values.shape[1]), int(values.shape[2]))
    bad: list[IntArray] = []

    def batches(pixel: IntArray) -> Iterator[Events]:
        step = frames_a_batch(shape)
        for first in range(0, n, step):
            yield dense_events(np.asarray(values[first : first + step]), first, pixel, bad)

    return Source(name, layout, batches, shape, n, bad=bad, **known)


def iterator_source(frames: Iterable[Any]) -> Source:
    """Frames (rows, columns) one after the other, from anything that can be iterated over."""
    bad: list[IntArray] = []

    def batches(pixel: IntArray) -> Iterator[Events]:
        first, held = 0, list[NDArray[Any]]()
        for number, frame in enumerate(frames):
            image = np.asarray(frame)
            if image.ndim != 2 or (held and image.shape != held[0].shape):
                raise DataFormatError(
                    f"frame {number + 1} has shape {image.shape}",
                    where="frames",
                    expected="(rows, columns), the same for every frame",
                )
            if pixel.size and image.size <= pixel.max():
                raise DataFormatError(
                    f"frames have shape {image.shape}, fewer pixels than the partition", where="partition"
                )
            held.append(image)
            if len(held) >= frames_a_batch(image.shape):
                yield dense_events(np.stack(held), first, pixel, bad)
                first, held = first + len(held), []
        if held:
            yield dense_events(np.stack(held), first, pixel, bad)

    return Source("frames", "iterator", batches, once=iter(frames) is frames, bad=bad)


def event_source(frame: Any, pixel: Any, count: Any, **known: Any) -> Source:
    """Lists of frames (from 0), detector pixels and counts, in any order."""
    events = (np.asarray(frame).ravel(), np.asarray(pixel).ravel(), np.asarray(count).ravel())
    known = {"name": "events", "layout": "events", **known}
    return Source(batches=lambda _: iter([events]), **known)


def sparse_source(matrix: Any, **known: Any) -> Source:
    """A scipy.sparse matrix or array (frames, detector pixels), CSR, CSC or any other."""
    entries = matrix.tocoo()
    known = {"name": "matrix", "layout": "sparse", "n_frames": int(matrix.shape[0]), **known}
    return event_source(entries.row, entries.col, entries.data, **known)


def npz_source(path: Path) -> Source:
    """``.npz``: dense ``frames``, lists ``frame``, ``pixel``, ``count``, or a matrix as scipy.sparse saves it."""
    about: dict[str, Any] = {"name": path.name, "path": path}
    with loading(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
        names = set(held.files)
        if {"frame", "pixel", "count"} <= names:
            columns = [held[name] for name in ("frame", "pixel", "count")]
            for key in ("n_frames", "dt"):
                if key in names:
                    about[key] = held[key].item()
            if "shape" in names:
                about["shape"] = tuple(int(v) for v in held["shape"])
            return event_source(*columns, layout="events", **about)
        if {"indptr", "indices", "format"} <= names:
            from scipy.sparse import load_npz

            return sparse_source(load_npz(path), **about)
        dense = next((held[name] for name in ("frames", "data") if name in names), None)
    if dense is None:
        raise DataFormatError(
            f"the file holds {sorted(names)}",
            where=path.name,
            expected="frames (N, rows, columns); or frame, pixel, count; or a matrix of scipy.sparse.save_npz",
        )
    return dense_source(dense, layout="npz", **about)


def npy_source(path: Path) -> Source:
    """``.npy``: a dense stack, looked at batch by batch."""
    with loading(path):
        return dense_source(np.load(path, mmap_mode="r"), path.name, "npy", path=path)


def as_source(given: Any, key: str | None = None, layout: str | None = None) -> Source:
    """The source of anything :func:`open_frames` takes; ``key`` and ``layout`` are for files.

    Raises ConfigurationError: It is none of them, or one of those is given and it is no file.
    """
    if isinstance(given, str | os.PathLike):
        return _file_source([Path(given)], key, layout)
    if isinstance(given, list | tuple) and given and all(isinstance(g, str | os.PathLike) for g in given):
        return _file_source([Path(g) for g in given], key, layout)
    for name, value in (("key", key), ("layout", layout)):
        if value is not None:
            raise ConfigurationError("is for files", where=name, expected="a path or paths")
    if isinstance(given, Source):
        return given
    if isinstance(given, dict) and {"frame", "pixel", "count"} <= set(given):
        return event_source(**given)
    if isinstance(given, tuple) and len(given) == 3 and all(np.ndim(g) == 1 for g in given):
        return event_source(*given)
    if hasattr(given, "tocoo"):
        return sparse_source(given)
    if hasattr(given, "shape") and hasattr(given, "__getitem__"):
        return dense_source(given)
    if isinstance(given, Iterable):
        return iterator_source(given)
    raise ConfigurationError(
        f"{type(given).__name__} holds no frames",
        where="frames",
        expected="a path or paths, an array (N, rows, columns), a scipy.sparse matrix, (frame, pixel, count), or an "
        "iterator of frames",
    )


def _file_source(paths: list[Path], key: str | None, layout: str | None) -> Source:
    from heterodyne_nb.data.formats import hdf
    from heterodyne_nb.frames import hdf5, images, imm, rigaku

    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(p for p in paths[0].iterdir() if p.suffix.lower() in images.SUFFIXES)
        if not paths:
            raise DataFormatError("no image in this folder", expected=f"files {', '.join(images.SUFFIXES)}")
    name = paths[0].name.lower()
    kinds: dict[str, Callable[[], Source]] = {
        "rigaku": lambda: rigaku.rigaku_source(paths),
        "imm": lambda: imm.imm_source(paths[0]),
        "npz": lambda: npz_source(paths[0]),
        "npy": lambda: npy_source(paths[0]),
        "hdf5": lambda: hdf5.hdf5_source(paths, key),
        "images": lambda: images.image_source(paths),
    }
    suffixes = {
        ".imm": "imm", ".npz": "npz", ".npy": "npy", **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs"), "hdf5"),
        **dict.fromkeys(images.SUFFIXES, "images"), ".bin": "rigaku",
    }  # fmt: skip
    chosen = layout or suffixes.get(Path(name).suffix) or ("rigaku" if ".bin." in name else None)
    if chosen not in kinds:
        raise ConfigurationError(
            f"the layout of {paths[0].name} is not known"
            if chosen is None
            else f"layout {chosen!r} is not known",
            where="layout",
            expected=f"one of {', '.join(kinds)}",
        )
    if len(paths) > 1 and chosen in ("imm", "npz", "npy"):
        raise ConfigurationError(f"{len(paths)} files of layout {chosen!r}", expected="one file")
    for path in paths:
        if chosen != "rigaku" or not path.is_file():  # a dark module leaves an empty file
            hdf.check_readable(path)
    whole = f"complete files of layout {chosen!r}"
    with guarded(paths[0], whole):
        source = kinds[chosen]()
    read = source.batches

    def batches(pixel: IntArray) -> Iterator[Events]:
        with guarded(paths[0], whole):
            yield from read(pixel)

    source.batches = batches
    return source
