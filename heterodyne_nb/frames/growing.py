"""Frames that are still arriving: from an iterator, an HDF5 file that grows (SWMR), a folder that fills, or Tiled."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import IntArray
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.frames.frameset import FrameSet
from heterodyne_nb.frames.images import SUFFIXES, images_of
from heterodyne_nb.frames.kept import Kept
from heterodyne_nb.frames.partition import Partition
from heterodyne_nb.frames.photons import Events, by_pixel, checked_events, joined
from heterodyne_nb.frames.sources import Source, dense_events, frames_a_batch
from heterodyne_nb.frames.tiled_stream import is_tiled, tiled_frames

#: Photon events that are sorted together while frames arrive.
_TOGETHER = 1 << 18
#: Seconds between looks at a file or folder that has nothing new.
POLL = 0.2


@dataclass
class GrowingFrames:
    """Photons of the frames so far, those of ``kept`` to begin with.

    Attributes: ``dt``: s. ``kept``: Where they are kept as they come. ``dropped``, ``repeated``: Frames that never came, and that came more than once.
    """

    partition: Partition
    dt: float
    kept: Kept | None = None
    repeated: int = 0
    _seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(1024, bool))
    _last: int = 0
    _waiting: list[Events] = field(default_factory=list)
    _held: int = 0
    _parts: list[Any] = field(default_factory=list)
    _dead: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        kept, self.kept = self.kept, None
        if kept is not None:
            for number, pixel, count in kept.records():
                if number == 0:
                    self._dead = np.union1d(self._dead, pixel)
                elif self._new(number):
                    self._keep(number, pixel, count)
            self.kept = kept

    @cached_property
    def _slots(self) -> NDArray[np.int32]:
        return self.partition.slots()

    @property
    def n_frames(self) -> int:
        """Number of the latest frame, from 1."""
        return self._last

    @property
    def dropped(self) -> int:
        """Frames before the latest one that have not come."""
        return self._last - int(self._seen[: self._last].sum())

    def append(self, item: Any) -> None:
        """Add what a source gives.

        ``item`` (number, array): A frame (rows, columns) or a stack of them, numbered on from the latest, or from
        ``number`` (from 1); or the photons of one frame.

        Raises DataFormatError: The frame does not fit the partition, or a count is negative or not a number.
        """
        if isinstance(item, tuple) and len(item) == 3:
            number, pixel, count = item
            if self._new(int(number)):
                self._keep(int(number), np.asarray(pixel), np.asarray(count))
            return
        number, image = item if isinstance(item, tuple) else (self._last + 1, item)
        stack = np.asarray(image)
        stack = stack[None] if stack.ndim == 2 else stack
        if stack.ndim != 3 or stack.shape[1:] != self.partition.shape:
            raise DataFormatError(
                f"a frame of shape {stack.shape[-2:]}",
                where=f"frame {number}",
                expected=f"{self.partition.shape}",
            )
        fresh = [k for k in range(len(stack)) if self._new(int(number) + k)]
        for k in fresh:
            bad: list[IntArray] = []
            _, pixel, count = dense_events(stack[k : k + 1], 0, self.partition.pixel, bad)
            dead = np.setdiff1d(bad[0], self._dead) if bad else self._dead[:0]
            if dead.size:
                self._dead = np.union1d(self._dead, dead)
                if self.kept is not None:
                    self.kept.add(0, dead, np.zeros(len(dead), np.uint16))
            self._keep(int(number) + k, pixel, count)

    def _new(self, number: int) -> bool:
        """Note a frame; False where it has been here before."""
        if number < 1:
            raise DataFormatError(f"frame number {number}", expected="numbers from 1")
        while number > len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        if self._seen[number - 1]:
            self.repeated += 1
            return False
        self._seen[number - 1], self._last = True, max(self._last, number)
        return True

    def _keep(self, number: int, pixel: NDArray[Any], count: NDArray[Any]) -> None:
        frame = np.full(len(pixel), number - 1)
        frame, place, count = checked_events(frame, pixel, count, self._slots, None)
        if self.kept is not None:
            self.kept.add(number, pixel, count)
        seen = place >= 0
        self._waiting.append((frame[seen], place[seen], count[seen]))
        self._held += int(seen.sum())
        if self._held >= _TOGETHER:
            self._sort()

    def _sort(self) -> None:
        if self._waiting:
            self._parts.append(by_pixel(self._waiting, len(self.partition.pixel)))
            self._waiting, self._held = [], 0

    def snapshot(self, lock: AbstractContextManager[Any] | None = None) -> FrameSet:
        """The frames so far as a set of its own; those that have not come are not used.

        ``lock``: Of those who append meanwhile; it is held for moments only.
        """
        lock = nullcontext() if lock is None else lock
        with lock:
            self._sort()
            if not self._parts:
                self._parts.append(by_pixel([], len(self.partition.pixel)))
            parts, last, seen, dead = (
                list(self._parts),
                self._last,
                self._seen[: self._last].copy(),
                self._dead,
            )
        photons = joined(list(parts), self.partition.first, self.partition.pixel, last)
        with lock:
            self._parts[: len(parts)] = [(photons.frame, photons.count, photons.start)]
        source = Source("live frames", "live", lambda _: iter(()), self.partition.shape, last, self.dt)
        source.bad += [dead] if dead.size else []
        frames = FrameSet(source, self.partition, self.dt)
        frames.__dict__["photons"] = frames.without_dead(photons)
        missing = np.flatnonzero(~seen) + 1
        return frames.mask_frames(missing.tolist()) if missing.size else frames


def arriving(source: Any, done: threading.Event, key: str | None = None) -> Iterator[Any]:
    """Items of a live source, for :meth:`GrowingFrames.append`, until it ends or ``done`` is set.

    ``source`` (iterable or path): Frames one after the other; a growing HDF5 file; a folder that fills with images
    or HDF5 files; or an array on a Tiled server. ``key``: Of the stack in a file.
    """
    if isinstance(source, FrameSet):
        yield from _replay(source)
    elif is_tiled(source):
        yield from tiled_frames(source, done, POLL)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        yield from _folder(path, done, key) if path.is_dir() else _file(path, done, key or "entry/data/data")
    elif isinstance(source, Iterable):
        yield from source
    else:
        raise ConfigurationError(
            f"{type(source).__name__} is no live source",
            where="source",
            expected="an iterator of frames, a growing HDF5 file, a folder, an array on a Tiled server, or a FrameSet to replay",
        )


def _replay(frames: FrameSet) -> Iterator[Any]:
    """A stored run frame by frame."""
    frame, pixel, count = frames.photons.in_time_order()
    edges = np.searchsorted(frame, np.arange(frames.n_frames + 1))
    for k in np.flatnonzero(frames.used):
        mine = slice(edges[k], edges[k + 1])
        yield int(k) + 1, pixel[mine], count[mine]


def _file(path: Path, done: threading.Event, key: str) -> Iterator[Any]:
    """Frames of an HDF5 stack while another process appends to it."""
    while not path.exists():
        if done.wait(POLL):
            return
    at = 0
    while not done.is_set():
        with _shared(path) as h5file:
            stack = h5file.get(key)
            while isinstance(stack, h5py.Dataset) and not done.is_set():
                stack.refresh()  # not that of its id, which leaves the shape that h5py remembers
                step = frames_a_batch(stack.shape[1:])
                while at < stack.shape[0]:
                    block = stack[at : at + step]
                    yield at + 1, block
                    at += len(block)
                if done.wait(POLL):
                    return
        if done.wait(POLL):
            return


def _shared(path: Path) -> h5py.File:
    """A file that may be open for writing elsewhere."""
    try:
        return h5py.File(path, "r", libver="latest", swmr=True)
    except (OSError, ValueError):
        return h5py.File(path, "r", locking=False)


def _folder(path: Path, done: threading.Event, key: str | None) -> Iterator[Any]:
    """Images or HDF5 files of a folder, in the order of their names, each once it stops growing."""
    known: set[Path] = set()
    sizes: dict[Path, int] = {}
    at = 1
    while True:
        here = sorted(p for p in path.iterdir() if p.suffix.lower() in (*SUFFIXES, ".h5", ".hdf5", ".nxs"))
        for one in here:
            size = one.stat().st_size
            if one in known or (sizes.get(one) != size and not done.is_set()):
                sizes[one] = size
                continue
            known.add(one)
            for image in images_of(one) if one.suffix.lower() in SUFFIXES else _stack_of(one, key):
                stack = image[None] if image.ndim == 2 else image
                yield at, stack
                at += len(stack)
        if done.wait(POLL):
            return


def _stack_of(path: Path, key: str | None) -> Iterator[NDArray[Any]]:
    from heterodyne_nb.frames.hdf5 import stacks

    with _shared(path) as h5file:
        for name in stacks(h5file, key):
            node = h5file[name]
            step = frames_a_batch(node.shape[1:])
            for first in range(0, node.shape[0], step):
                yield node[first : first + step]
