"""NXxpcs, the NeXus application definition, and the files written before it was one."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, MapRef, lacking
from heterodyne_nb.data.formats.stacks import FlippedMap, stacked_maps
from heterodyne_nb.errors import DataFormatError


class NXxpcs:
    """Reader of files with an NXentry whose definition is NXxpcs."""

    name = "nxxpcs"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """The definition, the labels' q, and some correlation."""
        entry = _entry(h5file)
        if entry is None:
            return ["an NXentry with definition = NXxpcs"]
        missing = lacking(entry, "instrument/masks/dynamic_q_list")
        if _g2_group(entry) is None and "twotime/two_time_corr_func" not in entry:
            missing.append("data/g2 | twotime/two_time_corr_func")
        return [f"{entry.name.strip('/')}/{key}" for key in missing]

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read bins, delays and the places of the maps."""
        entry = _entry(h5file)
        assert entry is not None
        masks = entry["instrument/masks"]
        q, phi, cells = _bins(masks)
        found = Ingredients(
            q=q,
            phi=phi,
            dt=_frame_time(entry),
            n_pixels=hdf.label_counts(masks, "dynamic_roi_map", q.size),
            cells=cells,
        )
        if "twotime/two_time_corr_func" in entry:
            _read_maps(entry["twotime"], found)
        _read_g2(entry, found)
        return found


def _entry(h5file: h5py.File) -> h5py.Group | None:
    for name in h5file:
        group = h5file.get(name)
        is_entry = isinstance(group, h5py.Group) and "definition" in group
        if is_entry and hdf.text(group["definition"]) == "NXxpcs":
            return group
    return None


def _bins(masks: h5py.Group) -> tuple[np.ndarray, np.ndarray, Any]:
    """q and phi of each label: two lists one entry a label, or the two axes of a grid."""
    q = hdf.vector(masks, "dynamic_q_list", "q of each label")
    q = hdf.to_inverse_angstrom(q, hdf.unit_of(masks["dynamic_q_list"]), hdf.place(masks, "dynamic_q_list"))
    if "dynamic_phi_list" not in masks:
        return q, np.zeros(q.size), None
    phi = hdf.vector(masks, "dynamic_phi_list", "phi of each label, degrees")
    labels = hdf.label_counts(masks, "dynamic_roi_map", 0)
    n_label = None if labels is None else _highest(masks)
    if phi.size == q.size and n_label in (None, q.size):
        return q, phi, None
    if n_label in (None, q.size * phi.size):
        cells = np.arange(q.size * phi.size)
        return np.repeat(q, phi.size), np.tile(phi, q.size), (q, phi, cells)
    if phi.size == q.size:
        return q, phi, None
    raise DataFormatError(
        f"there are {q.size} q, {phi.size} phi and {n_label} labels",
        where=hdf.place(masks),
        expected="one q and one phi a label, or labels on the grid q × phi",
    )


def _highest(masks: h5py.Group) -> int:
    return int(np.nanmax(hdf.array(masks, "dynamic_roi_map", "a label image"), initial=0))


def _frame_time(entry: h5py.Group) -> float | None:
    instrument = entry.get("instrument", {})
    for name in sorted(instrument):
        group = instrument[name]
        is_detector = name.startswith("detector") or hdf.text(group.attrs.get("NX_class", "")) == "NXdetector"
        if is_detector and "frame_time" in group:
            return hdf.seconds(group, "frame_time")
    return None


def _read_maps(group: h5py.Group, found: Ingredients) -> None:
    node = group["two_time_corr_func"]
    refs = _keyed(node) if isinstance(node, h5py.Group) else _one_array(group, node, found.q.size)
    add = 1.0 if _baseline(node) == 0 else 0.0
    flipped = hdf.text(node.attrs.get("time_origin_location", "upper_left")) == "lower_left"
    maps: list[MapRef | None] = [None] * found.q.size
    for label, ref in refs.items():
        if not 1 <= label <= found.q.size:
            raise DataFormatError(
                f"there is a map of label {label}",
                where=hdf.place(node),
                expected=f"labels from 1 to {found.q.size}",
            )
        kind = FlippedMap if flipped else MapRef
        maps[label - 1] = kind(ref.path, before=ref.before, after=ref.after, add=add)
    found.maps = maps
    if add:
        found.notes["baseline"] = "0 in the file, 1 added"
    if flipped:
        found.notes["time_origin"] = "lower left in the file, turned"
    if "frame_mask" in group:
        found.mask = hdf.vector(group, "frame_mask", "1 for each frame in use") > 0


def _baseline(node: h5py.Dataset | h5py.Group) -> int:
    value = hdf.text(node.attrs.get("baseline_reference", "1"))
    if value not in ("0", "1"):
        raise DataFormatError(f"baseline_reference is {value!r}", where=hdf.place(node), expected="0 or 1")
    return int(value)


def _keyed(group: h5py.Group) -> dict[int, MapRef]:
    """Storage mode data_exchange_keys: one dataset a label, named by it."""
    refs = {}
    for name, node in group.items():
        digits = "".join(c for c in name.rpartition("_")[2] if c.isdigit())
        if digits and isinstance(node, h5py.Dataset):
            refs[int(digits)] = MapRef(node.name)
    return refs


def _one_array(group: h5py.Group, node: h5py.Dataset, n_label: int) -> dict[int, MapRef]:
    mode = hdf.text(node.attrs.get("storage_mode", ""))
    order = {"one_array_q_first": "first", "one_array_q_last": "last"}.get(mode)
    refs = stacked_maps(node, order)
    if "processed_bins" in group:
        labels = hdf.vector(group, "processed_bins", "the label of each map", len(refs)).astype(int)
    elif len(refs) == n_label:
        labels = np.arange(1, n_label + 1)
    else:
        raise DataFormatError(
            f"there are {len(refs)} maps for {n_label} labels and no processed_bins to tell which is which",
            where=hdf.place(node),
            expected="one map a label",
        )
    return dict(zip(labels.tolist(), refs, strict=True))


def _g2_group(entry: h5py.Group) -> h5py.Group | None:
    for name in ("data", "multitau"):
        if f"{name}/g2" in entry:
            return entry[name]
    return None


def _read_g2(entry: h5py.Group, found: Ingredients) -> None:
    group = _g2_group(entry)
    if group is None:
        return
    delay = hdf.dataset(group, "delay_difference", "delays in frames")
    found.tau = hdf.vector(group, "delay_difference", "delays in frames")
    found.tau_in_frames = hdf.unit_of(delay) not in ("s", "second", "seconds")
    found.g2 = _by_delay(group, "g2", found.tau.size, found.q.size)
    if "g2_derr" in group:
        found.g2_err = _by_delay(group, "g2_derr", found.tau.size, found.q.size)


def _by_delay(group: h5py.Group, key: str, n_tau: int, n_bin: int) -> np.ndarray:
    """As (delays, bins), whichever way round it is stored."""
    mode = hdf.text(group[key].attrs.get("storage_mode", ""))
    values = hdf.array(group, key, "(delays, bins)")
    first = mode == "one_array_q_first" or (values.shape == (n_bin, n_tau) and n_bin != n_tau)
    if first and values.shape == (n_bin, n_tau):
        return values.T
    return hdf.table(group, key, (n_tau, n_bin), "(delays, bins)")


class NXxpcsOld:
    """Reader of the files written before NXxpcs was a standard: ``/entry/XPCS/data/g2``."""

    name = "nxxpcs-old"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not one."""
        return lacking(h5file, "entry/XPCS/data/g2")

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read bins and g2; these files hold no maps."""
        data = h5file["entry/XPCS/data"]
        q_key = _find(h5file["entry"], ("ql_dyn", "dqlist"), "the q of each bin")
        q = hdf.vector(h5file, q_key, "q of each bin, 1/Å")
        q = hdf.to_inverse_angstrom(q, hdf.unit_of(h5file[q_key]), hdf.place(h5file, q_key))
        tau_key = _find(data, ("t_el", "tau"), "delays in seconds")
        tau = hdf.vector(h5file, tau_key, "delays in seconds")
        shape = (tau.size, q.size)
        err_key = next((k for k in ("g2_errors", "g2_stderr") if k in data), None)
        dt, notes = self._dt(h5file["entry"], tau)
        return Ingredients(
            q=q,
            phi=np.zeros(q.size),
            dt=dt,
            tau=tau,
            tau_in_frames=False,
            g2=hdf.table(data, "g2", shape, "(delays, bins)"),
            g2_err=None if err_key is None else hdf.table(data, err_key, shape, "(delays, bins)"),
            notes=notes,
        )

    @staticmethod
    def _dt(entry: h5py.Group, tau: np.ndarray) -> tuple[float | None, dict[str, str]]:
        stated = _frame_time(entry)
        if stated is not None:
            return stated, {}
        positive = tau[tau > 0]
        if not positive.size:
            return None, {}
        return float(positive.min()), {"dt_origin": "not in the file: the smallest delay"}


def _find(group: h5py.Group, names: tuple[str, ...], expected: str) -> str:
    """Path of the first dataset with one of these names anywhere below a group."""
    hits: list[str] = []
    group.visititems(
        lambda path, node: (
            hits.append(f"{group.name}/{path}")
            if isinstance(node, h5py.Dataset) and path.rpartition("/")[2] in names
            else None
        )
    )
    if not hits:
        raise DataFormatError(f"there is no {' or '.join(names)}", where=hdf.place(group), expected=expected)
    return hits[0]
