"""NSLS-II CHX results (pyCHX): ``/g12b`` or ``/g2``, with ``/md``."""

from __future__ import annotations

import re

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import Ingredients, lacking
from heterodyne_nb.data.formats.stacks import stacked_maps
from heterodyne_nb.errors import DataFormatError

_PERIODS = ("acquire period", "acquire_period", "cam_acquire_period", "timeperframe", "frame_time")


class PyChx:
    """Reader of the pyCHX layout."""

    name = "pychx"

    def lacks(self, h5file: h5py.File) -> list[str]:
        """Keys without which this is not a pyCHX result."""
        return lacking(h5file, "g12b | g2", "md", "qval_dict")

    def read(self, h5file: h5py.File) -> Ingredients:
        """Read bins, delays and the places of the maps (q is the last axis of the stack)."""
        q, phi, notes = _bins(h5file)
        found = Ingredients(q=q, phi=phi, dt=_period(h5file), notes=notes)
        if "g12b" in h5file:
            node = hdf.dataset(h5file, "g12b", "(N, N, q)")
            refs = stacked_maps(node, "last")
            if len(refs) != q.size:
                raise DataFormatError(
                    f"{len(refs)} maps for {q.size} entries of /qval_dict",
                    where=hdf.place(node),
                    expected="one map an entry",
                )
            found.maps = refs
            found.mask = _mask(h5file, node.shape[0])
        if "g2" in h5file:
            found.tau = hdf.vector(h5file, "taus", "delays in seconds")
            found.tau_in_frames = False
            found.g2 = hdf.table(h5file, "g2", (found.tau.size, q.size), "(delays, q)")
        return found


def _bins(h5file: h5py.File) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
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
    q = np.array([row[0] for row in rows])
    if all(row.size > 1 for row in rows):
        return q, np.array([row[1] for row in rows]), {"phi_origin": "second entry of qval_dict"}
    return q, np.zeros(q.size), {}


def _period(h5file: h5py.File) -> float | None:
    """Time from frame to frame: from /md, otherwise the step of /tausb."""
    attrs = h5file["md"].attrs
    for name in _PERIODS:
        if name in attrs:
            return _number(attrs[name], hdf.place(h5file, "md"), name)
    if "tausb" in h5file:
        tau = hdf.vector(h5file, "tausb", "delays of the two-time g2, s")
        if tau.size > 1:
            return float(tau[1] - tau[0])
    return None


def _number(value: object, where: str, name: str) -> float:
    try:
        return float(hdf.text(value))
    except ValueError:
        raise DataFormatError(
            f"attribute {name!r} is {hdf.text(value)!r}", where=where, expected="a time, s"
        ) from None


def _mask(h5file: h5py.File, n_frames: int) -> np.ndarray | None:
    """Frames that pyCHX called bad (numbers from 0), left out."""
    if "bad_frame_list" not in h5file or not h5file["bad_frame_list"].shape:
        return None
    bad = hdf.vector(h5file, "bad_frame_list", "numbers of bad frames, from 0").astype(int)
    used = np.ones(n_frames, dtype=bool)
    used[bad[(bad >= 0) & (bad < n_frames)]] = False
    return used
