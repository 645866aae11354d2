"""European XFEL MID results: ``/train_resolved/correlation``, one map and one g2 a pulse train."""

from __future__ import annotations

import h5py
import numpy as np

from heterodyne_nb.data import units
from heterodyne_nb.data.formats import hdf, travel
from heterodyne_nb.data.formats.base import Ingredients, Layout, TrainMean, bins_of_lists, lacking
from heterodyne_nb.errors import DataFormatError

_GROUP = "train_resolved/correlation"


_METADATA = {
    "start_time": "start_time | metadata/start_time",
    "uid": "uid | metadata/run",
    "sample": "sample/name | metadata/sample",
    "temperature": "sample/temperature",
    "energy": "instrument/photon_energy | metadata/photon_energy",
    "detector_distance": "instrument/detector_distance | metadata/sample_detector_distance",
}


class XfelMid(Layout):
    """Reader of the MID layout; trains are averaged."""

    name = "xfel-mid"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not a MID result."""
        return lacking(h5file, f"{_GROUP}/q", f"{_GROUP}/t", f"{_GROUP}/ttc | {_GROUP}/g2")

    def read(self, h5file: h5py.File, analysis: str | None = None) -> Ingredients:
        """Read bins, delays and the places of the maps."""
        group = h5file[_GROUP]
        q = hdf.quantity(group, "q", "q", "q of each ring, 1/nm", assumed="1/nm")
        t = hdf.quantity(group, "t", "tau", "delay times, s")
        notes = travel.metadata(h5file, _METADATA)
        if hdf.unit_of(group["q"]) is None:
            notes["q_unit"] = "not in the file: 1/nm, as the beamline writes"
        steps = np.diff(np.unique(t))
        found = Ingredients(bins=bins_of_lists(q), dt=float(steps.min()) if steps.size else None, notes=notes)
        if hdf.has(group, "ttc"):
            found.maps = _maps(group, q.size)
            found.dt = units.frame_step(np.unique(t), hdf.place(group, "t")) if t.size > 1 else None
            found.notes["n_trains"] = int(group["ttc"].shape[0])
        if hdf.has(group, "g2"):
            found.tau, found.tau_in_frames = t, False
            found.g2, found.g2_err = _mean_g2(group, t.size, q.size)
        return found


def _maps(group: h5py.Group, n_q: int) -> list[TrainMean]:
    node = hdf.dataset(group, "ttc", "(trains, t, t, q)")
    shape = node.shape
    if len(shape) == 4 and shape[1] == shape[2] and shape[3] == n_q:
        return [TrainMean(node.name, after=(i,)) for i in range(n_q)]
    if len(shape) == 4 and shape[2] == shape[3] and shape[1] == n_q:
        return [TrainMean(node.name, before=(i,)) for i in range(n_q)]
    raise DataFormatError(f"the shape is {shape}", where=hdf.place(node), expected=f"(trains, t, t, {n_q} q)")


def _mean_g2(group: h5py.Group, n_t: int, n_q: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the trains that have a value, and its standard error."""
    values = hdf.array(group, "g2", "(trains, t, q)")
    if values.ndim != 3 or values.shape[1:] != (n_t, n_q):
        raise DataFormatError(
            f"the shape is {values.shape}",
            where=hdf.place(group, "g2"),
            expected=f"(trains, {n_t} t, {n_q} q)",
        )
    known = np.isfinite(values) & (values != 0)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    square = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
    spread = count * (count - 1)
    variance = np.divide(square, spread, out=np.full(total.shape, np.nan), where=spread > 0)
    return mean, np.sqrt(variance)
