"""Counts of a run as a list of photons by detector pixel: memory goes with the photons, not with the frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.errors import DataFormatError

#: Photon events that are gathered before they are sorted by pixel.
_SEGMENT = 1 << 22
#: Photon events: frame (from 0, not falling), detector pixel (row * columns + column), count.
Events = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.number]]


@dataclass(frozen=True, eq=False)
class Photons:
    """Photon events of all bins, pixel by pixel and bin by bin."""

    frame: NDArray[np.int32]  #: (n,): From 0, rising within a pixel.
    count: NDArray[np.number]  #: (n,)
    start: IntArray  #: Where the events of each pixel begin.
    first: IntArray  #: Where the pixels of each bin begin.
    pixel: IntArray  #: (P,): Detector pixel, row * columns + column.
    n_frames: int

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.first) - 1

    @property
    def n_pixels(self) -> IntArray:
        """Pixels of each bin, (B,)."""
        return np.diff(self.first)

    @property
    def nbytes(self) -> int:
        """Memory of the lists."""
        return sum(a.nbytes for a in (self.frame, self.count, self.start, self.first, self.pixel))

    def events(self, b: int) -> int:
        """Number of photon events of a bin."""
        return int(self.start[self.first[b + 1]] - self.start[self.first[b]])

    def sums(self, scale: FloatArray | None = None) -> FloatArray:
        """Counts of each bin and frame, each pixel's divided by ``scale`` (P,), (B, N)."""
        weight = np.ones(len(self.pixel)) if scale is None else 1.0 / scale
        out = np.zeros((self.n_bins, self.n_frames))
        _sums(self.frame, self.count, self.start, self.first, weight, out)
        return out

    def totals(self, used: NDArray[np.bool_] | None = None) -> FloatArray:
        """Counts of each pixel over the frames that are used, (P,)."""
        keep = np.ones(self.n_frames) if used is None else np.asarray(used, float)
        out = np.zeros(len(self.pixel))
        _totals(self.frame, self.count, self.start, keep, out)
        return out

    def dense(self, pixels: slice, cell: IntArray, weight: FloatArray, cells: int) -> FloatArray:
        """Weighted counts of some pixels summed over cells of frames, (pixels, cells).

        ``pixels``: Of consecutive pixels. ``cell`` (N,): Cell of each frame; -1 where it is left out. ``weight``
        (N,).
        """
        out = np.zeros((pixels.stop - pixels.start, cells))
        _dense(self.frame, self.count, self.start, pixels.start, cell, weight, out)
        return out

    def chosen(self, pixels: IntArray, first: IntArray, frames: slice) -> Photons:
        """The photons of some pixels (by place in ``pixel``) and of consecutive frames; ``first`` are their bins."""
        begin, end = np.empty(len(pixels), np.int64), np.empty(len(pixels), np.int64)
        for k, p in enumerate(pixels):
            own = self.frame[self.start[p] : self.start[p + 1]]
            begin[k], end[k] = self.start[p] + np.searchsorted(own, [frames.start, frames.stop])
        start = np.concatenate([[0], np.cumsum(end - begin)])
        pick = np.repeat(begin - start[:-1], end - begin) + np.arange(start[-1])
        frame = self.frame[pick] - np.int32(frames.start)
        return Photons(frame, self.count[pick], start, first, self.pixel[pixels], frames.stop - frames.start)

    def in_time_order(self) -> Events:
        """Frame, detector pixel and count of every event, frame by frame."""
        pixel = np.repeat(self.pixel, np.diff(self.start))
        order = np.lexsort((pixel, self.frame))
        return self.frame[order], pixel[order], self.count[order]


def collect(
    batches: Iterable[Events],
    slots: NDArray[np.int32],
    first: IntArray,
    pixel: IntArray,
    n_frames: int | None,
) -> Photons:
    """Sort the events of a run by pixel.

    ``batches`` (frame, pixel, count): Later batches hold no earlier frames, unless they belong to other pixels.
    ``slots``: Place of each detector pixel among the pixels used, -1 for none. ``first``, ``pixel``: As
    :class:`Photons` has them. ``n_frames``: Default: up to the last photon.

    Raises DataFormatError: A pixel or frame does not exist, or a count is negative or not a number.
    """
    parts: list[tuple[NDArray[np.int32], NDArray[np.number], IntArray]] = []
    waiting: list[Events] = []
    held, last = 0, -1
    for frame, where, count in batches:
        frame, place, count = checked_events(frame, where, count, slots, n_frames)
        last = max(last, int(frame.max(initial=-1)))
        seen = place >= 0
        waiting.append((frame[seen], place[seen], count[seen]))
        held += int(seen.sum())
        if held >= _SEGMENT:
            parts.append(by_pixel(waiting, len(pixel)))
            waiting, held = [], 0
    if waiting or not parts:
        parts.append(by_pixel(waiting, len(pixel)))
    n = last + 1 if n_frames is None else n_frames
    return joined(parts, first, pixel, n)


def checked_events(
    frame: Any, where: Any, count: Any, slots: NDArray[np.int32], n_frames: int | None
) -> Events:
    """Events with the place of each among the pixels used instead of its detector pixel, -1 for none.

    Raises DataFormatError: A pixel or frame does not exist, or a count is negative or not a number.
    """
    frame, where, count = np.asarray(frame), np.asarray(where), np.asarray(count)
    if not (frame.shape == where.shape == count.shape and frame.ndim == 1):
        raise DataFormatError(
            f"{frame.shape} frames, {where.shape} pixels and {count.shape} counts",
            where="events",
            expected="three lists of the same length",
        )
    if where.size and (where.min() < 0 or where.max() >= len(slots)):
        raise DataFormatError(
            f"pixels reach from {where.min()} to {where.max()}",
            where="events",
            expected=f"row * columns + column, below {len(slots)}, of the partition's detector",
            hint="the partition belongs to another detector, or it is transposed",
        )
    if frame.size and (frame.min() < 0 or (n_frames is not None and frame.max() >= n_frames)):
        raise DataFormatError(
            f"frames reach from {frame.min()} to {frame.max()}",
            where="events",
            expected="frames from 0" + ("" if n_frames is None else f" to {n_frames - 1}"),
        )
    if count.size and not (np.isfinite(count).all() and count.min() >= 0):
        raise DataFormatError(
            "a count is negative or not a number",
            where="events",
            hint="leave such pixels out with a mask of pixels",
        )
    return frame, slots[where], count


def by_pixel(batches: list[Events], pixels: int) -> tuple[NDArray[np.int32], NDArray[np.number], IntArray]:
    """Frames and counts sorted by pixel, frames rising, and where each pixel begins."""
    if batches:
        frame, place, count = (np.concatenate(column) for column in zip(*batches, strict=True))
    else:
        frame, place, count = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint16)
    if np.any(np.diff(frame) < 0):
        order = np.argsort(frame, kind="stable")
        frame, place, count = frame[order], place[order], count[order]
    whole = np.issubdtype(count.dtype, np.integer) and int(count.max(initial=0)) <= np.iinfo(np.uint16).max
    count = count.astype(np.uint16 if whole else np.float32)
    start = np.zeros(pixels + 1, np.int64)
    np.cumsum(np.bincount(place, minlength=pixels), out=start[1:])
    out_frame, out_count = np.empty(len(frame), np.int32), np.empty_like(count)
    _scatter(frame.astype(np.int32), place, count, start[:-1].copy(), out_frame, out_count)
    return out_frame, out_count, start


def joined(parts: list, first: IntArray, pixel: IntArray, n_frames: int) -> Photons:
    """One list from those of consecutive times, which are given up one by one."""
    if len(parts) == 1:
        frame, count, start = parts.pop()
    else:
        start = np.sum([part[2] for part in parts], axis=0)
        kind = np.result_type(*(part[1].dtype for part in parts))
        frame, count = np.empty(int(start[-1]), np.int32), np.empty(int(start[-1]), kind)
        at = start[:-1].copy()
        while parts:
            some_frame, some_count, some_start = parts.pop(0)
            _append(some_frame, some_count.astype(kind), some_start, at, frame, count)
    kept = np.zeros(len(pixel), np.int64)
    _tidy(frame, count, start, kept)
    if kept.sum() < len(frame):
        pick = np.repeat(start[:-1] - np.concatenate([[0], np.cumsum(kept)[:-1]]), kept) + np.arange(
            kept.sum()
        )
        frame, count = frame[pick], count[pick]
        start = np.concatenate([[0], np.cumsum(kept)])
    return Photons(frame, count, start, first, pixel, n_frames)


@nb.njit(cache=True, nogil=True)
def _scatter(frame, place, count, at, out_frame, out_count):
    for i in range(len(frame)):
        k = at[place[i]]
        out_frame[k], out_count[k] = frame[i], count[i]
        at[place[i]] = k + 1


@nb.njit(cache=True, nogil=True)
def _append(frame, count, start, at, out_frame, out_count):
    for p in range(len(at)):
        n = start[p + 1] - start[p]
        out_frame[at[p] : at[p] + n] = frame[start[p] : start[p + 1]]
        out_count[at[p] : at[p] + n] = count[start[p] : start[p + 1]]
        at[p] += n


@nb.njit(cache=True, nogil=True)
def _tidy(frame, count, start, kept):
    """Frames in order, one event for a pixel and frame, none without a photon, in place; kept: how many are left."""
    for p in range(len(kept)):
        a, b = start[p], start[p + 1]
        for i in range(a + 1, b):
            if frame[i] < frame[i - 1]:
                order = np.argsort(frame[a:b], kind="mergesort")
                frame[a:b] = frame[a:b][order]
                count[a:b] = count[a:b][order]
                break
        k = a
        for i in range(a, b):
            if count[i] == 0:
                continue
            if k > a and frame[k - 1] == frame[i]:
                count[k - 1] += count[i]
            else:
                frame[k], count[k] = frame[i], count[i]
                k += 1
        kept[p] = k - a


@nb.njit(cache=True, nogil=True)
def _sums(frame, count, start, first, weight, out):
    for b in range(len(first) - 1):
        row = out[b]
        for p in range(first[b], first[b + 1]):
            for i in range(start[p], start[p + 1]):
                row[frame[i]] += weight[p] * count[i]


@nb.njit(cache=True, nogil=True)
def _totals(frame, count, start, keep, out):
    for p in range(len(out)):
        for i in range(start[p], start[p + 1]):
            out[p] += keep[frame[i]] * count[i]


@nb.njit(cache=True, nogil=True)
def _dense(frame, count, start, p0, cell, weight, out):
    for p in range(out.shape[0]):
        row = out[p]
        for i in range(start[p0 + p], start[p0 + p + 1]):
            k = cell[frame[i]]
            if k >= 0:
                row[k] += weight[frame[i]] * count[i]
