"""ESRF ID02 results, version 2: root attribute MagicString = XPCSResultFile_v2.0."""

from __future__ import annotations

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients
from heterodyne_nb.data.formats.stacks import LagAgeMap, nearest_bin
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

_MAGIC = "XPCSResultFile_v2.0"
_ROOT = "entry_0000/correlations"


class EsrfId02:
    """Reader of the ESRF ID02 layout; the file's first analysis is read, others are named in a warning."""

    name = "esrf-id02"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """The magic string and the correlations."""
        if hdf.text(h5file.attrs.get("MagicString", "")) != _MAGIC:
            return [f"root attribute MagicString = {_MAGIC}"]
        return [] if _ROOT in h5file else [_ROOT]

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read the regions, delays and the places of the maps of one analysis."""
        group = _analysis(h5file)
        q = hdf.vector(group, "parameters/q", "q of each region")
        node = group["parameters/q"]
        unit = hdf.unit_of(node)
        notes = {"analysis": group.name.rpartition("/")[2]}
        if unit is None:
            notes["q_unit"] = "not in the file: 1/nm assumed, as the beamline writes"
        found = Ingredients(
            q=hdf.to_inverse_angstrom(q, unit, hdf.place(node), assumed="1/nm"),
            phi=self._phi(group, q.size),
            dt=None,
            n_pixels=_pixels(group, q.size),
            notes=notes,
        )
        _read_maps(group, found)
        _read_g2(group, found)
        return found

    @staticmethod
    def _phi(group: h5py.Group, n_roi: int) -> np.ndarray:
        if "parameters/phi" not in group:
            return np.zeros(n_roi)
        return hdf.vector(group, "parameters/phi", "phi of each region, degrees", n_roi)


def _analysis(h5file: h5py.File) -> h5py.Group:
    root = h5file[_ROOT]
    keys = [key for key in root if isinstance(root[key], h5py.Group)]
    if not keys:
        raise DataFormatError("there is no analysis", where=hdf.place(root), expected="a group an analysis")
    if len(keys) > 1:
        warn(
            f"{hdf.place(root)}: {len(keys)} analyses, {keys[0]!r} is read; not read: {keys[1:]}", DataWarning
        )
    return root[keys[0]]


def _pixels(group: h5py.Group, n_roi: int) -> np.ndarray | None:
    if "roi_masks" not in group:
        return None
    masks = group["roi_masks"]
    if masks.ndim != 3 or masks.shape[0] != n_roi:
        raise DataFormatError(
            f"the shape is {masks.shape}", where=hdf.place(masks), expected=f"({n_roi} regions, y, x)"
        )
    return np.array([np.count_nonzero(masks[i]) for i in range(n_roi)])


def _read_maps(group: h5py.Group, found: Ingredients) -> None:
    if "twotime/ttcf" not in group:
        return
    node = hdf.dataset(group, "twotime/ttcf", "(regions, lag, age)")
    lag = hdf.vector(group, "twotime/lag", "lags, s")
    age = hdf.vector(group, "twotime/age", "ages, s")
    if node.shape != (found.q.size, lag.size, age.size):
        raise DataFormatError(
            f"the shape is {node.shape}",
            where=hdf.place(node),
            expected=f"({found.q.size} regions, {lag.size} lags, {age.size} ages)",
        )
    if lag.size < 2 or np.any(np.diff(lag) <= 0) or np.any(np.diff(age) <= 0):
        raise DataFormatError("lags or ages do not rise", where=hdf.place(node), expected="rising axes, s")
    step = float(np.diff(lag).min())
    found.dt = step
    lag_of, age_of = _axes(lag, age, step)
    if _is_binned(lag, age, step):
        found.notes["binning"] = "maps are averages over bins of lag and age"
        warn(
            f"{hdf.place(node)}: the maps are averages over bins of lag and age; each pixel of (t1, t2) "
            "takes the value of its bin, so neighbouring pixels repeat",
            DataWarning,
        )
    found.maps = [
        LagAgeMap(node.name, before=(i,), lag_of=lag_of, age_of=age_of) for i in range(found.q.size)
    ]
    found.notes["storage"] = "lag and age in the file, read as t1 and t2"


def _axes(lag: np.ndarray, age: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Which stored lag and age each pair of frames has; age 0 or one step is the first frame's."""
    first = age[0]
    n_frames = int(np.rint((age[-1] - first) / step)) + 1
    lag_of = nearest_bin(lag, np.arange(n_frames) * step)
    age_of = nearest_bin(age, first + 0.5 * np.arange(2 * n_frames - 1) * step)
    return lag_of, age_of


def _is_binned(lag: np.ndarray, age: np.ndarray, step: float) -> bool:
    return not (np.allclose(np.diff(lag), step) and np.diff(age).max() <= step * (1 + 1e-6))


def _read_g2(group: h5py.Group, found: Ingredients) -> None:
    if "g2/cf" not in group:
        return
    found.tau = hdf.vector(group, "g2/lag", "lags, s")
    found.tau_in_frames = False
    for name, key in (("g2", "g2/cf"), ("g2_err", "g2/err")):
        if key in group:
            setattr(found, name, _lags_first(group, key, found.tau.size, found.q.size))
    positive = found.tau[found.tau > 0]
    if found.dt is None and positive.size:
        found.dt = float(positive.min())
        found.notes["dt_origin"] = "not in the file: the smallest lag"


def _lags_first(group: h5py.Group, key: str, n_tau: int, n_roi: int) -> np.ndarray:
    values = hdf.array(group, key, "(regions, lags)")
    if values.shape == (n_roi, n_tau):
        return values.T
    return hdf.table(group, key, (n_tau, n_roi), "(lags, regions)")
