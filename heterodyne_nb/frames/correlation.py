"""Correlations of frames: multi-tau g2 with errors from clusters of pixels, and dense two-time maps where they fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.dataset import ATTRS, make_dataset, time_coords, unstack_bins
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.frames.frameset import FrameSet
from heterodyne_nb.frames.maps import bin_map
from heterodyne_nb.frames.multitau import PER_LEVEL, lagged, lags, pair_sums
from heterodyne_nb.frames.speckles import cluster_edges, speckle_area

#: Share of the free memory that maps may take.
_ROOM = 0.5


def correlate(
    frames: FrameSet,
    *,
    twotime: bool = False,
    g2: bool = True,
    sum_frames: int = 1,
    per_level: int = PER_LEVEL,
) -> xr.Dataset:
    """Correlate detector frames.

    Parameters
    ----------
    frames : FrameSet
    twotime : bool
        Also compute the two-time map of each bin, c2(t1, t2) = mean over pixels of x(t1) x(t2), x the count over the
        mean of the bin in that frame.
    g2 : bool
        Compute g2 and its errors; without, g2 follows from the maps as for any dataset.
    sum_frames : int
        Frames that a pixel of the map sums, for runs whose map has no room; its time is that of the last of them.
    per_level : int
        Lags of a level of g2 (multi-tau): 1 ... 2 L - 1 frames, then L ... 2 L - 1 sums of 2, 4, 8 ... frames.

    Returns
    -------
    Dataset
        The data model of the package: ``g2``, ``g2_err`` over ``tau`` (s), ``c2`` where asked for, ``n_pixels``.
        g2 is c2 averaged over all ages; its error that of clusters of neighbouring pixels.

    Raises
    ------
    ConfigurationError
        Neither is asked for, or the maps have no room in memory.

    Examples
    --------
    >>> import heterodyne_nb as hnb
    >>> axes = dict(q=0.01, phi=0, n_frames=64, dt=0.5, n_pixels=100)
    >>> hnb.correlate(hnb.simulate.frames("static_isotropic", [50.0, 0.0, 0.0], **axes)).g2.dims
    ('q', 'phi', 'tau')
    """
    if not (twotime or g2):
        raise ConfigurationError("neither g2 nor twotime is asked for", expected="at least one of them")
    if sum_frames < 1 or int(sum_frames) != sum_frames:
        raise ConfigurationError(f"sum_frames = {sum_frames!r}", expected="a whole number of frames")
    parts: dict[str, Any] = {}
    if g2:
        tau, parts["g2"], parts["g2_err"] = multitau(frames, per_level=per_level)
        parts["tau"] = tau * frames.dt
    if twotime:
        parts["c2"], parts["mask"] = two_time_maps(frames, sum_frames)
    ds = make_dataset(
        q=frames.q, phi=frames.phi, dt=frames.dt * (sum_frames if twotime else 1), n_pixels=frames.n_pixels,
        bin_form=True, attrs={"layout": f"frames ({frames.source.layout})", "source": frames.source.name}, **parts,
    )  # fmt: skip
    if twotime:
        first = (frames.first_frame - 1) // sum_frames + 1
        ds = ds.assign_coords(time_coords(ds.sizes["t"], ds.attrs["dt"], first))
        if sum_frames == 1:
            ds["intensity"] = (("bin", "t"), frames.intensity, ATTRS["intensity"])
    return unstack_bins(ds)


def two_time_maps(frames: FrameSet, sum_frames: int = 1) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps (B, C, C) of all bins, and the cells that hold a used frame, (C,).

    Raises ConfigurationError: The maps have no room, or frames cannot be summed to cells that begin with the run.
    """
    n, before = frames.n_frames, frames.first_frame - 1
    if before % sum_frames:
        raise ConfigurationError(
            f"frames from {frames.first_frame} on cannot be summed by {sum_frames}",
            where="sum_frames",
            expected=f"a first frame of 1 plus a multiple of {sum_frames}",
        )
    cells = n // sum_frames
    check_room(frames.n_bins, cells, f"sum_frames={sum_frames}")
    cell = np.arange(n) // sum_frames
    cell[cell >= cells] = -1
    maps = np.empty((frames.n_bins, cells, cells), np.float32)
    inverse = inverse_means(frames)
    for b in range(frames.n_bins):
        maps[b] = bin_map(frames.photons, b, inverse[b], frames.scale, cell)[:cells, :cells]
    used = np.zeros(cells, bool)
    used[cell[frames.used & (cell >= 0)]] = True
    return maps, used


def check_room(bins: int, cells: int, now: str) -> None:
    """ConfigurationError when maps of so many bins and frames do not fit into half of the free memory."""
    need, free = 4.0 * bins * cells**2, psutil.virtual_memory().available
    if need > _ROOM * free:
        most = int(np.sqrt(_ROOM * free / (4.0 * bins)))
        raise ConfigurationError(
            f"the maps of {bins} bins with {cells} frames need {need / 1e9:.3g} GB, of {free / 1e9:.3g} GB free",
            where=now,
            hint=f"sum frames to at most {most} (correlate(..., sum_frames=)), take fewer bins, or fit the frames",
        )


def inverse_means(frames: FrameSet) -> FloatArray:
    """1 over the mean count of a pixel of each bin and frame, 0 where the frame is not used, (B, N)."""
    mean = frames.intensity
    return np.where(frames.usable, 1.0 / np.where(mean > 0, mean, 1.0), 0.0)


def multitau(frames: FrameSet, *, per_level: int = PER_LEVEL) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lags in frames (K,), g2 and its standard error (B, K), NaN where no two used frames are so far apart."""
    photons, inverse, scale = frames.photons, inverse_means(frames), frames.scale
    lag, level = lags(frames.n_frames, per_level)
    area = speckle_area(photons, frames.partition.shape[1], inverse, scale)
    values = np.full((2, frames.n_bins, len(lag)), np.nan)
    for b, edges in enumerate(cluster_edges(photons, area)):
        used, size, groups = (inverse[b] > 0).astype(float), np.diff(edges).astype(float), len(edges) - 1
        sums = np.zeros((groups, len(lag)))
        pair_sums(
            photons.frame, photons.count, photons.start, 1.0 / scale**2, edges, inverse[b], lag, level, sums
        )
        x = replace(photons, first=edges).sums(scale) * inverse[b]
        pairs = lagged(used, used, lag, level)
        known = pairs > 0
        per_pair = np.divide(1.0, pairs, out=np.full(len(lag), np.nan), where=known)
        g2 = sums.sum(axis=0) * per_pair / size.sum()
        # a cluster has a share in the means that x is divided by: THEORY 9, its last term
        shares = (lagged(x, used, lag, level) + lagged(used, x, lag, level)) * per_pair
        score = sums * per_pair - size[:, None] * g2 - g2 * (shares - 2.0 * size[:, None])
        values[0, b] = g2
        values[1, b] = np.sqrt(groups / (groups - 1.0) * np.sum(score**2, axis=0)) / size.sum()
    return lag * 2.0**level, values[0], values[1]
