"""APS-U results (8-ID): ``/xpcs/qmap`` with ``/xpcs/multitau`` or ``/xpcs/twotime``."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.cuts import lag_means
from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import (
    BinTable,
    Ingredients,
    Layout,
    MapRef,
    by_label,
    chosen,
    delays_in_frames,
    has_measured_g2,
    lacking,
    to_write,
    upper_triangle,
)
from heterodyne_nb.data.units import QUANTITIES, Axis, Bins, axis_name, bins_of_axes, convert
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.files import new_h5

#: Groups of the maps, below the results: of boost_corr, and of its early versions.
_MAPS = ("twotime/correlation_map", "twotime/c2_half")
_TRACE = "spatial_mean/intensity_vs_time"
_STALE = (
    ("energy", "entry/instrument/incident_beam/incident_energy"),
    ("detector_distance", "entry/instrument/detector_1/distance"),
    ("beam_center_x", "entry/instrument/detector_1/beam_center_x"),
    ("beam_center_y", "entry/instrument/detector_1/beam_center_y"),
    ("dynamic_v_list_dim0", "entry/instrument/masks/dynamic_q_list"),
    ("dynamic_v_list_dim1", "entry/instrument/masks/dynamic_phi_list"),
)
_DETECTOR = "entry/instrument/detector_1"
#: What pyXpcsViewer and its like ask for, whether it is known or not.
_NEEDED = {
    "start_time": "entry/start_time",
    "exposure": f"{_DETECTOR}/count_time",
    "energy": "entry/instrument/incident_beam/incident_energy",
    **{
        name: f"xpcs/qmap/{name}"
        for name in ("detector_distance", "pixel_size", "beam_center_x", "beam_center_y")
    },
}
#: Where the metadata are; the q map is believed where it and the instrument both say something.
_METADATA = {
    "start_time": "entry/start_time",
    "end_time": "entry/end_time",
    "uid": "entry/entry_identifier | entry/entry_identifier_uuid",
    "scan_number": "entry/scan_number",
    "sample": "entry/sample/name | entry/sample/description",
    "temperature": "entry/sample/temperature@degC | entry/sample/qnw1_temperature@degC"
    " | entry/sample/temperature_set@degC",
    "exposure": f"{_DETECTOR}/count_time",
    "energy": "xpcs/qmap/energy | entry/instrument/incident_beam/incident_energy",
    "detector_distance": f"xpcs/qmap/detector_distance | {_DETECTOR}/distance",
    "pixel_size": f"xpcs/qmap/pixel_size | {_DETECTOR}/x_pixel_size",
    "beam_center_x": f"xpcs/qmap/beam_center_x | {_DETECTOR}/beam_center_x",
    "beam_center_y": f"xpcs/qmap/beam_center_y | {_DETECTOR}/beam_center_y",
    "averaged_files": "xpcs/average/file_list",
}
#: What does not travel as it is: what the bins and frames of a dataset say anew, and other analyses.
_NOT_KEPT = (
    r"^/entry/instrument/masks|frame_time|/config/(stride|avg)_frame|^/xpcs/qmap/(dynamic|static|map_|mask)"
    r"|^/xpcs/(output_data$|multitau/(?!config)|twotime/(?!config)|spatial_mean|temporal_mean)|^/(?!entry|xpcs/)"
)
#: Pictures and curves of the run, below ``/xpcs``.
_IMAGES = {
    "saxs_2d": "temporal_mean/scattering_2d",
    "saxs_2d_segments": "temporal_mean/scattering_2d_segments",
    "saxs_1d": "temporal_mean/scattering_1d",
    "saxs_1d_segments": "temporal_mean/scattering_1d_segments",
    **{
        name: f"qmap/{name}"
        for name in (
            *("dynamic_roi_map", "static_roi_map", "static_v_list_dim0", "static_v_list_dim1"),
            "static_index_mapping",
        )
    },
    "pixel_mask": "qmap/mask",
}


class ApsU(Layout):
    """Reader of the APS-U layout."""

    name = "aps-u"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not an APS-U result."""
        if self.analyses(h5file):
            return []
        return lacking(h5file, "xpcs/qmap", "xpcs/multitau | xpcs/twotime")

    def analyses(self, h5file: h5py.File) -> list[str]:
        """``xpcs``, ``xpcs_1``, …: those with a q map and correlations, here or where ``output_data`` points."""
        found = [name for name in sorted(h5file, key=_natural) if _is_analysis(h5file, name)]
        return hdf.default_first(found, h5file)

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins, delays and the places of the maps (see FORMATS of this layout)."""
        name = chosen(self.analyses(h5file), analysis, hdf.place(h5file))
        root = h5file[name]
        results, qmap = hdf.follow(root, "output_data", root), root["qmap"]
        places = {key: path.replace("xpcs/", f"{name}/") for key, path in _METADATA.items()}
        known = travel.metadata(h5file, places)
        axes = _axes(qmap)
        bins = bins_of_axes(axes, _cells(qmap, axes[0].values.size, axes[1].values.size), known)
        only_g2_of_maps = not any(hdf.has(results, key) for key in (*_MAPS, "multitau/normalized_g2"))
        from_maps = only_g2_of_maps or any(hdf.has(results, key) for key in _MAPS)
        found = Ingredients(
            bins=bins,
            dt=_frame_time(h5file, results, "twotime" if from_maps else "multitau"),
            tau_frame=None if only_g2_of_maps else _frame_time(h5file, results, "multitau"),
            maps=_maps(results, bins.q.size),
            n_pixels=travel.label_counts(qmap, "dynamic_roi_map", bins.q.size),
            images=travel.present(root, _IMAGES) | travel.present(results, _IMAGES),
            notes=known | _compare_with_instrument(h5file, qmap),
        )
        if held := travel.small_values(h5file, _NOT_KEPT):
            found.notes["file_metadata"] = held
        if only_g2_of_maps:
            _read_g2_of_maps(results, found)
        _read_g2(results, found, axes[0].values.size * axes[1].values.size, qmap)
        if hdf.has(results, "twotime/frame_mask"):
            found.mask = hdf.vector(results, "twotime/frame_mask", "1 for each frame in use") > 0
        found.intensity = _intensity(results)
        return found


def _natural(name: str) -> tuple[int, str]:
    return len(name), name


def _is_analysis(h5file: h5py.File, name: str) -> bool:
    if not re.fullmatch(r"xpcs(_\d+)?", name) or lacking(h5file, f"{name}/qmap"):
        return False
    pointed = hdf.strings(h5file, f"{name}/output_data")
    groups = [name, *(p.strip("/") for p in pointed)]
    return any(not lacking(h5file, f"{g}/multitau | {g}/twotime") for g in groups)


def _intensity(results: h5py.Group) -> np.ndarray | None:
    """Mean counts of each recorded frame, in the order of their numbers."""
    if not hdf.has(results, _TRACE) or travel.made_up(results[_TRACE]):
        return None
    trace = hdf.array(results, _TRACE, "(2, frames): frame, mean")
    if trace.ndim != 2 or trace.shape[0] != 2:
        raise DataFormatError(
            f"the shape is {trace.shape}",
            where=hdf.place(results, _TRACE),
            expected="(2, frames): frame, mean",
        )
    return np.asarray(trace[1][np.argsort(trace[0], kind="stable")], dtype=float)


def _axes(qmap: h5py.Group) -> list[Axis]:
    """The two axes of the partition by the names and units that the file gives them."""
    names, units = hdf.strings(qmap, "map_names"), hdf.strings(qmap, "map_units")
    names, units = (
        re.split(r"\s*,\s*" if "," in one[0] else r"\s+", one[0]) if len(one) == 1 else one
        for one in (names, units)
    )
    axes = []
    for i, (usual, usual_unit) in enumerate((("q", "1/Å"), ("phi", "degrees"))):
        key = f"dynamic_v_list_dim{i}"
        if i == 1 and key not in qmap and (names[1:] or [""])[0].lower() in ("", "none") and names:
            axes.append(Axis("none", np.zeros(1), None, hdf.place(qmap, key)))
            continue
        values = hdf.vector(
            qmap, key, f"the {usual} values of the map, {usual_unit}, unless map_names says other"
        )
        node = qmap[key]
        own = next((hdf.text(node.attrs[a]) for a in ("name", "map_name", "axis") if a in node.attrs), None)
        listed, listed_unit = names[i] if i < len(names) else "", units[i] if i < len(units) else ""
        name, beside = _name_and_unit(own or listed or usual)
        unit = hdf.unit_of(node) or beside or listed_unit or None
        for mine, theirs in ((own, listed), (hdf.unit_of(node), listed_unit)):
            if mine and theirs and mine.lower() != theirs.lower() and _differ(mine, theirs, name):
                warn(
                    f"{hdf.place(node)} says {mine!r}, map_names or map_units {theirs!r}: the first is obeyed",
                    DataWarning,
                )
        axes.append(Axis(name, values, unit, hdf.place(node)))
    return axes


def _name_and_unit(text: str) -> tuple[str, str]:
    """``"q (1/nm)"`` as q and 1/nm."""
    both = re.fullmatch(r"(.*?)\s*[\[(](.+)[\])]", text)
    return (both[1], both[2]) if both else (text, "")


def _differ(one: str, other: str, name: str) -> bool:
    """Whether two words for an axis, or for the unit of q or phi, mean different things."""
    if axis_name(one) == axis_name(other):
        return False
    try:
        return bool(convert(1.0, one, axis_name(name), "") != convert(1.0, other, axis_name(name), ""))
    except (DataFormatError, KeyError):
        return True


def bins_of_qmap(qmap: h5py.Group, geometry: dict[str, Any] | None = None) -> Bins:
    """q, phi and other coordinates of each label (from 1) of a partition, by the names and units of its axes."""
    axes = _axes(qmap)
    return bins_of_axes(axes, _cells(qmap, axes[0].values.size, axes[1].values.size), geometry or {})


def _cells(qmap: h5py.Group, n_0: int, n_1: int) -> np.ndarray:
    """Place of each label (1, 2, ...) in the ravelled grid of the two axes."""
    if not hdf.has(qmap, "dynamic_index_mapping"):
        return np.arange(n_0 * n_1)
    cells = hdf.vector(qmap, "dynamic_index_mapping", "the grid place of each label").astype(int)
    if cells.size and (cells.min() < 0 or cells.max() >= n_0 * n_1):
        raise DataFormatError(
            f"places reach from {cells.min()} to {cells.max()}",
            where=hdf.place(qmap, "dynamic_index_mapping"),
            expected=f"places in a grid of {n_0} q × {n_1} phi, 0 to {n_0 * n_1 - 1}",
        )
    return cells


def _frame_time(h5file: h5py.File, results: h5py.Group, kind: str) -> float | None:
    """Seconds between the averaged frames that `kind` ("twotime", "multitau") correlated."""
    base = hdf.frame_time(h5file.get("entry/instrument", {}))
    if base is None:
        return None
    stride = hdf.scalar(results, f"{kind}/config/stride_frame", "one number", 1.0)
    average = hdf.scalar(results, f"{kind}/config/avg_frame", "one number", 1.0)
    return base * stride * average


def _maps(results: h5py.Group, n_label: int) -> list[MapRef | None]:
    """The map of each label: map n belongs to label processed_bins[n - 1]."""
    key = next((key for key in _MAPS if hdf.has(results, key)), None)
    if key is None:
        return []
    names = {int(m[1]): m[0] for m in map(re.compile(r"[cg]2_(\d+)$").match, results[key]) if m}
    if not names:
        warn(f"{hdf.place(results, key)} holds no map", DataWarning)
    labels = _processed(results, sorted(names))
    found = ((int(labels[k - 1]), MapRef(f"{results.name}/{key}/{name}")) for k, name in names.items())
    return by_label(found, n_label, hdf.place(results, "twotime/processed_bins"))


def _processed(results: h5py.Group, numbers: list[int]) -> np.ndarray:
    key = "twotime/processed_bins"
    if not hdf.has(results, key):
        labels = np.arange(1, max(numbers, default=0) + 1)
    else:
        labels = hdf.vector(results, key, "the label of each map").astype(int)
    if numbers and labels.size < numbers[-1]:
        raise DataFormatError(
            f"{labels.size} labels are listed but the maps go up to c2_{numbers[-1]:05d}",
            where=hdf.place(results, key),
            expected="one label a map",
        )
    return labels


def _read_g2_of_maps(results: h5py.Group, found: Ingredients) -> None:
    """``twotime/normalized_g2`` where the maps themselves were not kept: a row a lag of 0, 1, 2, … frames."""
    key = "twotime/normalized_g2"
    if not hdf.has(results, key):
        return
    values = hdf.array(results, key, "(lags, processed bins)")
    values = values.reshape(-1, 1) if values.ndim == 1 else values
    labels = _processed(results, list(range(1, values.shape[1] + 1)))[: values.shape[1]]
    if labels.size and not 1 <= labels.min() <= labels.max() <= found.n_bin:
        raise DataFormatError(
            f"there are labels up to {labels.max()}",
            where=hdf.place(results, key),
            expected=f"1 to {found.n_bin}",
        )
    found.g2 = np.full((len(values), found.n_bin), np.nan)
    found.g2[:, labels - 1] = values
    found.tau, found.tau_in_frames = np.arange(float(len(values))), True
    found.notes["g2_origin"] = "means of two-time maps that are not in the file, a row a lag from 0"


def _read_g2(results: h5py.Group, found: Ingredients, n_cell: int, qmap: h5py.Group) -> None:
    if not hdf.has(results, "multitau/normalized_g2"):
        return
    group, n_label = results["multitau"], found.n_bin
    found.tau, found.tau_in_frames = hdf.delays(group, "delay_list")
    for name, key in (("g2", "normalized_g2"), ("g2_err", "normalized_g2_err")):
        if not hdf.has(group, key):
            continue
        shape = (found.tau.size, n_label)
        if n_cell != n_label and hdf.dataset(group, key, "(delays, bins)").shape == (found.tau.size, n_cell):
            cells = hdf.vector(qmap, "dynamic_index_mapping", "the grid place of each label").astype(int)
            setattr(found, name, hdf.array(group, key, "(delays, bins)")[:, cells])
        else:
            setattr(found, name, hdf.table(group, key, shape, f"({shape[0]} delays, {n_label} bins)"))


def _compare_with_instrument(h5file: h5py.File, qmap: h5py.Group) -> dict[str, str]:
    """/entry/instrument can be left over from another run: the q map is believed, and it is said."""
    differing = []
    for key, other in _STALE:
        if key in qmap and other in h5file and not travel.made_up(h5file[other]):
            mine, theirs = np.ravel(qmap[key][()]), np.ravel(h5file[other][()])
            same_unit = hdf.unit_of(qmap[key]) == hdf.unit_of(h5file[other])
            if mine.shape != theirs.shape or (
                same_unit and not np.allclose(mine, theirs, rtol=1e-3, equal_nan=True)
            ):
                differing.append(f"/{other} against {qmap.name}/{key}")
    if not differing:
        return {}
    text = "; ".join(differing)
    warn(
        f"{hdf.place(h5file)}: values under /entry/instrument disagree with /xpcs/qmap ({text}); "
        "the q map is used",
        DataWarning,
    )
    return {"stale_instrument": text}


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
    An ``intensity(t)`` goes to ``/xpcs/spatial_mean/intensity_vs_time``, of one a bin the mean over the pixels.
    Metadata, the partition and the mean scattering go where the beamline keeps them, with every other text and
    number that an APS-U file had. What viewers of this layout need and the dataset has not is made up (NaN where
    a number will do) with a ``comment`` that says so, and is not read back.
    A g2 that was computed from the maps is not written: the reader computes it again; its means over the whole
    run and over fifths of it are in ``/xpcs/twotime/normalized_g2`` and ``normalized_g2_segments``.
    """
    ds, table = to_write(ds)
    with new_h5(path, ds.nbytes) as h5file:
        h5file[f"{_DETECTOR}/frame_time"] = float(ds.attrs["dt"])
        h5file[f"{_DETECTOR}/frame_time"].attrs["units"] = "s"
        h5file.create_group("entry/instrument/bluesky/metadata")  # by which viewers know the layout
        xpcs = h5file.create_group("xpcs")
        travel.fill_metadata(h5file, _METADATA, ds.attrs)
        travel.fill_small_values(h5file, ds.attrs.get("file_metadata", ""), ("/entry/", "/xpcs/"))
        travel.fill_metadata(h5file, {}, ds.attrs, _NEEDED)
        image = _write_qmap(xpcs.require_group("qmap"), ds, table)
        for name, key in _IMAGES.items():
            if name in ds and key not in xpcs:
                xpcs.create_dataset(key, data=ds[name].values, compression="gzip" if ds[name].ndim else None)
                if unit := ds[name].attrs.get("file_units"):
                    xpcs[key].attrs["units"] = unit
        _write_static_partition(xpcs["qmap"], ds, table, image)
        _write_means(xpcs, ds, table, image)
        if "c2" in table.bins:
            _write_maps(xpcs.require_group("twotime"), table, compression)
        if has_measured_g2(ds):
            _write_multitau(xpcs.require_group("multitau"), table, float(ds.attrs["dt"]))
        xpcs["qmap"].attrs["hash"] = _digest(xpcs["qmap"])


def _write_qmap(group: h5py.Group, ds: xr.Dataset, table: BinTable) -> np.ndarray:
    """The dynamic partition; returns its label image."""
    for i, (name, values, unit) in enumerate(table.axes):
        node = group.create_dataset(f"dynamic_v_list_dim{i}", data=values)
        node.attrs["units"] = {"1/Å": "1/A", "degrees": "degree"}.get(unit, unit)
        node.attrs["name"] = name
    group["dynamic_num_pts"] = np.array([values.size for _, values, _ in table.axes])
    group["dynamic_index_mapping"] = table.cells.astype(np.int64)
    group["map_names"] = np.array([name.encode() for name, _, _ in table.axes])
    ascii_units = {QUANTITIES["q"].unit: "1/A", QUANTITIES["phi"].unit: "deg"}
    group["map_units"] = np.array([ascii_units.get(u, u).encode() for _, _, u in table.axes])
    image, why = table.roi_map()
    mask = ds["pixel_mask"].values if "pixel_mask" in ds else None
    travel.write_partition(group, "dynamic_roi_map", image, why, mask)
    return image


def _write_static_partition(qmap: h5py.Group, ds: xr.Dataset, table: BinTable, image: np.ndarray) -> None:
    """What is not known of the static partition: the dynamic one where nothing is, else labels in a row."""
    n = ds.sizes.get("static_bin") or int(
        ds["static_roi_map"].max() if "static_roi_map" in ds else table.n_bin
    )
    if "static_roi_map" not in ds and n == table.n_bin:
        why, axes, cells = (
            "the dynamic partition, no other is known",
            [v for _, v, _ in table.axes],
            table.cells,
        )
    else:
        first = ds["static_v_list_dim0"].values if "static_v_list_dim0" in ds else np.arange(1.0, n + 1)
        axes, cells = [first, np.arange(float(-(-n // first.size)))], np.arange(n)
        why = "the dataset has none, the labels are counted"
    travel.stand_in(qmap, "static_roi_map", image, why)
    for i, values in enumerate(axes):
        travel.stand_in(qmap, f"static_v_list_dim{i}", values, why)
    travel.stand_in(qmap, "static_index_mapping", cells.astype(np.int64), why)
    qmap["static_num_pts"] = np.array([qmap[f"static_v_list_dim{i}"].size for i in range(2)])


def _write_means(xpcs: h5py.Group, ds: xr.Dataset, table: BinTable, image: np.ndarray) -> None:
    """Intensity of the frames and mean scattering, as far as it can be told; ones, marked so, where it cannot.

    Not zeros: viewers take logarithms.
    """
    trace = table.bins.get("intensity", table.bins.get("recorded_intensity"))
    of_bins = np.ones(table.n_bin)
    if trace is not None:
        of_bins = np.broadcast_to(trace.mean(str(trace.dims[-1])).values, table.n_bin)
        trace = trace.weighted(table.bins["n_pixels"]).mean("bin") if trace.ndim == 2 else trace
        frame = ds["frame"].values if trace.dims == ("t",) else np.arange(1, trace.size + 1)
        xpcs[_TRACE] = np.stack([frame, trace.values])
    n_frames = ds.sizes.get("t") or 1 + int(np.ceil(ds["tau"].values.max() / ds.attrs["dt"]))
    nothing = np.stack([np.arange(1.0, n_frames + 1), np.ones(n_frames)])
    travel.stand_in(xpcs, _TRACE, nothing, "no intensity is known")
    mean = xpcs.require_group("temporal_mean")
    travel.stand_in(
        mean, "scattering_2d", np.r_[0.0, of_bins][image], "the mean of each bin, 1 where unknown"
    )
    static, n = xpcs["qmap/static_roi_map"][()].astype(int), xpcs["qmap/static_index_mapping"].size
    curve, scattering = np.ones((1, n)), mean["scattering_2d"][()]
    if scattering.shape == static.shape:
        good = np.isfinite(scattering) & (xpcs["qmap/mask"][()] > 0)
        total, pixels = (np.bincount(static[good], w, n + 1) for w in (scattering[good], None))
        curve[0] = np.where(pixels, total / np.maximum(pixels, 1), 1.0)[1 : n + 1]
    travel.stand_in(mean, "scattering_1d", curve, "mean of scattering_2d over the static partition, or 1")
    whole = np.reshape(mean["scattering_1d"][()], (1, -1))
    travel.stand_in(mean, "scattering_1d_segments", whole, "one segment, the whole run")


def _write_maps(group: h5py.Group, table: BinTable, compression: str | None) -> None:
    group["processed_bins"] = (table.with_map + 1).astype(np.int64)
    group["config/stride_frame"], group["config/avg_frame"] = 1, 1
    mask = table.bins["mask"].values
    if not mask.all():
        group["frame_mask"] = mask.astype(np.uint8)
    maps = group.create_group("correlation_map")
    means = []
    for count, number in enumerate(table.with_map, start=1):
        values = table.map_of(number)
        maps.create_dataset(f"c2_{count:05d}", data=upper_triangle(values), compression=compression)
        means.append(_means(values, mask))
    for key, of_bins in zip(
        ("normalized_g2", "normalized_g2_segments"), zip(*means, strict=True), strict=False
    ):
        group[key] = np.stack(of_bins, axis=-1)


def _means(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """g2 of a map by lag in frames, over the whole run (N,) and over five parts of it (N // 5, 5); NaN at lag 0."""
    n, short = mask.size, mask.size // 5
    whole, parts = np.full(n, np.nan), np.full((max(short, 1), 5), np.nan)
    whole[1:] = lag_means(values, mask)[0]
    for i in range(5 if short else 0):
        part = slice(i * short, (i + 1) * short)
        parts[1:, i] = lag_means(values[part, part], mask[part])[0]
    return whole, parts


def _digest(qmap: h5py.Group) -> str:
    """By which viewers tell whether two files have the same partition."""
    digest = hashlib.sha256()
    for name in sorted(qmap):
        digest.update(name.encode() + np.asarray(qmap[name][()]).tobytes())
    return digest.hexdigest()


def _write_multitau(group: h5py.Group, table: BinTable, dt: float) -> None:
    group["delay_list"] = delays_in_frames(table.bins["tau"].values, dt)
    group["delay_list"].attrs["units"] = "frames"
    group["config/stride_frame"], group["config/avg_frame"] = 1, 1
    group["normalized_g2"] = table.bins["g2"].transpose("tau", "bin").values
    group["normalized_g2_err"] = table.bins["g2_err"].transpose("tau", "bin").values
