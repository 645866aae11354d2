"""What the writers share: whole files or none, one map at a time, bins as labels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.bins import grid_of, levels, live_bins, stack_bins
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_file


@contextlib.contextmanager
def new_h5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An HDF5 file that takes its name only when it is complete."""
    with new_file(path) as made, h5py.File(made, "w") as h5file:
        yield h5file


@dataclass(frozen=True)
class BinTable:
    """The bins that a file will hold, and their places in a (q, phi) grid.

    Attributes
    ----------
    bins : Dataset
        The stacked form, live bins and cells with a measured g2 only, in the order of their labels.
    q_axis, phi_axis : ndarray
        The grid.
    cells : ndarray of int
        Place of each bin in the ravelled grid.
    """

    bins: xr.Dataset
    q_axis: np.ndarray
    phi_axis: np.ndarray
    cells: np.ndarray

    @property
    def n_bin(self) -> int:
        """How many bins."""
        return self.cells.size

    def map_of(self, number: int) -> np.ndarray:
        """The (N, N) map of one bin, NaN and all, read when asked for."""
        return np.asarray(self.bins["c2"].isel(bin=number).values, dtype=np.float32)

    @property
    def with_map(self) -> np.ndarray:
        """Numbers (from 0) of the bins that have a usable map."""
        if "c2" not in self.bins:
            return np.array([], dtype=int)
        return np.flatnonzero(live_bins(self.bins))


def bin_table(ds: xr.Dataset) -> BinTable:
    """Give each bin that holds anything a label and a place."""
    stacked = stack_bins(ds, drop_dead=False)
    exists = np.zeros(stacked.sizes["bin"], dtype=bool)
    if "c2" in stacked:
        exists |= live_bins(stacked)
    if has_measured_g2(ds):
        exists |= np.isfinite(stacked["g2"].values).any(axis=1)
    if "n_pixels" in stacked and "comment" not in stacked["n_pixels"].attrs:
        exists |= stacked["n_pixels"].values > 0
    if not exists.any():
        raise DataFormatError("the dataset holds no data to write: every bin is empty or NaN")
    bins = stacked.isel(bin=np.flatnonzero(exists))
    if "bin" in ds.dims:
        return _loose_table(bins)
    q_axis, phi_axis = ds["q"].values, ds["phi"].values
    return BinTable(bins, q_axis, phi_axis, np.flatnonzero(exists))


def _loose_table(bins: xr.Dataset) -> BinTable:
    q, phi = bins["q"].values, bins["phi"].values
    grid = grid_of(q, phi)
    if grid is not None:
        return BinTable(bins, *grid)
    (q_axis, q_at), (phi_axis, phi_at) = levels(q), levels(phi)
    return BinTable(bins, q_axis, phi_axis, q_at * phi_axis.size + phi_at)


def has_measured_g2(ds: xr.Dataset) -> bool:
    """Whether g2 is measured, not computed from the maps."""
    return "g2" in ds and ds["g2"].attrs.get("origin") != "computed from c2"


def pixels_known(bins: xr.Dataset) -> bool:
    """Whether n_pixels came from somewhere."""
    return "n_pixels" in bins and "comment" not in bins["n_pixels"].attrs


def upper_triangle(values: np.ndarray) -> np.ndarray:
    """The map with nothing (zero) below the diagonal, as correlators store it; a NaN diagonal is 0."""
    upper = np.triu(values)
    diagonal = np.einsum("ii->i", upper)
    if np.isnan(diagonal).all():
        diagonal[...] = 0
    return upper


def delays_in_frames(tau: np.ndarray, dt: float) -> np.ndarray:
    """Lags as whole frames where they are, as fractions of frames otherwise."""
    frames = tau / dt
    whole = np.rint(frames)
    return whole.astype(np.int64) if np.allclose(frames, whole, rtol=1e-9, atol=1e-9) else frames


def roi_map(n_pixels: np.ndarray) -> np.ndarray:
    """A label image, as square as it gets, with the right number of pixels of each label."""
    labels = np.repeat(np.arange(1, n_pixels.size + 1, dtype=np.uint32), n_pixels.astype(int))
    side = max(1, int(np.ceil(np.sqrt(labels.size))))
    image = np.zeros(side * side, dtype=np.uint32)
    image[: labels.size] = labels
    return image.reshape(side, side)
