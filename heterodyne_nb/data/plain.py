"""Plain arrays: ``.npz``, or ``.npy`` with q, phi and dt from a JSON file beside it or from the user."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.bins import unstack_bins
from heterodyne_nb.data.formats.hdf import check_readable
from heterodyne_nb.data.model import make_dataset
from heterodyne_nb.data.quality import check_maps, tidy_map
from heterodyne_nb.data.wrap import wrap_degrees
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

ENDINGS = (".npz", ".npy")
_NAMES = {
    "c2": ("c2", "c2_exp", "C2", "twotime"),
    "g2": ("g2",),
    "g2_err": ("g2_err", "g2_error"),
    "tau": ("tau",),
    "q": ("q", "wavevector_q_list", "q_list"),
    "phi": ("phi", "phi_angles_list", "phi_list"),
    "dt": ("dt",),
    "t": ("t", "t1"),
    "mask": ("mask",),
    "n_pixels": ("n_pixels",),
    "sigma": ("sigma",),
}
_KNOWN = {name: key for key, names in _NAMES.items() for name in names}


def read_plain(
    path: Path, *, q: Any = None, phi: Any = None, dt: float | None = None
) -> tuple[xr.Dataset, Any, Any]:
    """Read a ``.npz`` or ``.npy`` file.

    Parameters
    ----------
    path : path
        ``.npz`` with arrays named c2, q, phi, dt, … (also c2_exp, wavevector_q_list, phi_angles_list),
        or ``.npy`` with the maps: (N, N), (bins, N, N) or (n_q, n_phi, N, N). A JSON file of the same
        name beside it may give q, phi, dt, mask, n_pixels and sigma.
    q, phi : optional
        Values in 1/Å and degrees where the files give none.
    dt : float, optional
        Time from frame to frame, s.

    Returns
    -------
    ds : Dataset
        Maps in memory, symmetric.
    q, phi
        What is still to be selected: None where the argument was used as values.

    Raises
    ------
    DataFormatError
        q or dt is given nowhere, arrays do not fit together, or the file is not NumPy's.
    """
    check_readable(path)
    found = {**_load(path), **_sidecar(path)}
    left = {"q": q, "phi": phi}
    for name, value in (("q", q), ("phi", phi)):
        if name not in found and value is not None:
            found[name], left[name] = np.asarray(value, dtype=float), None
    if dt is not None:
        found["dt"] = dt
    notes = _complete(found, path)
    return _build(found, path, notes), left["q"], left["phi"]


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {name: loaded[name] for name in loaded.files} if path.suffix == ".npz" else {"c2": loaded}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFormatError(
            f"NumPy cannot read the file ({error})", where=str(path), expected="a .npy or .npz of numbers"
        ) from error
    return _renamed(arrays, path)


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.exists():
        return {}
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataFormatError(f"not valid JSON ({error})", where=str(beside)) from error
    if not isinstance(content, dict):
        raise DataFormatError("not a JSON object", where=str(beside), expected='{"q": …, "phi": …, "dt": …}')
    return _renamed(content, beside)


def _renamed(values: dict[str, Any], path: Path) -> dict[str, Any]:
    unknown = sorted(set(values) - set(_KNOWN) - {"t2"})
    if unknown:
        warn(f"{path.name}: {unknown} are not used; known names are {sorted(_KNOWN)}", DataWarning)
    out = {}
    for name, key in _KNOWN.items():
        if name in values and key not in out:
            out[key] = _numbers(values[name], name, path)
    return out


def _numbers(value: Any, name: str, path: Path) -> np.ndarray:
    try:
        array = np.asarray(value)
        return array if array.dtype == bool else array.astype(np.float32 if name == "c2" else float)
    except (ValueError, TypeError) as error:
        raise DataFormatError(
            f"{name} is not an array of numbers ({error})", where=str(path), expected="numbers"
        ) from error


def _complete(found: dict[str, Any], path: Path) -> dict[str, str]:
    """Fill in what may be left out and refuse what may not."""
    notes = {}
    if "c2" not in found and "g2" not in found:
        raise DataFormatError(
            "there is neither c2 nor g2", where=str(path), expected="an array named c2 or g2"
        )
    if "q" not in found:
        raise DataFormatError(
            "q is given nowhere",
            where=str(path),
            expected="q in 1/Å: in the file, in a JSON file beside it, or as q=",
            hint="open_dataset(path, q=…, phi=…, dt=…)",
        )
    if "dt" not in found and np.size(found.get("t", ())) > 1:
        found["dt"], notes["dt_origin"] = np.diff(np.ravel(np.asarray(found["t"])[..., :2]))[0], "step of t"
    if "dt" not in found:
        raise DataFormatError(
            "the time from frame to frame is given nowhere",
            where=str(path),
            expected="dt in s: in the file, in a JSON file beside it, or as dt=",
            hint="open_dataset(path, dt=…)",
        )
    if "phi" not in found:
        found["phi"], notes["phi_origin"] = np.zeros(1), "not given: 0 assumed"
    return notes


def _build(found: dict[str, Any], path: Path, notes: dict[str, str]) -> xr.Dataset:
    q, phi = np.ravel(found["q"]), wrap_degrees(np.ravel(found["phi"]))
    c2 = found.get("c2")
    attrs = {"layout": "plain-arrays", "source": path.name, **notes}
    if c2 is not None:
        c2, kinds = _tidy(np.array(c2, dtype=np.float32), path)
        attrs["triangle"] = ", ".join(sorted(kinds))
    per_bin = _per_bin(c2 if c2 is not None else np.asarray(found["g2"])[..., None], q, phi, path)
    arrays = {
        name: found[name] for name in ("g2", "g2_err", "tau", "n_pixels", "sigma", "mask") if name in found
    }
    if not per_bin:
        arrays = {k: _to_grid(v, q, phi) if k in ("g2", "g2_err") else v for k, v in arrays.items()}
        c2 = None if c2 is None else c2.reshape(q.size, phi.size, *c2.shape[-2:])
    ds = make_dataset(
        c2, q=q, phi=phi, dt=float(np.ravel(found["dt"])[0]), bin_form=per_bin, attrs=attrs, **arrays
    )
    ds = check_maps(ds)
    return unstack_bins(ds) if per_bin else ds


def _to_grid(values: Any, q: np.ndarray, phi: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    return array.reshape(q.size, phi.size, array.shape[-1])


def _per_bin(values: np.ndarray, q: np.ndarray, phi: np.ndarray, path: Path) -> bool:
    """Whether q and phi are given a bin (True) or are the axes of a grid (False)."""
    n = int(np.prod(values.shape[:-2]))
    if n == q.size * phi.size:
        return False
    if n == q.size == phi.size:
        return True
    raise DataFormatError(
        f"there are {n} bins of shape {values.shape[-2:]}, {q.size} q and {phi.size} phi",
        where=str(path),
        expected="one bin for each q and phi, or one q and one phi a bin",
    )


def _tidy(c2: np.ndarray, path: Path) -> tuple[np.ndarray, set[str]]:
    if c2.ndim < 2 or c2.ndim > 4 or c2.shape[-1] != c2.shape[-2]:
        raise DataFormatError(
            f"c2 has shape {c2.shape}",
            where=str(path),
            expected="square maps: (N, N), (bins, N, N) or (q, phi, N, N)",
        )
    flat = c2.reshape(-1, *c2.shape[-2:])
    kinds = {tidy_map(one) for one in flat}
    return c2, kinds
