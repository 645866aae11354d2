"""Correlations of frames: multi-tau g2 and cells of age and lag, with errors from clusters of pixels, and dense maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.age_lag import CELLS, AgeLagCells, cells_of, with_cells
from heterodyne_nb.data.dataset import ATTRS, make_dataset, time_coords, unstack_bins
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.frames.age_lag import cell_sums, usual_edges
from heterodyne_nb.frames.frameset import FrameSet
from heterodyne_nb.frames.maps import bin_map
from heterodyne_nb.frames.multitau import PER_LEVEL, lagged, lags, pair_sums
from heterodyne_nb.frames.speckles import cluster_edges, speckle_area

#: Cells of age in maps of age and lag, by default.
AGES = 200
#: Share of the free memory that maps may take.
_ROOM = 0.5


def correlate(
    frames: FrameSet,
    *,
    twotime: bool = False,
    age_lag: bool = False,
    g2: bool = True,
    sum_frames: int = 1,
    per_level: int = PER_LEVEL,
    ages: int = AGES,
) -> xr.Dataset:
    """Correlate detector frames.

    Parameters
    ----------
    frames : FrameSet
    twotime : bool
        Also compute the two-time map of each bin, c2(t1, t2) = mean over pixels of x(t1) x(t2), x the count over the
        mean of the bin in that frame.
    age_lag : bool
        Also average c2 over cells of age, (t1 + t2)/2, and lag, t2 - t1, with errors: for runs of any length, since time
        and memory go with the photons. :func:`heterodyne_nb.fit` averages its model over each cell.
    g2 : bool
        Compute g2 and its errors (always with ``age_lag``); without, g2 follows from the maps as for any dataset.
    sum_frames : int
        Frames that a pixel of the map sums, for runs whose map has no room; its time is that of the last of them.
    per_level : int
        Lags of a level of g2 (multi-tau): 1 ... 2 L - 1 frames, then L ... 2 L - 1 sums of 2, 4, 8 ... frames. Cells
        begin at the same lags.
    ages : int
        About how many cells of age there are.

    Returns
    -------
    Dataset
        The data model of the package: ``g2``, ``g2_err`` over ``tau`` (s), ``c2`` where asked for, ``n_pixels``; with
        ``age_lag``: ``c2_cells``, ``c2_cells_err`` and ``cell_pixels`` over (lag_cell, age_cell), whose edges are
        ``lag_edges`` and ``age_edges`` (s).
        g2 is c2 averaged over all ages; its error that of clusters of neighbouring pixels.

    Raises
    ------
    ConfigurationError
        Nothing is asked for, both kinds of maps are, or dense ones have no room in memory.

    Examples
    --------
    >>> import heterodyne_nb as hnb
    >>> axes = dict(q=0.01, phi=0, n_frames=64, dt=0.5, n_pixels=100)
    >>> hnb.correlate(hnb.simulate.frames("static_isotropic", [50.0, 0.0, 0.0], **axes)).g2.dims
    ('q', 'phi', 'tau')
    """
    if not (twotime or g2 or age_lag):
        raise ConfigurationError(
            "neither g2 nor twotime nor age_lag is asked for", expected="at least one of them"
        )
    if twotime and age_lag:
        raise ConfigurationError(
            "a dataset holds dense maps or cells of age and lag", where="age_lag", hint="correlate twice"
        )
    if ages < 2 or int(ages) != ages:
        raise ConfigurationError(
            f"ages = {ages!r}", where="ages", expected="a whole number of cells, at least 2"
        )
    if sum_frames < 1 or int(sum_frames) != sum_frames:
        raise ConfigurationError(f"sum_frames = {sum_frames!r}", expected="a whole number of frames")
    parts: dict[str, Any] = {}
    if g2 or age_lag:
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
    if age_lag:
        ds = _with_cells(ds, frames, per_level, ages)
    if age_lag or (twotime and sum_frames == 1):
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


def _with_cells(ds: xr.Dataset, frames: FrameSet, per_level: int, ages: int) -> xr.Dataset:
    """The dataset with the cells of age and lag of frames."""
    times = time_coords(frames.n_frames, frames.dt, frames.first_frame)
    ds = ds.assign_coords({name: times[name] for name in ("t", "frame")})
    ds["mask"] = ("t", frames.used, ATTRS["mask"])
    edges = usual_edges(frames.n_frames, frames.first_frame, per_level, ages)
    ds = with_cells(ds, *(np.asarray(one * frames.dt) for one in edges))
    cells = cells_of(ds)
    assert cells is not None
    dims = ("bin", "lag_cell", "age_cell")
    for (name, words), values in zip(CELLS.items(), age_lag_maps(frames, cells), strict=True):
        ds[name] = (dims, values, {"long_name": words, "units": "1"})
    return ds


def age_lag_maps(frames: FrameSet, cells: AgeLagCells) -> tuple[FloatArray, FloatArray, FloatArray]:
    """c2 of each cell, its standard error, and the pairs of used frames in it, (B, n_lag, n_age); NaN where there are none."""
    photons, inverse, scale = frames.photons, inverse_means(frames), frames.scale
    area = speckle_area(photons, frames.partition.shape[1], inverse, scale)
    out = np.empty((3, frames.n_bins, *cells.pixels.shape))
    for b, edges in enumerate(cluster_edges(photons, area)):
        sums, shares, out[2, b] = cell_sums(photons, b, edges, inverse[b], scale, cells)
        out[0, b], out[1, b] = _by_clusters(sums, shares, out[2, b], np.diff(edges).astype(float))
    return out[0], out[1], out[2]


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
        shares = lagged(x, used, lag, level) + lagged(used, x, lag, level)
        values[:, b] = _by_clusters(sums, shares, pairs, size)
    return lag * 2.0**level, values[0], values[1]


def _by_clusters(
    sums: FloatArray, shares: FloatArray, pairs: FloatArray, size: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Means of c2 over sets of pairs of frames, and their standard errors by clusters of pixels.

    ``sums`` (G, …): x x' of each cluster. ``shares`` (G, …): x u' + u x' of the same pairs. ``pairs`` (…): How many there
    are; NaN where none. ``size`` (G,): Pixels.
    """
    groups, size = len(size), size.reshape(-1, *[1] * pairs.ndim)
    per_pair = np.divide(1.0, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
    mean = sums.sum(axis=0) * per_pair / size.sum()
    # a cluster has a share in the means that x is divided by: THEORY 9, its last term
    score = sums * per_pair - size * mean - mean * (shares * per_pair - 2.0 * size)
    return mean, np.sqrt(groups / (groups - 1.0) * np.sum(score**2, axis=0)) / size.sum()
