"""Frames of a run with their bins: read when first needed, then kept as lists of photons."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.data.dataset import ATTRS
from heterodyne_nb.data.prepare import named_frames
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn
from heterodyne_nb.files import explained, new_file
from heterodyne_nb.frames.partition import Partition, as_partition
from heterodyne_nb.frames.photons import Photons, collect
from heterodyne_nb.frames.sources import Source, as_source

_FEW = 3


class FrameSet:
    """Detector frames with their bins, as :func:`open_frames` and ``simulate.frames`` make them.

    Attributes
    ----------
    source : Source
    partition : Partition
        Bins of the pixels that are used.
    dt : float
        Time from frame to frame, s; frame k, from 1, is at k dt.
    smoothing : bool
        Whether counts are divided by the mean in time of their static region.
    first_frame : int
        Number of the first frame kept.
    """

    def __init__(
        self,
        source: Source,
        partition: Partition,
        dt: float,
        *,
        left_out: Any = None,
        smoothing: bool = False,
    ) -> None:
        if not (np.isfinite(dt) and dt > 0):
            raise ConfigurationError(f"dt = {dt!r} s", where="dt", expected="a positive frame time in s")
        if source.shape is not None and tuple(source.shape) != partition.shape:
            raise ConfigurationError(
                f"frames of {tuple(source.shape)} do not fit a partition of {partition.shape}",
                where="partition",
                expected="the same rows and columns",
                hint="transpose the partition"
                if tuple(source.shape) == partition.shape[::-1]
                else "is it of the same detector?",
            )
        self.source, self.partition, self.dt, self.smoothing = source, partition, float(dt), smoothing
        self.first_frame = 1
        self._left_out = left_out

    @property
    def q(self) -> FloatArray:
        """1/Å, (B,)."""
        return self.partition.q

    @property
    def phi(self) -> FloatArray:
        """Degrees, (B,)."""
        return self.partition.phi

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.partition.n_bins

    @property
    def n_pixels(self) -> IntArray:
        """Pixels of each bin, (B,)."""
        return np.diff(self.partition.first)

    @property
    def n_frames(self) -> int:
        """Number of frames; sources that do not tell are read."""
        if "photons" not in self.__dict__ and self.source.n_frames is not None:
            return self.source.n_frames
        return self.photons.n_frames

    @property
    def frame(self) -> IntArray:
        """Numbers of the frames, from 1 for the first of the run, (N,)."""
        return self.first_frame + np.arange(self.n_frames)

    @property
    def t(self) -> FloatArray:
        """Times of the frames, s, (N,)."""
        return np.asarray(self.frame * self.dt, float)

    @cached_property
    def photons(self) -> Photons:
        """The photons, read now."""
        source, partition = self.source, self.partition
        found = collect(
            source.batches(partition.pixel),
            partition.slots(),
            partition.first,
            partition.pixel,
            source.n_frames,
        )
        if found.n_frames < _FEW:
            raise DataFormatError(f"{found.n_frames} frames", where=source.name, expected=f"at least {_FEW}")
        return self.without_dead(found)

    def without_dead(self, photons: Photons) -> Photons:
        """The photons but for pixels that the source marks as dead, which leave the partition as well."""
        if not self.source.bad:
            return photons
        dead = np.unique(np.concatenate(self.source.bad))
        warn(
            f"{self.source.name}: {len(dead)} pixel{'s' if len(dead) > 1 else ''} that the detector marks as dead left "
            "out",
            DataWarning,
        )
        used = np.ones(self.partition.labels.size, bool)
        used[dead] = False
        photons, self.partition = self._of_pixels(photons, used.reshape(self.partition.shape))
        return photons

    def _of_pixels(self, photons: Photons, used: ArrayLike) -> tuple[Photons, Partition]:
        left = self.partition.masked(used)
        places = self.partition.slots()[left.pixel].astype(np.int64)
        return photons.chosen(places, left.first, slice(0, photons.n_frames)), left

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """True for the frames that are used, (N,)."""
        if self._left_out is None:
            return np.ones(self.n_frames, bool)
        return ~named_frames(self.frame, self._left_out)

    @cached_property
    def scale(self) -> FloatArray:
        """What the counts of each pixel are divided by, (P,): its static region's mean in time over that of its bin.

        Without smoothing, 1.
        """
        photons, static = self.photons, self.partition.static
        if not self.smoothing or static is None:
            return np.ones(len(photons.pixel))
        mean = photons.totals(self.used) / max(int(self.used.sum()), 1)
        bins = np.repeat(np.arange(self.n_bins), self.n_pixels)
        region = static.ravel()[photons.pixel]
        region = np.where(region > 0, region, static.max() + 1 + bins)  # without a region: the bin
        _, region = np.unique(region * self.n_bins + bins, return_inverse=True)
        by_region = np.bincount(region, mean) / np.bincount(region)
        by_bin = np.bincount(bins, mean) / np.bincount(bins)
        own, whole = by_region[region], by_bin[bins]
        return np.where(own > 0, own / np.where(whole > 0, whole, 1.0), 1.0)

    @cached_property
    def intensity(self) -> FloatArray:
        """Mean count of a pixel of each bin in each frame, after smoothing, m(t), (B, N)."""
        return self.photons.sums(self.scale) / self.n_pixels[:, None]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Frames used in each bin: not left out and not without a photon, (B, N)."""
        return self.used & (self.intensity > 0)

    def mask_frames(self, frames: Any) -> FrameSet:
        """Leave frames out; as :func:`heterodyne_nb.data.prepare.mask_frames`, masks add up."""
        return self._like(used=self.used & ~named_frames(self.frame, frames))

    def select(self, *, bins: ArrayLike | None = None, frames: tuple[int, int] | None = None) -> FrameSet:
        """Some bins (places from 0) or consecutive frames (first and last number, both included).

        Raises
        ------
        ConfigurationError
            Nothing is left, or the frames are not in the data.
        """
        chosen = np.arange(self.n_bins) if bins is None else np.atleast_1d(np.asarray(bins, int))
        if chosen.size and (chosen.min() < 0 or chosen.max() >= self.n_bins):
            raise ConfigurationError(f"bin {chosen.max()}", where="bins", expected=f"0 to {self.n_bins - 1}")
        low, high = (int(self.frame[0]), int(self.frame[-1])) if frames is None else frames
        inside = (self.frame >= low) & (self.frame <= high)
        if inside.sum() < _FEW or low < self.frame[0] or high > self.frame[-1]:
            raise ConfigurationError(
                f"frames {low} to {high}",
                where="frames",
                expected=f"at least {_FEW} frames between {self.frame[0]} and {self.frame[-1]}",
            )
        photons = self.photons
        partition = self.partition.with_bins(chosen)
        places = np.concatenate([np.arange(photons.first[b], photons.first[b + 1]) for b in chosen])
        span = slice(int(np.argmax(inside)), int(np.argmax(inside)) + int(inside.sum()))
        return self._like(
            photons.chosen(places, partition.first, span), partition, self.used[inside], first_frame=int(low)
        )

    def without_pixels(self, used: ArrayLike) -> FrameSet:
        """Only the pixels where ``used`` (rows, columns) is true."""
        return self._like(*self._of_pixels(self.photons, used))

    def _like(
        self,
        photons: Photons | None = None,
        partition: Partition | None = None,
        used: NDArray[np.bool_] | None = None,
        first_frame: int | None = None,
    ) -> FrameSet:
        new = FrameSet(self.source, partition or self.partition, self.dt, smoothing=self.smoothing)
        new.first_frame = self.first_frame if first_frame is None else first_frame
        new.__dict__["photons"] = self.photons if photons is None else photons
        new.__dict__["used"] = self.used if used is None else used
        return new

    def about(self) -> xr.Dataset:
        """What a record says of the data: bins, frames, mask and source, without any map."""
        return xr.Dataset(
            {
                "mask": ("t", self.used, ATTRS["mask"]),
                "n_pixels": ("bin", self.n_pixels.astype(float), ATTRS["n_pixels"]),
                "intensity": (("bin", "t"), self.intensity, ATTRS["intensity"]),
            },
            coords={
                "q": ("bin", self.q, ATTRS["q"]),
                "phi": ("bin", self.phi, ATTRS["phi"]),
                "t": ("t", self.t, ATTRS["t"]),
                "frame": ("t", self.frame, ATTRS["frame"]),
            },
            attrs={"dt": self.dt, "layout": f"frames ({self.source.layout})", "source": self.source.name},
        )

    def __repr__(self) -> str:
        rows, columns = self.partition.shape
        head = f"<FrameSet {self.source.name} ({self.source.layout}): {self.n_bins} bins of a {rows} × {columns} detector"
        if "photons" not in self.__dict__:
            return f"{head}, not read yet>"
        photons = self.photons
        rate = float(photons.count.sum(dtype=float)) / (photons.n_frames * len(photons.pixel))
        return (
            f"{head}, {photons.n_frames} frames, {len(photons.pixel)} pixels, {rate:.3g} photons a pixel and frame, "
            f"{photons.nbytes / 1e6:.3g} MB>"
        )


def open_frames(
    source: Any,
    *,
    partition: Any,
    mask: Any = None,
    dt: float | None = None,
    pixel_mask: ArrayLike | None = None,
    n_frames: int | None = None,
    smoothing: bool | None = None,
    key: str | None = None,
    layout: str | None = None,
) -> FrameSet:
    """Detector frames of a run, to fit and to correlate without a two-time map.

    Parameters
    ----------
    source : path, paths, array, matrix, tuple or iterator
        HDF5 stacks (Eiger, Lambda and other NXdetectors; compressed ones need hdf5plugin), Rigaku 64-bit events (one
        file, or the first of six of a 3M), IMM, ``.npy``, ``.npz``, TIFF, EDF and CBF (fabio; a folder will do);
        an array (N, rows, columns); a scipy.sparse matrix (frames, pixels); lists ``(frame, pixel, count)``, frames
        from 0 and pixels row * columns + column; or any iterator of frames.
    partition : Partition, (labels, q, phi), or path
        Bin of each pixel: a label image with q (1/Å) and phi (degrees) of the labels from 1, or an APS q-map file.
        See also :func:`heterodyne_nb.frames.partition_from_poni`.
    mask : array of bool or list of frame numbers, optional
        True for each frame that is used, or the numbers (from 1) of frames to leave out, as for ``open_dataset``.
    dt : float, optional
        Time from frame to frame, s, where the file does not say.
    pixel_mask : (rows, columns), optional
        True for each pixel that is used.
    n_frames : int, optional
        Number of frames, where the last ones may be without a photon and the format tells of photons only.
    smoothing : bool, optional
        Divide the counts by their mean in time over the regions of the static partition, as correlators do. Default:
        if there is one.
    key : str, optional
        Path of the stack in an HDF5 file.
    layout : str, optional
        Name of the layout, where the name of the file does not tell.

    Returns
    -------
    FrameSet
        Lazy: photons are read when they are first needed, and kept as lists by pixel.

    Raises
    ------
    MissingFileError, DataFormatError
        A file is not there or not what it should be.
    ConfigurationError
        The partition does not fit, or dt is not known.

    Examples
    --------
    >>> import heterodyne_nb as hnb, numpy as np
    >>> counts = np.random.default_rng(0).poisson(0.3, (50, 8, 8))
    >>> hnb.open_frames(counts, partition=(np.ones((8, 8), int), [0.01], [0.0]), dt=0.1).n_frames
    50
    """
    bins = as_partition(partition)
    if pixel_mask is not None:
        bins = bins.masked(pixel_mask)
    found = as_source(source, key, layout)
    if n_frames is not None:
        if found.n_frames is not None and n_frames < found.n_frames:
            raise ConfigurationError(
                f"n_frames = {n_frames}, but there are {found.n_frames}",
                where="n_frames",
                hint="select frames of the FrameSet instead",
            )
        found.n_frames = n_frames
    time = dt if dt is not None else found.dt
    if time is None:
        raise ConfigurationError(
            f"{found.name} does not tell the time from frame to frame", where="dt", expected="dt=, in s"
        )
    smooth = bins.static is not None if smoothing is None else smoothing
    if smooth and bins.static is None:
        raise ConfigurationError("there is no static partition", where="smoothing", expected="False")
    return FrameSet(found, bins, time, left_out=mask, smoothing=smooth)


def write_frames(frames: FrameSet, path: str | os.PathLike[str], layout: str) -> Path:
    """Write the photons of the used pixels as a detector would have left them.

    Parameters
    ----------
    frames : FrameSet
    path : str or path
        A file; the stem of six for a Rigaku 3M; a folder for images.
    layout : {"hdf5", "rigaku", "imm", "npy", "npz", "events", "sparse", "tif", "edf"}

    Returns
    -------
    path
        What to open.

    Raises
    ------
    ConfigurationError
        The layout is not known.
    DataFormatError
        The layout has no room for this detector or these counts.
    OutputError
        The file cannot be written; one that was there stays as it was.
    """
    from heterodyne_nb.frames import hdf5, images, imm, rigaku

    path, shape, n = Path(path), frames.partition.shape, frames.n_frames
    events = frames.photons.in_time_order()

    def dense() -> NDArray[np.number]:
        out = np.zeros((n, shape[0] * shape[1]), events[2].dtype)
        out[events[0], events[1]] = events[2]
        return out

    def sparse(stream: BinaryIO) -> None:
        from scipy.sparse import coo_array, save_npz

        matrix = coo_array((events[2], (events[0], events[1])), shape=(n, shape[0] * shape[1]))
        save_npz(stream, matrix.tocsr())

    def save(write: Callable[[BinaryIO], Any]) -> None:
        with (
            new_file(path) as made,
            explained(path),
            made.open("wb") as stream,
        ):  # NumPy adds an ending to a name
            write(stream)

    named: dict[str, Any] = dict(zip(("frame", "pixel", "count"), events, strict=True))
    named |= {"n_frames": n, "dt": frames.dt, "shape": shape}
    writers = {
        "hdf5": lambda: hdf5.write_hdf5(path, events, shape, n, frames.dt),
        "rigaku": lambda: rigaku.write_rigaku(path, events, shape),
        "imm": lambda: imm.write_imm(path, events, shape, n),
        "npy": lambda: save(lambda stream: np.save(stream, dense().reshape(n, *shape))),
        "npz": lambda: save(lambda stream: np.savez_compressed(stream, frames=dense().reshape(n, *shape))),
        "events": lambda: save(lambda stream: np.savez_compressed(stream, **named)),
        "sparse": lambda: save(sparse),
        "tif": lambda: images.write_images(path, events, shape, n, ".tif"),
        "edf": lambda: images.write_images(path, events, shape, n, ".edf"),
    }
    if layout not in writers:
        raise ConfigurationError(
            f"layout {layout!r}", where="layout", expected=f"one of {', '.join(writers)}"
        )
    writers[layout]()
    return path.with_name(f"{path.name}.000") if layout == "rigaku" and shape == rigaku.SHAPE_3M else path
