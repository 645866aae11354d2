"""Plain arrays: NumPy's, MATLAB's and text; q, phi and dt from the file, a JSON file beside it, or the user."""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.dataset import levels, make_dataset, unstack_bins, wrap_degrees
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.hdf import check_readable
from heterodyne_nb.data.quality import check_maps, tell_odd_values, tidy_map
from heterodyne_nb.data.units import (
    convert,
    convert_delays,
    frame_step,
    number,
    warn_if_odd_delays,
    warn_if_radians,
)
from heterodyne_nb.errors import DataFormatError, DataWarning, warn
from heterodyne_nb.guard import guarded, need_room

ENDINGS = (".npz", ".npy", ".txt", ".csv", ".dat", ".mat")
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
_LAG = "tau|lag|delay|time"
_WITH_UNIT = ("q", "phi", "dt", "t", "tau")


def read_plain(
    path: Path, *, q: Any = None, phi: Any = None, dt: float | None = None
) -> tuple[xr.Dataset, Any, Any]:
    """Read arrays of NumPy, MATLAB or text.

    Parameters
    ----------
    path : path
        ``.npz`` or ``.mat`` with arrays named c2, q, phi, dt, … (also c2_exp, wavevector_q_list, phi_angles_list);
        ``.npy`` with the maps: (N, N), (bins, N, N) or (n_q, n_phi, N, N); ``.txt``, ``.csv`` or ``.dat`` with one
        map, a row a line, or with the columns tau, g2 and perhaps its error. A JSON file of the same name beside it
        may give q, phi, dt, mask, n_pixels and sigma, and ``"units": {"q": "1/nm", …}``.
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
    found, beside, json_file = _load(path), _sidecar(path), path.with_suffix(".json")
    said, said_beside = _units_of(found, path), _units_of(beside, json_file)
    found, beside = _renamed(found, path), _renamed(beside, json_file)
    differ = [n for n in found if n in beside and not np.array_equal(found[n], beside[n], equal_nan=True)]
    differ += [f"the unit of {n}" for n in said if said_beside.get(n, said[n]) != said[n]]
    if differ:
        warn(f"{json_file.name} is obeyed where {path.name} says other: {', '.join(differ)}", DataWarning)
    said |= said_beside
    found |= beside
    for name in _WITH_UNIT:
        if name in found and name != "tau":
            found[name] = convert(found[name], said.get(name), name, f"{path.name}:{name}")
    if "phi" in found:
        warn_if_radians(found["phi"], said.get("phi"), path.name)
    left = {"q": q, "phi": phi}
    for name, value in (("q", q), ("phi", phi)):
        if name not in found and value is not None:
            found[name], left[name] = np.asarray(number(value, name), dtype=float), None
    if dt is not None:
        found["dt"] = number(dt, "dt")
        found.pop("t", None)
    notes = _complete(found, path)
    if "tau" in found:
        tau, in_frames = convert_delays(np.ravel(found["tau"]), said.get("tau"), f"{path.name}:tau", "s")
        found["tau"] = tau * float(np.ravel(found["dt"])[0]) if in_frames else tau
        warn_if_odd_delays(found["tau"], float(np.ravel(found["dt"])[0]), path.name)
    return _build(found, path, notes), left["q"], left["phi"]


def _load(path: Path) -> dict[str, Any]:
    with loading(path):
        ending = path.suffix.lower()
        if ending == ".mat":
            return _load_matlab(path)
        if ending not in (".npz", ".npy"):
            return _load_text(path)
        with path.open("rb") as stream:  # NumPy leaves open what it opened itself and cannot read
            loaded = np.load(stream, allow_pickle=False)
            return dict(loaded) if ending == ".npz" else {"c2": loaded}


def loading(path: Path) -> AbstractContextManager[None]:
    """Turn what NumPy or SciPy raises on a damaged or foreign file into a DataFormatError."""
    if path.suffix.lower() == ".npz":
        _check_zip(path)
    return guarded(path, "a .npy or .npz of numbers, a .mat of arrays, or a text of rows of numbers")


def _check_zip(path: Path) -> None:
    """Refuse an encrypted archive, and one that holds more than fits into memory, before it is unpacked."""
    with guarded(path, "a .npz of numbers"), zipfile.ZipFile(path) as archive:
        held = archive.infolist()
        if locked := [one.filename for one in held if one.flag_bits & 1]:
            raise DataFormatError(f"{locked[0]} is encrypted", where=str(path), expected="a .npz of numbers")
        need_room(sum(one.file_size for one in held), str(path), "the archive, unpacked,")


def _load_matlab(path: Path) -> dict[str, Any]:
    """The arrays of a .mat file of any version; bins that come last are put first."""
    from scipy.io import loadmat

    if h5py.is_hdf5(path):
        with h5py.File(path, mode="r") as h5file:
            nodes = {name: h5file[name] for name in h5file if isinstance(h5file.get(name), h5py.Dataset)}
            arrays = {
                name: np.array(bytes(node[()].astype("u1")).decode("latin-1"))
                if hdf.text(node.attrs.get("MATLAB_class", "")) == "char"
                else node[()].T
                for name, node in nodes.items()
                if node.dtype.kind in "biuf"
            }
    else:
        arrays = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    out: dict[str, Any] = {}
    for name, value in arrays.items():
        if value.ndim == 3 and value.shape[0] == value.shape[1] != value.shape[2]:
            value = np.moveaxis(value, -1, 0)
        out[name] = value.item() if value.dtype.kind in "SU" and value.size == 1 else value
    return out


def _load_text(path: Path) -> dict[str, Any]:
    """One map, or the columns tau, g2, error; blanks, tabs, commas or semicolons between the numbers."""
    head, skipped = [""], 0
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            is_numbers = re.match(r"\s*([-+.\d]|nan|inf)", line, re.I)
            if line.strip() and line[0] not in "#%" and is_numbers:
                break
            head.append(line)
            skipped += 1
        else:
            raise DataFormatError("there is no row of numbers", where=str(path), expected="rows of numbers")
    separator = next((c for c in ",;\t" if c in line), None)
    rows = np.loadtxt(path, delimiter=separator, skiprows=skipped, comments=["#", "%"], ndmin=2)
    if rows.shape[0] == rows.shape[1]:
        return {"c2": rows}
    if rows.shape[1] not in (2, 3):
        raise DataFormatError(
            f"the text holds {rows.shape[0]} rows of {rows.shape[1]} numbers",
            where=str(path),
            expected="a square map, or the columns tau, g2 and perhaps the error of g2",
        )
    unit = re.search(rf"(?:{_LAG})\w*\s*[\[(]([^\])]+)[\])]", head[-1], re.I)
    unit = unit or re.search(
        rf"(?:{_LAG})[^,;|\t]*?[\s_/]((?:[mnuµμ]?s|[mnuµμ]?sec\w*|(?:milli|micro|nano)?seconds?|frames?))(?=[\s,;|]|$)",
        head[-1], re.I,
    )  # fmt: skip
    columns = dict(zip(_order(head[-1], separator, rows.shape[1], path), rows.T, strict=True))
    return columns | ({"units": {"tau": unit[1]}} if unit else {})


def _order(head: str, separator: str | None, n: int, path: Path) -> list[str]:
    """What each column of g2 is: as its head says where that names every column, else tau, g2, error."""
    usual = ["tau", "g2", "g2_err"][:n]
    words = [w.strip().lower() for w in head.strip().lstrip("#% ").split(separator)]
    kinds = ((rf"({_LAG}|t\b)", "tau"), (r".*(err|sig|std|unc)|d_?g2", "g2_err"), (r"g_?\(?2|c\b|cf\b", "g2"))
    said = [next((name for form, name in kinds if re.match(form, word)), "") for word in words]
    if len(said) != n or not all(said):
        return usual
    if sorted(said) != sorted(usual):
        raise DataFormatError(
            f"the columns are {', '.join(words)}", where=str(path), expected=", ".join(usual)
        )
    return said


def _units_of(values: dict[str, Any], path: Path) -> dict[str, str]:
    """Take the units out of what was read: ``units`` as a mapping, or ``q_units``, ``tau_unit``, …"""
    said = values.pop("units", {})
    if not isinstance(said, dict):
        with contextlib.suppress(ValueError):
            said = json.loads(hdf.text(said))
    if not isinstance(said, dict):
        raise DataFormatError("units is not a mapping", where=str(path), expected='{"q": "1/nm", "dt": "ms"}')
    found: dict[str, str] = {_KNOWN.get(str(n), str(n)): hdf.text(unit) for n, unit in said.items()}
    for name, key in _KNOWN.items():
        for word in ("units", "unit"):
            if f"{name}_{word}" in values:
                found[key] = hdf.text(np.asarray(values.pop(f"{name}_{word}")))
    return found


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.exists():
        return {}
    with guarded(beside, "JSON"):
        content = json.loads(beside.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise DataFormatError("not a JSON object", where=str(beside), expected='{"q": …, "phi": …, "dt": …}')
    return content


def _renamed(values: dict[str, Any], path: Path) -> dict[str, Any]:
    square = [n for n, v in values.items() if np.ndim(v) > 1 and np.shape(v)[-1] == np.shape(v)[-2] > 1]
    if not {"c2", "g2"} & {_KNOWN.get(n) for n in values} and len(square) == 1:
        warn(f"{path.name}: the array {square[0]!r} is taken as c2", DataWarning)
        values = {"c2" if n == square[0] else n: v for n, v in values.items()}
    unknown = sorted(set(values) - set(_KNOWN) - {"t2"})
    if unknown:
        warn(f"{path.name}: {unknown} are not used; known names are {sorted(_KNOWN)}", DataWarning)
    out = {}
    for name, key in _KNOWN.items():
        if name in values and key not in out:
            out[key] = _numbers(values[name], name, path)
    return out


def _numbers(value: Any, name: str, path: Path) -> np.ndarray:
    with guarded(f"{path}:{name}", "numbers", hint=None):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise DataFormatError(
                f"{name} is not an array of numbers (its type is {array.dtype})",
                where=str(path),
                expected="numbers",
            )
        return array if array.dtype == bool else array.astype(np.float32 if name == "c2" else float)


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
    if np.size(found.get("t", ())) > 1:
        t = np.asarray(found["t"])
        t = t.reshape(-1, t.shape[-1])[0]
        step, said = frame_step(t, f"{path.name}:t"), found.get("dt")
        if said is None:
            found["dt"], notes["dt_origin"] = step, "step of t"
        elif abs(float(np.ravel(said)[0]) - step) > 1e-3 * abs(step):
            raise DataFormatError(
                f"dt is {np.ravel(said)[0]:.6g} s, and t steps by {step:.6g} s", where=str(path), expected="one of them",
                hint="say it: open_dataset(path, dt=…)",
            )  # fmt: skip
        if min(abs(t[0]), abs(t[0] - step)) > 0.1 * step > 0:
            warn(
                f"{path.name}: t begins at {t[0]:.6g} s; here the first frame is at {step:.6g} s, as if the run began there",
                DataWarning,
            )
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
    arrays = {n: found[n] for n in ("g2", "g2_err", "tau", "n_pixels", "sigma", "mask") if n in found}
    arrays |= {n: np.ravel(arrays[n]) for n in ("tau", "mask") if n in arrays}
    if not per_bin and any(levels(axis)[0].size < axis.size for axis in (q, phi)):
        warn(f"{path.name}: some q or phi are there twice; every bin is kept on its own", DataWarning)
        size, per_bin = (q.size, phi.size), True
        q, phi = np.repeat(q, size[1]), np.tile(phi, size[0])
        c2 = None if c2 is None else c2.reshape(q.size, *c2.shape[-2:])
        by_bin = dict.fromkeys(("g2", "g2_err"), (q.size, -1)) | dict.fromkeys(
            ("n_pixels", "sigma"), (q.size,)
        )
        arrays |= {n: np.reshape(arrays[n], shape) for n, shape in by_bin.items() if n in arrays}
    if not per_bin:
        arrays = {k: _to_grid(v, q, phi) if k in ("g2", "g2_err") else v for k, v in arrays.items()}
        c2 = None if c2 is None else c2.reshape(q.size, phi.size, *c2.shape[-2:])
    ds = make_dataset(
        c2, q=q, phi=phi, dt=float(np.ravel(found["dt"])[0]), bin_form=per_bin, attrs=attrs, **arrays
    )
    ds = check_maps(ds)
    n = 0 if c2 is None else c2.shape[-1]
    far = {"c2": None if c2 is None else c2[..., : n // 2, n - n // 2 :], "g2": found.get("g2")}
    for name, values in far.items():  # maps at delays of half of the run and more
        known = (
            np.empty(0)
            if values is None
            else values[np.isfinite(values) & (values != 0 if name == "g2" else True)]
        )
        if known.size > 1:
            tell_odd_values(float(np.median(known) if name == "g2" else known.mean()), 0.0, path.name, name)
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
