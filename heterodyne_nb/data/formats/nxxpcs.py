"""NXxpcs, the NeXus application definition, and the files written before it was one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from heterodyne_nb.data.cuts import lag_means
from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import (
    BinTable,
    FlippedMap,
    Ingredients,
    Layout,
    MapRef,
    bins_of_lists,
    by_label,
    chosen,
    delays_in_frames,
    has_measured_g2,
    lacking,
    stacked_maps,
    to_write,
    upper_triangle,
)
from heterodyne_nb.data.units import Axis, Bins, bins_of_axes, convert
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_h5

_DETECTOR = "instrument/detector_1"
_METADATA = {
    "start_time": "start_time",
    "end_time": "end_time",
    "uid": "entry_identifier_uuid | entry_identifier",
    "scan_number": "scan_number",
    "sample": "sample/name",
    "temperature": "sample/temperature | sample/temperature_set",
    "exposure": f"{_DETECTOR}/count_time",
    "energy": "instrument/incident_beam/incident_energy",
    "detector_distance": f"{_DETECTOR}/distance",
    "pixel_size": f"{_DETECTOR}/x_pixel_size",
    "beam_center_x": f"{_DETECTOR}/beam_center_x",
    "beam_center_y": f"{_DETECTOR}/beam_center_y",
}
_NEEDED = {
    name: _METADATA[name] for name in ("start_time", "exposure", "energy", "beam_center_x", "beam_center_y")
}
#: What does not travel as it is: what bins and frames of a dataset say anew, and what the writer says of itself.
_NOT_KEPT = r"^/entry/(definition$|data/|twotime/|saxs_[12]d/|instrument/masks/)|frame_time"
#: Classes of the groups in which metadata lie; of any other that nobody named: a collection.
_CLASSES = {
    **{"instrument": "NXinstrument", "incident_beam": "NXbeam", "sample": "NXsample", "masks": "NXnote"},
    **{
        "detector_1": "NXdetector",
        "data": "NXdata",
        "twotime": "NXdata",
        "saxs_1d": "NXdata",
        "saxs_2d": "NXdata",
    },
}
_COMPUTED = "computed from two_time_corr_func"
_IMAGES = {
    "dynamic_roi_map": "instrument/masks/dynamic_roi_map",
    "static_roi_map": "instrument/masks/static_roi_map",
    "pixel_mask": "instrument/masks/mask",
    "static_v_list_dim0": "instrument/masks/static_q_list",
    "saxs_2d": "saxs_2d/I",
    "saxs_1d": "saxs_1d/I",
    "saxs_1d_segments": "saxs_1d/I_partial",
}
_TRACE = "data/frame_average"
_C2, _Q_LIST = "twotime/two_time_corr_func", "instrument/masks/dynamic_q_list"
_G2_OF_MAPS = "twotime/g2_from_two_time_corr_func"


class NXxpcs(Layout):
    """Reader of files with an NXentry, or an NXsubentry in one, whose definition is NXxpcs."""

    name = "nxxpcs"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """The definition, the labels' q, and some correlation."""
        entries = self.analyses(h5file)
        if not entries:
            return ["an NXentry with definition = NXxpcs"]
        entry = h5file[entries[0]]
        missing = lacking(entry, _Q_LIST)
        if _g2_group(entry) is None and lacking(entry, f"{_C2} | {_G2_OF_MAPS}"):
            missing.append(f"data/g2 | {_C2}")
        return [f"{entry.name.strip('/')}/{key}" for key in missing]

    def analyses(self, h5file: h5py.File) -> list[str]:
        """Paths of the entries and subentries that follow the definition; the file's ``default`` comes first."""
        found: dict[h5py.Group, str] = {}  # one that is linked twice is one
        for group in _entries(h5file):
            if group not in found or isinstance(h5file.get(found[group], getlink=True), h5py.SoftLink):
                found[group] = group.name.strip("/")
        return hdf.default_first(list(found.values()), h5file)

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins, delays and the places of the maps."""
        entry = h5file[chosen(self.analyses(h5file), analysis, hdf.place(h5file))]
        masks = entry["instrument/masks"]
        bins = _bins(masks)
        found = Ingredients(
            bins=bins,
            dt=hdf.frame_time(entry.get("instrument", {})),
            n_pixels=travel.label_counts(masks, "dynamic_roi_map", bins.q.size),
            images=travel.present(entry, _IMAGES),
            notes=travel.metadata(entry.parent, _METADATA) | travel.metadata(entry, _METADATA),
        )
        if hdf.has(entry, _C2):
            _read_maps(entry["twotime"], found)
        _read_g2(entry, found)
        if hdf.has(entry, _TRACE) and entry[_TRACE].ndim == 1:
            found.intensity = hdf.vector(entry, _TRACE, "mean of each frame")
        if held := travel.small_values(entry, _NOT_KEPT, "/entry"):
            found.notes["file_metadata"] = held
        return found


def _entries(h5file: h5py.File) -> Iterator[h5py.Group]:
    for name in h5file:
        entry = h5file.get(name)
        if not isinstance(entry, h5py.Group):
            continue
        for group in (entry, *(entry.get(below) for below in entry)):
            if isinstance(group, h5py.Group) and hdf.strings(group, "definition") == ["NXxpcs"]:
                yield group


def _bins(masks: h5py.Group) -> Bins:
    """q and phi of each label: (q, phi) tuples, two lists one entry a label, or the two axes of a grid."""
    node = hdf.dataset(masks, "dynamic_q_list", "q of each label")
    pairs = None if hdf.has(masks, "dynamic_phi_list") else hdf.pairs(masks, "dynamic_q_list")
    if pairs is not None:
        where = hdf.place(node)
        units = (hdf.unit_of(node) or "").split(",")
        q = convert(pairs[:, 0], units[0].strip(" ()[]") or None, "q", where)
        phi = convert(pairs[:, 1], units[1].strip(" ()[]") if len(units) > 1 else None, "phi", where)
        return bins_of_lists(q, phi)
    q = hdf.quantity(masks, "dynamic_q_list", "q", "q of each label")
    if not hdf.has(masks, "dynamic_phi_list"):
        return bins_of_lists(q)
    phi = hdf.quantity(masks, "dynamic_phi_list", "phi", "phi of each label, degrees")
    n_label = None if not hdf.has(masks, "dynamic_roi_map") else _highest(masks)
    if phi.size == q.size and n_label in (None, q.size):
        return bins_of_lists(q, phi)
    if n_label in (None, q.size * phi.size):
        axes = [Axis(n, v, None, "") for n, v in (("q", q), ("phi", phi))]
        return bins_of_axes(axes, np.arange(q.size * phi.size), {})
    if phi.size == q.size:
        return bins_of_lists(q, phi)
    raise DataFormatError(
        f"there are {q.size} q, {phi.size} phi and {n_label} labels",
        where=hdf.place(masks),
        expected="one q and one phi a label, or labels on the grid q × phi",
    )


def _highest(masks: h5py.Group) -> int:
    return int(np.nanmax(hdf.array(masks, "dynamic_roi_map", "a label image"), initial=0))


def _read_maps(group: h5py.Group, found: Ingredients) -> None:
    node = group["two_time_corr_func"]
    refs = (
        list(_keyed(node).items()) if isinstance(node, h5py.Group) else _one_array(group, node, found.n_bin)
    )
    if not refs:
        raise DataFormatError("there is no map", where=hdf.place(node), expected="a map a label")
    add = 1.0 if _baseline(node) == 0 else 0.0
    flipped = _word(node, "time_origin_location", "upper_left", "lower_left") == "lower_left"
    half = _word(node, "populated_elements", "all", "upper_half", "lower_half").removesuffix("_half")
    kind = FlippedMap if flipped else MapRef
    said = "" if flipped or half == "all" else half
    kept = ((label, kind(r.path, before=r.before, after=r.after, add=add, said=said)) for label, r in refs)
    found.maps = by_label(kept, found.n_bin, hdf.place(node))
    if add:
        found.notes["baseline"] = "0 in the file, 1 added"
    if flipped:
        found.notes["time_origin"] = "lower left in the file, turned"
    if hdf.has(group, "frame_mask"):
        found.mask = hdf.vector(group, "frame_mask", "1 for each frame in use") > 0


def _baseline(node: h5py.Dataset | h5py.Group) -> int:
    value = hdf.text(node.attrs.get("baseline_reference", "1"))
    try:
        return {0.0: 0, 1.0: 1}[float(value)]
    except (KeyError, ValueError):
        raise DataFormatError(
            f"baseline_reference is {value!r}", where=hdf.place(node), expected="0 or 1"
        ) from None


def _word(node: h5py.Dataset | h5py.Group, attribute: str, *known: str) -> str:
    """An attribute of the definition, in small letters; the first of the known words where it is not there."""
    word = hdf.text(node.attrs.get(attribute, "")).lower() or known[0]
    if word not in known:
        raise DataFormatError(f"{attribute} is {word!r}", where=hdf.place(node), expected=" or ".join(known))
    return word


def _keyed(group: h5py.Group) -> dict[int, MapRef]:
    """Storage mode data_exchange_keys: one dataset a label, named by it."""
    refs = {}
    for name in group:
        digits = "".join(c for c in name.rpartition("_")[2] if c.isdigit())
        if digits:
            refs[int(digits)] = MapRef(f"{group.name}/{name}")
    return refs


def _one_array(group: h5py.Group, node: h5py.Dataset, n_label: int) -> list[tuple[int, MapRef]]:
    mode = hdf.text(node.attrs.get("storage_mode", ""))
    order = {"one_array_q_first": "first", "one_array_q_last": "last"}.get(mode)
    refs = stacked_maps(node, order)
    if hdf.has(group, "processed_bins"):
        labels = hdf.vector(group, "processed_bins", "the label of each map", len(refs)).astype(int)
    elif len(refs) == n_label:
        labels = np.arange(1, n_label + 1)
    else:
        raise DataFormatError(
            f"there are {len(refs)} maps for {n_label} labels and no processed_bins to tell which is which",
            where=hdf.place(node),
            expected="one map a label",
        )
    return list(zip(labels.tolist(), refs, strict=True))


def _g2_group(entry: h5py.Group) -> h5py.Group | None:
    """The group of the measured g2."""
    for name in ("data", "multitau"):
        if (
            not lacking(entry, f"{name}/g2")
            and hdf.text(entry[name]["g2"].attrs.get("comment", "")) != _COMPUTED
        ):
            return entry[name]
    return None


def _read_g2(entry: h5py.Group, found: Ingredients) -> None:
    group = _g2_group(entry)
    if group is None:
        hdf.has(entry, "data/g2")  # names a link to nowhere
        if not found.maps and hdf.has(entry, _G2_OF_MAPS):
            _read_g2_of_maps(entry["twotime"], found)
        return
    if not hdf.has(group, "g2"):
        return
    if isinstance(group["delay_difference"] if hdf.has(group, "delay_difference") else None, h5py.Group):
        found.tau, found.tau_in_frames = _common_delays(group["delay_difference"])
    else:
        found.tau, found.tau_in_frames = hdf.delays(group, "delay_difference")
    found.g2 = _by_delay(group, "g2", found.tau.size, found.n_bin)
    if hdf.has(group, "g2_derr"):
        found.g2_err = _by_delay(group, "g2_derr", found.tau.size, found.n_bin)


def _common_delays(group: h5py.Group) -> tuple[np.ndarray, bool]:
    """Delays that are kept a label: one axis for all."""
    lists = [hdf.delays(group, ref.path.rpartition("/")[2]) for ref in _keyed(group).values()]
    if not lists or any(one.shape != lists[0][0].shape or np.any(one != lists[0][0]) for one, _ in lists):
        raise DataFormatError(
            "labels have different delays" if lists else "there is no list of delays",
            where=hdf.place(group), expected="the same delays for all labels",
        )  # fmt: skip
    return lists[0]


def _read_g2_of_maps(group: h5py.Group, found: Ingredients) -> None:
    """g2 of the maps where the maps themselves are not in the file: a value a lag of 0, 1, 2, … frames."""
    values: dict[str, np.ndarray] = {}
    for name in ("g2_from_two_time_corr_func", "g2_err_from_two_time_corr_func"):
        if hdf.has(group, name):
            node = group[name]
            keyed = (
                [group.file[ref.path].size for ref in _keyed(node).values()]
                if isinstance(node, h5py.Group)
                else []
            )
            n_lag = max(keyed, default=0) or hdf.dataset(group, name, "(lags, bins)").size // found.n_bin
            values[name] = _by_delay(group, name, n_lag, found.n_bin)
    (name, found.g2), *error = values.items()
    found.g2, found.g2_err = found.g2 + (1.0 - _baseline(group[name])), error[0][1] if error else None
    found.tau, found.tau_in_frames = np.arange(float(len(found.g2))), True
    found.notes["g2_origin"] = "means of two-time maps that are not in the file, a row a lag from 0"


def _by_delay(group: h5py.Group, key: str, n_tau: int, n_bin: int) -> np.ndarray:
    """As (delays, bins), whichever way round it is stored, or a dataset a label."""
    if isinstance(group[key], h5py.Group):
        values = np.full((n_tau, n_bin), np.nan)
        for label, ref in _keyed(group[key]).items():
            if not 1 <= label <= n_bin:
                raise DataFormatError(
                    f"there is a curve of label {label}",
                    where=hdf.place(group[key]),
                    expected=f"labels from 1 to {n_bin}",
                )
            name = ref.path.rpartition("/")[2]
            if hdf.has(group[key], name):
                values[:, label - 1] = hdf.vector(group[key], name, "one value a delay", n_tau)
        return values
    mode = hdf.text(group[key].attrs.get("storage_mode", ""))
    values = hdf.array(group, key, "(delays, bins)")
    first = mode == "one_array_q_first" or (values.shape == (n_bin, n_tau) and n_bin != n_tau)
    if first and values.shape == (n_bin, n_tau):
        return values.T
    return hdf.table(group, key, (n_tau, n_bin), "(delays, bins)")


class NXxpcsOld(Layout):
    """Reader of the files written before NXxpcs was a standard: ``/entry/XPCS/data/g2``."""

    name = "nxxpcs-old"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not one."""
        return lacking(h5file, "entry/XPCS/data/g2")

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins and g2; these files hold no maps."""
        data, entry = h5file["entry/XPCS/data"], h5file["entry"]
        q_key = _find(entry, ("ql_dyn", "dqlist"), "the q of each bin")
        q = hdf.quantity(h5file, q_key, "q", "q of each bin, 1/Å")
        phi_key = _find(entry, ("phil_dyn", "dphilist"), "")
        tau, in_frames = hdf.delays(h5file, _find(data, ("t_el", "tau"), "delays in seconds"), "s")
        err_key = next((k for k in ("g2_errors", "g2_stderr") if k in data), None)
        dt, notes = self._dt(entry, np.empty(0) if in_frames else tau)
        return Ingredients(
            bins=bins_of_lists(
                q, hdf.quantity(h5file, phi_key, "phi", "phi of each bin") if phi_key else None
            ),
            dt=dt,
            tau=tau,
            tau_in_frames=in_frames,
            g2=hdf.table(data, "g2", (tau.size, q.size), "(delays, bins)"),
            g2_err=None
            if err_key is None
            else hdf.table(data, err_key, (tau.size, q.size), "(delays, bins)"),
            notes=travel.metadata(entry, _METADATA) | notes,
        )

    @staticmethod
    def _dt(entry: h5py.Group, tau: np.ndarray) -> tuple[float | None, dict[str, str]]:
        stated = hdf.frame_time(entry.get("instrument", {}))
        if stated is not None:
            return stated, {}
        positive = tau[tau > 0]
        if not positive.size:
            return None, {}
        return float(positive.min()), {"dt_origin": "not in the file: the smallest delay"}


def _find(group: h5py.Group, names: tuple[str, ...], expected: str) -> str:
    """Path of the first dataset with one of these names anywhere below a group; none is an error where it is expected."""
    hits: list[str] = []
    group.visititems(
        lambda path, node: (
            hits.append(f"{group.name}/{path}")
            if isinstance(node, h5py.Dataset) and path.rpartition("/")[2] in names
            else None
        )
    )
    if not hits and expected:
        raise DataFormatError(f"there is no {' or '.join(names)}", where=hdf.place(group), expected=expected)
    return hits[0] if hits else ""


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
    the upper left; ``processed_bins`` beside it lists the labels of its maps; that and ``frame_mask``
    are additions which other programs ignore. ``data/g2`` is the measured one, or that of the maps,
    which is marked and not read back: the reader computes it again.
    What the definition requires and the dataset has not is made up (NaN where a number will do) with a
    ``comment`` that says so, and is not read back.
    """
    ds, table = to_write(ds)
    dt = float(ds.attrs["dt"])
    with new_h5(path, ds.nbytes) as h5file:
        h5file.attrs["default"] = "entry"
        entry = h5file.create_group("entry")
        entry["definition"] = "NXxpcs"
        entry[f"{_DETECTOR}/frame_time"] = dt
        entry[f"{_DETECTOR}/frame_time"].attrs["units"] = "s"
        known = {name: _iso(str(ds.attrs[name])) for name in ("start_time", "end_time") if name in ds.attrs}
        travel.fill_metadata(entry, _METADATA, {**ds.attrs, **known})
        travel.fill_small_values(h5file, ds.attrs.get("file_metadata", ""), "/entry/")
        travel.fill_metadata(entry, {}, ds.attrs, _NEEDED)
        of_run = ds.attrs.get("scan_number", ds.attrs.get("uid", "unknown"))
        travel.stand_in(entry, "entry_identifier", str(of_run), "the scan number or the uid, if any")
        travel.stand_in(entry, "scan_number", 0, "the scan number is not known")
        _write_masks(entry.require_group("instrument/masks"), ds, table)
        for name, key in _IMAGES.items():
            if name in ds and key not in entry:
                node = entry.create_dataset(key, data=ds[name].values, compression="gzip")
                if name == "static_v_list_dim0":
                    node.attrs["units"] = ds[name].attrs.get("file_units", "1/angstrom")
        means = _write_c2(entry.require_group("twotime"), table, compression) if table.with_map.size else None
        _write_g2(entry.require_group("data"), table, dt, None if has_measured_g2(ds) else means)
        if "intensity" in ds and ds["intensity"].dims == ("t",):
            entry[_TRACE] = ds["intensity"].values
            entry[_TRACE].attrs["units"] = ""
        _classify(h5file)


def _iso(time: str) -> str:
    """A time as NeXus writes it, where it can be told."""
    with contextlib.suppress(ValueError):
        return pd.Timestamp(time).isoformat()
    return time


def _classify(h5file: h5py.File) -> None:
    """Name the NeXus class of every group, and the signal of the pictures."""

    def visit(path: str, node: h5py.Group | h5py.Dataset) -> None:
        name = path.rpartition("/")[2]
        if isinstance(node, h5py.Group) and "NX_class" not in node.attrs:
            node.attrs["NX_class"] = "NXentry" if path == "entry" else _CLASSES.get(name, "NXcollection")
        if name in ("saxs_1d", "saxs_2d") and "I" in node:
            node.attrs["signal"], node.attrs["axes"] = "I", ["."] * node["I"].ndim

    h5file.visititems(visit)
    h5file["entry"].attrs["default"] = "data"


def _write_masks(group: h5py.Group, ds: xr.Dataset, table: BinTable) -> None:
    for name, unit in (("q", "1/angstrom"), ("phi", "degree")):
        group[f"dynamic_{name}_list"] = table.bins[name].values
        group[f"dynamic_{name}_list"].attrs["units"] = unit
    mask = ds["pixel_mask"].values if "pixel_mask" in ds else None
    travel.write_partition(group, "dynamic_roi_map", *table.roi_map(), mask)
    group["dynamic_roi_map"].attrs["units"] = ""


def _write_c2(group: h5py.Group, table: BinTable, compression: str | None) -> np.ndarray:
    """The maps; returns their means at each lag of 1 .. N−1 frames, a column a bin."""
    mask = table.bins["mask"].values
    n, count = mask.size, table.with_map.size
    piece = min(n, 512)
    node = group.create_dataset(
        "two_time_corr_func", (count, n, n), "f4", chunks=(1, piece, piece), compression=compression
    )
    node.attrs.update({"storage_mode": "one_array_q_first", "baseline_reference": 1, "units": ""})
    node.attrs.update({"time_origin_location": "upper_left", "populated_elements": "upper_half"})
    means = np.full((n - 1, table.n_bin), np.nan)
    for place, number in enumerate(table.with_map):
        values = table.map_of(number)
        node[place] = upper_triangle(values)
        means[:, number] = lag_means(values, mask)[0]
    group["processed_bins"] = (table.with_map + 1).astype(np.int64)
    for name in ("t1", "t2"):
        group[name] = table.bins[name].values
        group[name].attrs["units"] = "s"
    group.attrs.update({"signal": "two_time_corr_func", "axes": ["processed_bins", "t1", "t2"]})
    if not mask.all():
        group["frame_mask"] = mask.astype(np.uint8)
    return means


def _write_g2(group: h5py.Group, table: BinTable, dt: float, means: np.ndarray | None) -> None:
    """The measured g2 and its error, or the means of the maps, which say that they are these."""
    if means is None:
        group["delay_difference"] = delays_in_frames(table.bins["tau"].values, dt)
        curves = {"g2": table.bins["g2"], "g2_derr": table.bins["g2_err"]}
        fields = {name: values.transpose("tau", "bin").values for name, values in curves.items()}
    else:
        group["delay_difference"], fields = np.arange(1, len(means) + 1), {"g2": means}
    for name, values in fields.items():
        group[name] = values
        if means is not None:
            group[name].attrs["comment"] = _COMPUTED
    for name in ("delay_difference", *fields):
        group[name].attrs.update({"storage_mode": "one_array", "units": ""})
    group.attrs.update({"signal": "g2", "axes": ["delay_difference", "."]})
