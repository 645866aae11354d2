"""Write a dataset as NXxpcs, the NeXus application definition."""

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


def write_nxxpcs(ds: xr.Dataset, path: str | os.PathLike[str], *, compression: str | None = "gzip") -> None:
    """Write a dataset as NXxpcs.

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
    ``two_time_corr_func`` is one float32 array, bins first, upper half, baseline 1, time origin in
    the upper left. Where only some bins have a map, ``processed_bins`` beside it lists their labels;
    that and ``frame_mask`` are additions which other programs ignore. A g2 that was computed from
    the maps is not written: the reader computes it again.
    """
    table = bin_table(ds)
    dt = float(ds.attrs["dt"])
    with new_h5(path) as h5file:
        h5file.attrs["default"] = "entry"
        entry = _group(h5file, "entry", "NXentry")
        entry["definition"] = "NXxpcs"
        instrument = _group(entry, "instrument", "NXinstrument")
        detector = _group(instrument, "detector_1", "NXdetector")
        detector["frame_time"] = dt
        detector["frame_time"].attrs["units"] = "s"
        _write_masks(_group(instrument, "masks", "NXnote"), table)
        if table.with_map.size:
            _write_maps(_group(entry, "twotime", "NXdata"), table, compression)
        if has_measured_g2(ds):
            _write_g2(_group(entry, "data", "NXdata"), table, dt)


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _write_masks(group: h5py.Group, table: BinTable) -> None:
    group["dynamic_q_list"] = table.bins["q"].values
    group["dynamic_q_list"].attrs["units"] = "1/angstrom"
    group["dynamic_phi_list"] = table.bins["phi"].values
    group["dynamic_phi_list"].attrs["units"] = "degree"
    if pixels_known(table.bins):
        image = roi_map(table.bins["n_pixels"].values)
        group.create_dataset("dynamic_roi_map", data=image, compression="gzip")
        group.create_dataset("mask", data=(image > 0).astype(np.uint8), compression="gzip")


def _write_maps(group: h5py.Group, table: BinTable, compression: str | None) -> None:
    n = table.bins.sizes["t"]
    count = table.with_map.size
    piece = min(n, 512)
    node = group.create_dataset(
        "two_time_corr_func", (count, n, n), "f4", chunks=(1, piece, piece), compression=compression
    )
    node.attrs["storage_mode"] = "one_array_q_first"
    node.attrs["baseline_reference"] = 1
    node.attrs["time_origin_location"] = "upper_left"
    node.attrs["populated_elements"] = "upper_half"
    for place, number in enumerate(table.with_map):
        node[place] = upper_triangle(table.map_of(number))
    if count != table.n_bin:
        group["processed_bins"] = (table.with_map + 1).astype(np.int64)
    mask = table.bins["mask"].values
    if not mask.all():
        group["frame_mask"] = mask.astype(np.uint8)


def _write_g2(group: h5py.Group, table: BinTable, dt: float) -> None:
    group["delay_difference"] = delays_in_frames(table.bins["tau"].values, dt)
    group["delay_difference"].attrs["units"] = "NX_COUNT"
    for name, key in (("g2", "g2"), ("g2_derr", "g2_err")):
        group[name] = table.bins[key].transpose("bin", "tau").values
        group[name].attrs["storage_mode"] = "one_array_q_first"
