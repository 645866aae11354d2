"""APS legacy results (8-ID-I): ``/xpcs/dqlist`` and ``/exchange``."""

from __future__ import annotations

import re

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, MapRef, lacking
from heterodyne_nb.errors import DataFormatError

_MAPS = "exchange/C2T_all"
_PERIOD = "measurement/instrument/detector/exposure_period"


class ApsLegacy:
    """Reader of the APS legacy layout."""

    name = "aps-legacy"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not an APS legacy result."""
        return lacking(h5file, "xpcs/dqlist", "exchange")

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read bins, delays and the places of the maps."""
        q = hdf.vector(h5file, "xpcs/dqlist", "q of each bin, 1/Å")
        unit = hdf.unit_of(h5file["xpcs/dqlist"])
        found = Ingredients(
            q=hdf.to_inverse_angstrom(q, unit, hdf.place(h5file, "xpcs/dqlist")),
            phi=self._phi(h5file, q.size),
            dt=_frame_time(h5file),
            maps=_maps(h5file, q.size),
            n_pixels=hdf.label_counts(h5file, "xpcs/dqmap", q.size),
        )
        _read_g2(h5file, found)
        if "xpcs/frame_mask" in h5file:
            found.mask = hdf.vector(h5file, "xpcs/frame_mask", "1 for each frame in use") > 0
        return found

    @staticmethod
    def _phi(h5file: h5py.File, n_bin: int) -> np.ndarray:
        if "xpcs/dphilist" not in h5file:
            return np.zeros(n_bin)
        return hdf.vector(h5file, "xpcs/dphilist", "phi of each bin, degrees", n_bin)


def _frame_time(h5file: h5py.File) -> float | None:
    if _PERIOD not in h5file:
        return None
    period = hdf.scalar(h5file, _PERIOD, "one time, s")
    stride = hdf.scalar(h5file, "xpcs/stride_frames", "one number", 1.0)
    average = hdf.scalar(h5file, "xpcs/avg_frames", "one number", 1.0)
    return period * stride * average


def _maps(h5file: h5py.File, n_bin: int) -> list[MapRef | None]:
    if _MAPS not in h5file:
        return []
    names = {int(m[1]): m[0] for m in map(re.compile(r"[gc]2_(\d+)$").match, h5file[_MAPS]) if m}
    maps: list[MapRef | None] = [None] * n_bin
    for number, label in _labels(h5file, sorted(names), n_bin).items():
        maps[label - 1] = MapRef(f"{_MAPS}/{names[number]}")
    return maps


def _labels(h5file: h5py.File, numbers: list[int], n_bin: int) -> dict[int, int]:
    """Label of each map number: the number-th processed bin, or the number itself where it names one."""
    key = "xpcs/qphi_bin_to_process"
    processed = np.arange(1, n_bin + 1)
    if key in h5file:
        processed = hdf.vector(h5file, key, "labels of the processed bins").astype(int)
    if numbers and numbers[-1] > processed.size and set(numbers) <= set(processed.tolist()):
        labels = dict(zip(numbers, numbers, strict=True))
    elif numbers and numbers[-1] > processed.size:
        raise DataFormatError(
            f"the maps go up to number {numbers[-1]} but {processed.size} bins were processed",
            where=hdf.place(h5file, _MAPS),
            expected="one processed bin a map",
        )
    else:
        labels = {number: int(processed[number - 1]) for number in numbers}
    wrong = [label for label in labels.values() if not 1 <= label <= n_bin]
    if wrong:
        raise DataFormatError(
            f"labels {wrong} are outside the list of bins",
            where=hdf.place(h5file, key),
            expected=f"labels from 1 to {n_bin} (0 means unused)",
        )
    return labels


def _read_g2(h5file: h5py.File, found: Ingredients) -> None:
    if "exchange/norm-0-g2" not in h5file:
        return
    found.tau = hdf.vector(h5file, "exchange/tau", "delays in frames")
    shape = (found.tau.size, found.q.size)
    found.g2 = hdf.table(h5file, "exchange/norm-0-g2", shape, "(delays, bins)")
    if "exchange/norm-0-stderr" in h5file:
        found.g2_err = hdf.table(h5file, "exchange/norm-0-stderr", shape, "(delays, bins)")
