"""Write a dataset in the APS legacy layout."""

from __future__ import annotations

import os

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.writers.common import (
    BinTable,
    bin_table,
    delays_in_frames,
    has_measured_g2,
    new_h5,
    pixels_known,
    roi_map,
    upper_triangle,
)


def write_aps_legacy(
    ds: xr.Dataset, path: str | os.PathLike[str], *, compression: str | None = "gzip"
) -> None:
    """Write a dataset in the APS legacy layout (``/xpcs``, ``/exchange``, ``/measurement``).

    Parameters
    ----------
    ds : Dataset
        In the (q, phi) or the bin form. Maps are read and written one at a time.
    path : str or path
        The file; it appears only when it is complete.
    compression : str or None, optional
        HDF5 filter of the maps.

    Notes
    -----
    Every bin is one label with its own q and phi. Maps are float32 upper triangles with their
    diagonal. A frame mask goes to ``/xpcs/frame_mask``, which other programs ignore.
    A g2 that was computed from the maps is not written: the reader computes it again.
    """
    table = bin_table(ds)
    with new_h5(path) as h5file:
        h5file["measurement/instrument/detector/exposure_period"] = np.array([[float(ds.attrs["dt"])]])
        h5file.create_group("exchange")
        _write_bins(h5file.create_group("xpcs"), table)
        if "c2" in table.bins:
            _write_maps(h5file, table, compression)
        if has_measured_g2(ds):
            _write_g2(h5file["exchange"], table, float(ds.attrs["dt"]))


def _write_bins(group: h5py.Group, table: BinTable) -> None:
    group["dqlist"] = table.bins["q"].values[np.newaxis]
    group["dqlist"].attrs["units"] = "1/A"
    group["dphilist"] = table.bins["phi"].values[np.newaxis]
    if pixels_known(table.bins):
        image = roi_map(table.bins["n_pixels"].values)
        group.create_dataset("dqmap", data=image, compression="gzip")
        group.create_dataset("sqmap", data=image, compression="gzip")
        group.create_dataset("mask", data=(image > 0).astype(np.uint8), compression="gzip")


def _write_maps(h5file: h5py.File, table: BinTable, compression: str | None) -> None:
    h5file["xpcs/qphi_bin_to_process"] = (table.with_map + 1).astype(np.int64)
    mask = table.bins["mask"].values
    if not mask.all():
        h5file["xpcs/frame_mask"] = mask.astype(np.uint8)
    maps = h5file.create_group("exchange/C2T_all")
    for count, number in enumerate(table.with_map, start=1):
        values = upper_triangle(table.map_of(number))
        maps.create_dataset(f"g2_{count:05d}", data=values, compression=compression)


def _write_g2(group: h5py.Group, table: BinTable, dt: float) -> None:
    group["tau"] = delays_in_frames(table.bins["tau"].values, dt)[np.newaxis]
    group["norm-0-g2"] = table.bins["g2"].transpose("tau", "bin").values
    group["norm-0-stderr"] = table.bins["g2_err"].transpose("tau", "bin").values
