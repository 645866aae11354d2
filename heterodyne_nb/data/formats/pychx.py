"""NSLS-II CHX results (pyCHX): ``/g12b`` or ``/g2``, with ``/md``."""

from __future__ import annotations

import re
from typing import Any

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import Ingredients, Layout, bins_of_lists, lacking, stacked_maps
from heterodyne_nb.data.units import METADATA_NUMBERS, Bins, convert, metadatum, warn_if_radians
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

_Q_UNITS, _PHI_UNITS = ("units", "unit", "q_units", "q_unit"), ("phi_units", "angle_units", "phi_unit")
_PERIODS = ("acquire period", "acquire_period", "cam_acquire_period", "timeperframe", "frame_time")
#: Metadata among the attributes of ``/md``, with the unit that the beamline writes them in.
_METADATA = {
    "start_time": ("start_time", "time", "timestamp"),
    "sample": ("sample",),
    "uid": ("uid",),
    "scan_number": ("scan_id",),
    "temperature@degC": ("temperature", "sample_temperature"),
    "exposure": ("exposure time", "exposure_time", "cam_acquire_time", "count_time"),
    "energy": ("energy", "photon_energy"),
    "detector_distance": ("detector_distance", "det_distance", "eiger_detector_distance"),
    "pixel_size": ("x_pixel_size",),
    "beam_center_x": ("beam_center_x",),
    "beam_center_y": ("beam_center_y",),
}
_IMAGES = {"saxs_2d": "avg_img", "saxs_1d": "iq_saxs", "dynamic_roi_map": "roi_mask", "pixel_mask": "mask"}


class PyChx(Layout):
    """Reader of the pyCHX layout."""

    name = "pychx"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not a pyCHX result."""
        return lacking(h5file, "g12b | g2", "md", "qval_dict")

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins, delays and the places of the maps (q is the last axis of the stack)."""
        bins = _bins(h5file)
        found = Ingredients(
            bins=bins,
            dt=_period(h5file),
            n_pixels=travel.label_counts(h5file, "roi_mask", bins.q.size),
            images=travel.present(h5file, _IMAGES),
            notes=_metadata(h5file),
        )
        if hdf.has(h5file, "g12b"):
            node = hdf.dataset(h5file, "g12b", "(N, N, q)")
            refs = stacked_maps(node, "last")
            if len(refs) != found.n_bin:
                raise DataFormatError(
                    f"{len(refs)} maps for {found.n_bin} entries of /qval_dict",
                    where=hdf.place(node),
                    expected="one map an entry",
                )
            found.maps = refs
            found.mask = _mask(h5file, node.shape[0])
        if hdf.has(h5file, "g2"):
            found.tau, found.tau_in_frames = hdf.delays(h5file, "taus", "s")
            found.g2 = hdf.table(h5file, "g2", (found.tau.size, found.n_bin), "(delays, q)")
            if hdf.has(h5file, "g2_err"):
                found.g2_err = hdf.table(h5file, "g2_err", found.g2.shape, "(delays, q)")
        if hdf.has(h5file, "imgsum"):
            found.intensity = hdf.vector(h5file, "imgsum", "sum of each frame")
        return found


def _bins(h5file: h5py.File) -> Bins:
    """q and phi from the attributes of /qval_dict: {index: q} or {index: (q, angle)}."""
    attrs = h5file["qval_dict"].attrs
    numbered = {int(m[0]): np.ravel(attrs[k]) for k in attrs if (m := re.fullmatch(r"\d+", k))}
    if not numbered:
        raise DataFormatError(
            "there is no numbered attribute", where=hdf.place(h5file, "qval_dict"), expected="one q an index"
        )
    try:
        rows = [np.asarray(numbered[i], dtype=float) for i in sorted(numbered)]
    except ValueError as error:
        raise DataFormatError(
            f"the entries are not numbers ({error})", where=hdf.place(h5file, "qval_dict"), expected="q, 1/Å"
        ) from error
    where = hdf.place(h5file, "qval_dict")
    unit, phi_unit = (_attribute(h5file["qval_dict"], *names) for names in (_Q_UNITS, _PHI_UNITS))
    listed = next((np.ravel(attrs[n]) for n in _Q_UNITS if n in attrs and np.size(attrs[n]) > 1), None)
    if listed is not None:
        unit, phi_unit = hdf.text(listed[0]), phi_unit or hdf.text(listed[1])
    q = convert(np.array([row[0] for row in rows]), unit, "q", where)
    if not all(row.size > 1 for row in rows):
        return bins_of_lists(q)
    phi = np.array([row[1] for row in rows])
    warn_if_radians(phi, phi_unit, where)
    notes = {"phi_origin": "second entry of qval_dict"}
    return Bins(q, convert(phi, phi_unit, "phi", where), {}, None, notes)


def _attribute(node: h5py.Group, *names: str) -> str | None:
    """The first of these attributes, as text."""
    return next((hdf.text(node.attrs[name]) for name in names if name in node.attrs), None)


def _metadata(h5file: h5py.File) -> dict[str, Any]:
    """What /md says of the run; numbers with their ``… units`` attribute, or in the unit of the beamline."""
    md, where = h5file["md"], hdf.place(h5file, "md")
    found: dict[str, Any] = {}
    for name, keys in _METADATA.items():
        name, _, assumed = name.partition("@")
        key = next((key for key in keys if key in md.attrs), None)
        if key is None:
            continue
        if name not in METADATA_NUMBERS:
            found[name] = hdf.text(md.attrs[key])
            continue
        try:
            value, unit = _number(md.attrs[key], where, key)
            unit = _unit_beside(md, key) or unit
            found[name] = metadatum(value, unit, name, f"{where}.{key}", assumed)
        except DataFormatError as error:
            warn(f"{name} is left out: {error}", DataWarning)
    return found


def _unit_beside(md: h5py.Group, key: str) -> str | None:
    return _attribute(md, *(f"{key}{joint}{word}" for joint in (" ", "_") for word in ("units", "unit")))


def _period(h5file: h5py.File) -> float | None:
    """Time from frame to frame: from /md, otherwise the step of /tausb."""
    md, where = h5file["md"], hdf.place(h5file, "md")
    for name in _PERIODS:
        if name in md.attrs:
            value, unit = _number(md.attrs[name], where, name)
            return float(convert(value, _unit_beside(md, name) or unit, "dt", f"{where}.{name}"))
    if hdf.has(h5file, "tausb"):
        tau = hdf.quantity(h5file, "tausb", "dt", "delays of the two-time g2, s")
        if tau.size > 1:
            return float(tau[1] - tau[0])
    return None


def _number(value: object, where: str, name: str) -> tuple[float, str | None]:
    """A number, and the unit that is written behind it, as in ``"500 ms"``."""
    number, _, unit = re.sub(r"(?<=[\d.])\s*(?=[^\W\d_]+$)", "|", hdf.text(value)).partition("|")
    try:
        return float(number), unit or None
    except ValueError:
        raise DataFormatError(
            f"attribute {name!r} is {hdf.text(value)!r}", where=where, expected="a time, s"
        ) from None


def _mask(h5file: h5py.File, n_frames: int) -> np.ndarray | None:
    """Frames that pyCHX called bad (numbers from 0), left out."""
    if not hdf.has(h5file, "bad_frame_list") or not h5file["bad_frame_list"].shape:
        return None
    bad = hdf.vector(h5file, "bad_frame_list", "numbers of bad frames, from 0").astype(int)
    used = np.ones(n_frames, dtype=bool)
    used[bad[(bad >= 0) & (bad < n_frames)]] = False
    return used
