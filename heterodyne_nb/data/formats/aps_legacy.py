"""APS legacy results (8-ID-I): ``/xpcs/dqlist`` and ``/exchange``."""

from __future__ import annotations

import os
import re

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import (
    BinTable,
    Ingredients,
    Layout,
    MapRef,
    bins_of_lists,
    by_label,
    chosen,
    delays_in_frames,
    has_measured_g2,
    lacking,
    to_write,
    upper_triangle,
)
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.files import new_h5

_MAPS = "C2T_all"
_DETECTOR = "measurement/instrument/detector"
_PERIOD = f"{_DETECTOR}/exposure_period"
_SOURCE = "measurement/instrument/source_begin"
_METADATA = {
    "start_time": f"{_SOURCE}/datetime",
    "end_time": "measurement/instrument/source_end/datetime",
    "uid": "measurement/instrument/acquisition/datafilename | measurement/uid",
    "sample": "measurement/sample/name | measurement/sample/description",
    "temperature": "measurement/sample/temperature@degC | measurement/sample/temperature_A@degC",
    "exposure": f"{_DETECTOR}/exposure_time",
    "energy": f"{_SOURCE}/energy",
    "detector_distance": f"{_DETECTOR}/distance@mm",
    "pixel_size": f"{_DETECTOR}/x_pixel_size@mm",
    "beam_center_x": "measurement/instrument/acquisition/beam_center_x",
    "beam_center_y": "measurement/instrument/acquisition/beam_center_y",
}
#: Pictures and curves of the run: those of the partition, and those of a group of results.
_PARTITION = {
    **{"dynamic_roi_map": "dqmap", "static_roi_map": "sqmap", "pixel_mask": "mask"},
    "static_v_list_dim0": "sqlist",
}
_IMAGES = {
    "saxs_2d": "pixelSum",
    "saxs_1d": "partition-mean-total",
    "saxs_1d_segments": "partition-mean-partial",
}


class ApsLegacy(Layout):
    """Reader of the APS legacy layout."""

    name = "aps-legacy"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not an APS legacy result."""
        if self.analyses(h5file):
            return []
        return lacking(h5file, "xpcs/dqlist", "exchange")

    def analyses(self, h5file: h5py.File) -> list[str]:
        """``xpcs``, ``xpcs_1``, …: each points to its results in ``output_data``, ``/exchange`` where it does not."""
        names = sorted((n for n in h5file if re.fullmatch(r"xpcs(_\d+)?", n)), key=lambda n: (len(n), n))
        held = [n for n in names if not lacking(h5file, f"{n}/dqlist", f"{n}/output_data | exchange")]
        return hdf.default_first(held, h5file)

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins, delays and the places of the maps."""
        xpcs = h5file[chosen(self.analyses(h5file), analysis, hdf.place(h5file))]
        results = hdf.follow(xpcs, "output_data", h5file.get("exchange", xpcs))
        q = hdf.quantity(xpcs, "dqlist", "q", "q of each bin, 1/Å")
        phi = None
        if hdf.has(xpcs, "dphilist"):
            phi = hdf.quantity(xpcs, "dphilist", "phi", "phi of each bin, degrees", length=q.size)
        found = Ingredients(
            bins=bins_of_lists(q, phi),
            dt=_frame_time(h5file, xpcs),
            maps=_maps(results, xpcs, q.size),
            n_pixels=travel.label_counts(xpcs, "dqmap", q.size),
            images=travel.present(xpcs, _PARTITION) | travel.present(results, _IMAGES),
            notes=travel.metadata(h5file, _METADATA),
        )
        _read_g2(results, found)
        if hdf.has(xpcs, "frame_mask"):
            found.mask = hdf.vector(xpcs, "frame_mask", "1 for each frame in use") > 0
        if hdf.has(results, "frameSum"):
            counts = hdf.array(results, "frameSum", "(2, frames): frame, mean")
            found.intensity = counts[1] if counts.ndim == 2 and counts.shape[0] == 2 else np.ravel(counts)
        return found


def _frame_time(h5file: h5py.File, xpcs: h5py.Group) -> float | None:
    if not hdf.has(h5file, _PERIOD):
        return None
    stride = hdf.scalar(xpcs, "stride_frames", "one number", 1.0)
    average = hdf.scalar(xpcs, "avg_frames", "one number", 1.0)
    return hdf.seconds(h5file, _PERIOD) * stride * average


def _maps(results: h5py.Group, xpcs: h5py.Group, n_bin: int) -> list[MapRef | None]:
    if not hdf.has(results, _MAPS):
        return []
    names = {int(m[1]): m[0] for m in map(re.compile(r"[gc]2_(\d+)$").match, results[_MAPS]) if m}
    if not names:
        warn(f"{hdf.place(results, _MAPS)} holds no map", DataWarning)
    labels = _labels(results, xpcs, sorted(names), n_bin).items()
    found = ((label, MapRef(f"{results.name}/{_MAPS}/{names[k]}")) for k, label in labels)
    return by_label(found, n_bin, hdf.place(xpcs, "qphi_bin_to_process"))


def _labels(results: h5py.Group, xpcs: h5py.Group, numbers: list[int], n_bin: int) -> dict[int, int]:
    """Label of each map number: the number-th processed bin, or the number itself where it names one."""
    key = "qphi_bin_to_process"
    processed = np.arange(1, n_bin + 1)
    if hdf.has(xpcs, key):
        processed = hdf.vector(xpcs, key, "labels of the processed bins").astype(int)
    if numbers and numbers[-1] > processed.size and set(numbers) <= set(processed.tolist()):
        return dict(zip(numbers, numbers, strict=True))
    if numbers and numbers[-1] > processed.size:
        raise DataFormatError(
            f"the maps go up to number {numbers[-1]} but {processed.size} bins were processed",
            where=hdf.place(results, _MAPS),
            expected="one processed bin a map",
        )
    return {number: int(processed[number - 1]) for number in numbers}


def _read_g2(results: h5py.Group, found: Ingredients) -> None:
    if not hdf.has(results, "norm-0-g2"):
        return
    found.tau, found.tau_in_frames = hdf.delays(results, "tau")
    shape = (found.tau.size, found.n_bin)
    found.g2 = hdf.table(results, "norm-0-g2", shape, "(delays, bins)")
    if hdf.has(results, "norm-0-stderr"):
        found.g2_err = hdf.table(results, "norm-0-stderr", shape, "(delays, bins)")


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
    ds, table = to_write(ds)
    with new_h5(path, ds.nbytes) as h5file:
        h5file[_PERIOD] = np.array([[float(ds.attrs["dt"])]])
        h5file[_PERIOD].attrs["units"] = "s"
        travel.fill_metadata(h5file, _METADATA, ds.attrs)
        travel.fill_small_values(h5file, ds.attrs.get("file_metadata", ""), "measurement/")
        exchange = h5file.create_group("exchange")
        _write_bins(h5file.create_group("xpcs"), ds, table)
        for name, key in _IMAGES.items():
            if name in ds:
                exchange.create_dataset(key, data=ds[name].values)
        if "c2" in table.bins:
            _write_maps(h5file, table, compression)
        if "intensity" in ds and ds["intensity"].dims == ("t",):
            exchange["frameSum"] = np.stack([ds["frame"].values, ds["intensity"].values])
        if has_measured_g2(ds):
            _write_g2(exchange, table, float(ds.attrs["dt"]))


def _write_bins(group: h5py.Group, ds: xr.Dataset, table: BinTable) -> None:
    group["dqlist"] = table.bins["q"].values[np.newaxis]
    group["dqlist"].attrs["units"] = "1/A"
    group["dphilist"] = table.bins["phi"].values[np.newaxis]
    group["dphilist"].attrs["units"] = "degree"
    image, why = table.roi_map()
    travel.write_partition(
        group, "dqmap", image, why, ds["pixel_mask"].values if "pixel_mask" in ds else None
    )
    for name, key in _PARTITION.items():
        if name in ds and key not in group:
            group.create_dataset(key, data=ds[name].values, compression="gzip")
    travel.stand_in(group, "sqmap", image, "the dynamic partition, no other is known")


def _write_maps(h5file: h5py.File, table: BinTable, compression: str | None) -> None:
    h5file["xpcs/qphi_bin_to_process"] = (table.with_map + 1).astype(np.int64)
    mask = table.bins["mask"].values
    if not mask.all():
        h5file["xpcs/frame_mask"] = mask.astype(np.uint8)
    maps = h5file.create_group(f"exchange/{_MAPS}")
    for count, number in enumerate(table.with_map, start=1):
        values = upper_triangle(table.map_of(number))
        maps.create_dataset(f"g2_{count:05d}", data=values, compression=compression)


def _write_g2(group: h5py.Group, table: BinTable, dt: float) -> None:
    group["tau"] = delays_in_frames(table.bins["tau"].values, dt)[np.newaxis]
    group["tau"].attrs["units"] = "frames"
    group["norm-0-g2"] = table.bins["g2"].transpose("tau", "bin").values
    group["norm-0-stderr"] = table.bins["g2_err"].transpose("tau", "bin").values
