"""APS-U results (8-ID): ``/xpcs/qmap`` with ``/xpcs/multitau`` or ``/xpcs/twotime``."""

from __future__ import annotations

import re

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, MapRef, lacking
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

_MAPS = "xpcs/twotime/correlation_map"
_TRACE = "xpcs/spatial_mean/intensity_vs_time"
_STALE = (
    ("energy", "entry/instrument/incident_beam/incident_energy"),
    ("detector_distance", "entry/instrument/detector_1/distance"),
    ("beam_center_x", "entry/instrument/detector_1/beam_center_x"),
    ("beam_center_y", "entry/instrument/detector_1/beam_center_y"),
    ("dynamic_v_list_dim0", "entry/instrument/masks/dynamic_q_list"),
    ("dynamic_v_list_dim1", "entry/instrument/masks/dynamic_phi_list"),
)


class ApsU:
    """Reader of the APS-U layout."""

    name = "aps-u"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not an APS-U result."""
        return lacking(h5file, "xpcs/qmap", "xpcs/multitau | xpcs/twotime")

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read bins, delays and the places of the maps (see FORMATS of this layout)."""
        qmap = h5file["xpcs/qmap"]
        q_axis = _q_axis(qmap)
        phi_axis = hdf.vector(qmap, "dynamic_v_list_dim1", "the phi values of the map, degrees")
        cells = _cells(qmap, q_axis.size, phi_axis.size)
        notes = _compare_with_instrument(h5file, qmap)
        found = Ingredients(
            q=q_axis[cells // phi_axis.size],
            phi=phi_axis[cells % phi_axis.size],
            dt=_frame_time(h5file, "twotime" if _MAPS in h5file else "multitau"),
            tau_frame=_frame_time(h5file, "multitau"),
            maps=_maps(h5file, cells.size),
            n_pixels=hdf.label_counts(qmap, "dynamic_roi_map", cells.size),
            cells=(q_axis, phi_axis, cells),
            notes=notes,
        )
        _read_g2(h5file, found, q_axis.size * phi_axis.size)
        if "xpcs/twotime/frame_mask" in h5file:
            found.mask = hdf.vector(h5file, "xpcs/twotime/frame_mask", "1 for each frame in use") > 0
        found.intensity = _intensity(h5file)
        return found


def _intensity(h5file: h5py.File) -> np.ndarray | None:
    """Mean counts of each recorded frame, in the order of their numbers."""
    if _TRACE not in h5file:
        return None
    trace = hdf.array(h5file, _TRACE, "(2, frames): frame, mean")
    if trace.ndim != 2 or trace.shape[0] != 2:
        raise DataFormatError(
            f"the shape is {trace.shape}",
            where=hdf.place(h5file, _TRACE),
            expected="(2, frames): frame, mean",
        )
    return np.asarray(trace[1][np.argsort(trace[0], kind="stable")], dtype=float)


def _q_axis(qmap: h5py.Group) -> np.ndarray:
    values = hdf.vector(qmap, "dynamic_v_list_dim0", "the q values of the map, 1/Å")
    unit = hdf.unit_of(qmap["dynamic_v_list_dim0"])
    if unit is None and "map_units" in qmap:
        unit = hdf.text(qmap["map_units"])
    return hdf.to_inverse_angstrom(values, unit, hdf.place(qmap, "dynamic_v_list_dim0"))


def _cells(qmap: h5py.Group, n_q: int, n_phi: int) -> np.ndarray:
    """Place of each label (1, 2, ...) in the ravelled (q, phi) grid."""
    if "dynamic_index_mapping" not in qmap:
        return np.arange(n_q * n_phi)
    cells = hdf.vector(qmap, "dynamic_index_mapping", "the grid place of each label").astype(int)
    if cells.size and (cells.min() < 0 or cells.max() >= n_q * n_phi):
        raise DataFormatError(
            f"places reach from {cells.min()} to {cells.max()}",
            where=hdf.place(qmap, "dynamic_index_mapping"),
            expected=f"places in a grid of {n_q} q × {n_phi} phi, 0 to {n_q * n_phi - 1}",
        )
    return cells


def _frame_time(h5file: h5py.File, kind: str) -> float | None:
    """Seconds between the averaged frames that `kind` ("twotime", "multitau") correlated."""
    instrument = h5file.get("entry/instrument", {})
    detectors = sorted(name for name in instrument if name.startswith("detector"))
    for name in detectors:
        if "frame_time" in instrument[name]:
            base = hdf.seconds(instrument[name], "frame_time")
            stride = hdf.scalar(h5file, f"xpcs/{kind}/config/stride_frame", "one number", 1.0)
            average = hdf.scalar(h5file, f"xpcs/{kind}/config/avg_frame", "one number", 1.0)
            return base * stride * average
    return None


def _maps(h5file: h5py.File, n_label: int) -> list[MapRef | None]:
    """The map of each label: map n belongs to label processed_bins[n - 1]."""
    if _MAPS not in h5file:
        return []
    numbers = sorted(int(m[1]) for m in map(re.compile(r"c2_(\d+)$").match, h5file[_MAPS]) if m)
    labels = _processed(h5file, numbers, n_label)
    maps: list[MapRef | None] = [None] * n_label
    for number in numbers:
        maps[labels[number - 1] - 1] = MapRef(f"{_MAPS}/c2_{number:05d}")
    return maps


def _processed(h5file: h5py.File, numbers: list[int], n_label: int) -> np.ndarray:
    key = "xpcs/twotime/processed_bins"
    if key not in h5file:
        labels = np.arange(1, max(numbers, default=0) + 1)
    else:
        labels = hdf.vector(h5file, key, "the label of each map").astype(int)
    if numbers and labels.size < numbers[-1]:
        raise DataFormatError(
            f"{labels.size} labels are listed but the maps go up to c2_{numbers[-1]:05d}",
            where=hdf.place(h5file, key),
            expected="one label a map",
        )
    if labels.size and (labels.min() < 1 or labels.max() > n_label):
        raise DataFormatError(
            f"labels reach from {labels.min()} to {labels.max()}",
            where=hdf.place(h5file, key),
            expected=f"labels from 1 to {n_label} (0 means unused)",
        )
    return labels


def _read_g2(h5file: h5py.File, found: Ingredients, n_cell: int) -> None:
    if "xpcs/multitau/normalized_g2" not in h5file:
        return
    n_label = found.q.size
    group = h5file["xpcs/multitau"]
    found.tau = hdf.vector(group, "delay_list", "delays in frames")
    for name, key in (("g2", "normalized_g2"), ("g2_err", "normalized_g2_err")):
        if key not in group:
            continue
        values = np.atleast_2d(hdf.array(group, key, "(delays, bins)"))
        if values.shape == (found.tau.size, n_cell) and n_cell != n_label and found.cells is not None:
            values = values[:, found.cells[2]]
        if values.shape != (found.tau.size, n_label):
            raise DataFormatError(
                f"the shape is {values.shape}",
                where=hdf.place(group, key),
                expected=f"({found.tau.size} delays, {n_label} bins)",
            )
        setattr(found, name, values)


def _compare_with_instrument(h5file: h5py.File, qmap: h5py.Group) -> dict[str, str]:
    """/entry/instrument can be left over from another run: the q map is believed, and it is said."""
    differing = []
    for key, other in _STALE:
        if key in qmap and other in h5file:
            mine, theirs = np.ravel(qmap[key][()]), np.ravel(h5file[other][()])
            if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=1e-3, equal_nan=True):
                differing.append(f"/{other} against /xpcs/qmap/{key}")
    if not differing:
        return {}
    text = "; ".join(differing)
    warn(
        f"{hdf.place(h5file)}: values under /entry/instrument disagree with /xpcs/qmap ({text}); "
        "the q map is used",
        DataWarning,
    )
    return {"stale_instrument": text}
