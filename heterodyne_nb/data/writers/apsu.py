"""Write a dataset in the APS-U layout."""

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


def write_apsu(ds: xr.Dataset, path: str | os.PathLike[str], *, compression: str | None = "lzf") -> None:
    """Write a dataset in the APS-U layout (``/xpcs/qmap``, ``/xpcs/twotime``, ``/xpcs/multitau``).

    Parameters
    ----------
    ds : Dataset
        In the (q, phi) or the bin form. Maps are read and written one at a time.
    path : str or path
        The file; it appears only when it is complete.
    compression : str or None, optional
        HDF5 filter of the maps: ``"lzf"`` as the beamline does, ``"gzip"`` for smaller files.

    Notes
    -----
    Maps are stored as float32 upper triangles with their diagonal; empty (q, phi) cells and dead
    bins have none. A frame mask goes to ``/xpcs/twotime/frame_mask``, which other programs ignore.
    An ``intensity(t)`` goes to ``/xpcs/spatial_mean/intensity_vs_time``; one a bin has no place there.
    A g2 that was computed from the maps is not written: the reader computes it again.
    """
    table = bin_table(ds)
    with new_h5(path) as h5file:
        h5file["entry/instrument/detector_1/frame_time"] = float(ds.attrs["dt"])
        h5file["entry/instrument/detector_1/frame_time"].attrs["units"] = "s"
        _write_qmap(h5file.create_group("xpcs/qmap"), table)
        if "c2" in table.bins:
            _write_maps(h5file.create_group("xpcs/twotime"), table, compression)
        if "intensity" in ds and ds["intensity"].dims == ("t",):
            trace = np.stack([ds["frame"].values, ds["intensity"].values])
            h5file["xpcs/spatial_mean/intensity_vs_time"] = trace
        if has_measured_g2(ds):
            _write_multitau(h5file.create_group("xpcs/multitau"), table, float(ds.attrs["dt"]))


def _write_qmap(group: h5py.Group, table: BinTable) -> None:
    group["dynamic_v_list_dim0"] = table.q_axis
    group["dynamic_v_list_dim0"].attrs["units"] = "1/A"
    group["dynamic_v_list_dim1"] = table.phi_axis
    group["dynamic_v_list_dim1"].attrs["units"] = "degree"
    group["dynamic_num_pts"] = np.array([table.q_axis.size, table.phi_axis.size])
    group["dynamic_index_mapping"] = table.cells.astype(np.int64)
    group["map_names"] = np.array([b"q", b"phi"])
    group["map_units"] = np.array([b"1/A", b"deg"])
    if pixels_known(table.bins):
        image = roi_map(table.bins["n_pixels"].values)
        group.create_dataset("dynamic_roi_map", data=image, compression="gzip")
        group.create_dataset("mask", data=(image > 0).astype(np.uint8), compression="gzip")


def _write_maps(group: h5py.Group, table: BinTable, compression: str | None) -> None:
    group["processed_bins"] = (table.with_map + 1).astype(np.int64)
    group["config/stride_frame"], group["config/avg_frame"] = 1, 1
    mask = table.bins["mask"].values
    if not mask.all():
        group["frame_mask"] = mask.astype(np.uint8)
    maps = group.create_group("correlation_map")
    for count, number in enumerate(table.with_map, start=1):
        values = upper_triangle(table.map_of(number))
        maps.create_dataset(f"c2_{count:05d}", data=values, compression=compression)


def _write_multitau(group: h5py.Group, table: BinTable, dt: float) -> None:
    group["delay_list"] = delays_in_frames(table.bins["tau"].values, dt)
    group["config/stride_frame"], group["config/avg_frame"] = 1, 1
    group["normalized_g2"] = table.bins["g2"].transpose("tau", "bin").values
    group["normalized_g2_err"] = table.bins["g2_err"].transpose("tau", "bin").values
