"""ESRF ID02 results: version 2 (root attribute MagicString = XPCSResultFile_v2.0), and those of the dahu server before."""

from __future__ import annotations

import h5py
import numpy as np

from heterodyne_nb.data import units
from heterodyne_nb.data.age_lag import cell_at, edges_between
from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import (
    Ingredients,
    LagAgeMap,
    Layout,
    bins_of_lists,
    chosen,
    lacking,
)
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

_MAGIC = "XPCSResultFile_v2.0"
_ROOT = "entry_0000/correlations"


_DETECTOR = "entry_0000/instrument/detector"
_METADATA = {
    "start_time": "entry_0000/start_time",
    "end_time": "entry_0000/end_time",
    "uid": "entry_0000/entry_identifier",
    "sample": "entry_0000/sample/name | entry_0000/title",
    "temperature": "entry_0000/sample/temperature",
    "exposure": f"{_DETECTOR}/acquisition/exposure_time | {_DETECTOR}/count_time",
    "energy": "entry_0000/instrument/beam/incident_energy",
    "detector_distance": f"{_DETECTOR}/distance",
    "pixel_size": f"{_DETECTOR}/x_pixel_size",
    "beam_center_x": f"{_DETECTOR}/beam_center_x",
    "beam_center_y": f"{_DETECTOR}/beam_center_y",
}
_DAHU = {
    **{"start_time": "entry/start_time", "end_time": "entry/end_time", "sample": "entry/sample/name"},
    **{"temperature": "entry/sample/temperature", "energy": "entry/ID02/monochromator/energy"},
}


class EsrfId02(Layout):
    """Reader of the ESRF ID02 layout; the file's first analysis is read, others are named in a warning."""

    name = "esrf-id02"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """The magic string and the correlations."""
        if hdf.text(h5file.attrs.get("MagicString", "")) != _MAGIC:
            return [f"root attribute MagicString = {_MAGIC}"]
        return [] if _ROOT in h5file else [_ROOT]

    def analyses(self, h5file: h5py.File) -> list[str]:
        """The groups of correlations, in the order of the file; the one called its default comes first."""
        root = h5file[_ROOT]
        names = [key for key in root if isinstance(root.get(key), h5py.Group)]
        return hdf.default_first(names, root, h5file["entry_0000"], h5file, below=_ROOT)

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read the regions, delays and the places of the maps of one analysis."""
        root, names = h5file[_ROOT], self.analyses(h5file)
        if not names:
            raise DataFormatError(
                "there is no analysis", where=hdf.place(root), expected="a group an analysis"
            )
        group = root[chosen(names, analysis, hdf.place(root))]
        q = hdf.quantity(group, "parameters/q", "q", "q of each region", assumed="1/nm")
        notes = travel.metadata(h5file, _METADATA)
        if hdf.unit_of(group["parameters/q"]) is None:
            notes["q_unit"] = "not in the file: 1/nm assumed, as the beamline writes"
        phi = None
        if hdf.has(group, "parameters/phi"):
            phi = hdf.quantity(group, "parameters/phi", "phi", "phi of each region, degrees", length=q.size)
        found = Ingredients(bins=bins_of_lists(q, phi), dt=None, n_pixels=_pixels(group, q.size), notes=notes)
        _read_maps(group, found)
        _read_g2(group, found)
        return found


class EsrfDahu(Layout):
    """Reader of what the dahu server at ID02 writes: g2 of rings in the ``results`` of an NXprocess."""

    name = "esrf-dahu"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """A group ``results`` with g2, q and t."""
        return [] if self.analyses(h5file) else ["entry/*/results with g2, q and t"]

    def analyses(self, h5file: h5py.File) -> list[str]:
        """Paths of the groups of results."""
        entries = [e for e in (h5file.get(name) for name in h5file) if isinstance(e, h5py.Group)]
        steps = [s for entry in entries for s in map(entry.get, entry) if isinstance(s, h5py.Group)]
        return [
            f"{s.name.strip('/')}/results"
            for s in steps
            if not lacking(s, *(f"results/{k}" for k in ("g2", "q", "t")))
        ]

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read rings and curves; a step of the delays is a frame."""
        group = h5file[chosen(self.analyses(h5file), analysis, hdf.place(h5file))]
        unit = (hdf.unit_of(group["q"]) or "").removeprefix("q_")  # pyFAI says q_nm^-1
        q = hdf.vector(group, "q", "q of each ring")
        tau, in_frames = hdf.delays(group, "t", "s")
        g2 = hdf.table(group, "g2", (q.size, tau.size), f"({q.size} q, {tau.size} delays)")
        return Ingredients(
            bins=bins_of_lists(units.convert(q, unit, "q", hdf.place(group, "q"), "1/nm")),
            dt=None if in_frames else float(np.diff(np.unique(tau)).min(initial=np.inf)),
            tau=tau,
            tau_in_frames=in_frames,
            g2=g2.T,
            n_pixels=travel.label_counts(group, "qmask", q.size),
            notes=travel.metadata(h5file, _DAHU),
        )


def _pixels(group: h5py.Group, n_roi: int) -> np.ndarray | None:
    if not hdf.has(group, "roi_masks"):
        return None
    masks = hdf.dataset(group, "roi_masks", "(regions, y, x)")
    if masks.ndim != 3 or masks.shape[0] != n_roi or masks.dtype.kind not in "biuf":
        raise DataFormatError(
            f"the shape is {masks.shape}, the type {masks.dtype}",
            where=hdf.place(masks),
            expected=f"({n_roi} regions, y, x)",
        )
    count = np.array([np.count_nonzero(masks[i]) for i in range(n_roi)])
    if not count.all():
        raise DataFormatError(
            f"region {int(np.argmin(count)) + 1} has no pixel", where=hdf.place(masks), expected="1 or more"
        )
    return count


def _read_maps(group: h5py.Group, found: Ingredients) -> None:
    if not hdf.has(group, "twotime/ttcf"):
        return
    node = hdf.dataset(group, "twotime/ttcf", "(regions, lag, age)")
    lag = hdf.quantity(group, "twotime/lag", "tau", "lags, s")
    age = hdf.quantity(group, "twotime/age", "age", "ages, s")
    if node.shape != (found.n_bin, lag.size, age.size):
        raise DataFormatError(
            f"the shape is {node.shape}",
            where=hdf.place(node),
            expected=f"({found.n_bin} regions, {lag.size} lags, {age.size} ages)",
        )
    if lag.size < 2 or np.any(np.diff(lag) <= 0) or np.any(np.diff(age) <= 0):
        raise DataFormatError("lags or ages do not rise", where=hdf.place(node), expected="rising axes, s")
    step = float(np.diff(lag).min())
    if age.size > 1 and not 0.01 < np.diff(age).min() / step < 100:
        raise DataFormatError(
            f"the lags step by {step:g} s, the ages by {np.diff(age).min():g} s",
            where=hdf.place(node),
            expected="one unit of time for both",
            hint="say which: units={'tau': …, 'age': …}",
        )
    found.dt = step
    edges, first, n_frames = [edges_between(axis) for axis in (lag, age)], float(age[0]), 0
    # ages that are wide cells begin at the first frame with an edge, narrow ones with a centre
    if edges[1][1] - edges[1][0] > step * (1 + 1e-6) and edges[1][0] > -1e-6 * step:
        first, n_frames = float(edges[1][0]), round((edges[1][-1] - edges[1][0]) / step) + 1
    n_frames = n_frames or round((age[-1] - age[0]) / step) + 1
    lag_of = cell_at(edges[0], np.arange(n_frames) * step)
    age_of = cell_at(edges[1], first + 0.5 * np.arange(2 * n_frames - 1) * step)
    if not np.allclose(np.diff(lag), step) or np.diff(age).max() > step * (1 + 1e-6):
        found.cells = edges[0] / step, (edges[1] - first) / step + 1
        found.notes["binning"] = "maps are averages over cells of lag and age"
        warn(
            f"{hdf.place(node)}: the maps are averages over cells of lag and age; each pixel of c2(t1, t2) shows the "
            "value of its cell, and a fit averages the model over each cell",
            DataWarning,
        )
    found.maps = [LagAgeMap(node.name, before=(i,), lag_of=lag_of, age_of=age_of) for i in range(found.n_bin)]
    found.notes["storage"] = "lag and age in the file, read as t1 and t2"


def _read_g2(group: h5py.Group, found: Ingredients) -> None:
    if not hdf.has(group, "g2/cf"):
        return
    found.tau, found.tau_in_frames = hdf.delays(group, "g2/lag", "s")
    for name, key in (("g2", "g2/cf"), ("g2_err", "g2/err")):
        if hdf.has(group, key):
            setattr(found, name, _lags_first(group, key, found.tau.size, found.n_bin))
    positive = found.tau[found.tau > 0]
    if found.dt is None and positive.size and not found.tau_in_frames:
        found.dt = float(positive.min())
        found.notes["dt_origin"] = "not in the file: the smallest lag"


def _lags_first(group: h5py.Group, key: str, n_tau: int, n_roi: int) -> np.ndarray:
    values = hdf.array(group, key, "(regions, lags)")
    if values.shape == (n_roi, n_tau):
        return values.T
    return hdf.table(group, key, (n_tau, n_roi), "(lags, regions)")
