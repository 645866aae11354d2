"""What a file says of its run and its detector, kept from file to file; what nobody said and readers need is marked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from heterodyne_nb.data import units
from heterodyne_nb.data.formats import hdf
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

_MADE_UP = "made up: "
"""How the comment of a value begins that no file and no dataset gave: our readers leave it alone."""
ONLY_COUNTS = "only the number of pixels of each bin is known"
_FEW = 64
"""Numbers that a value of the metadata may have."""
_UNKNOWN_TEXT = {"start_time": "1970-01-01T00:00:00Z"}


def stand_in(group: h5py.Group, key: str, value: Any, why: str, unit: str = "") -> None:
    """Write what readers of a layout need and nobody knows, unless it is there; its ``comment`` says so."""
    if key not in group:
        group.create_dataset(key, data=value, compression="gzip" if np.ndim(value) else None)
        group[key].attrs["comment"] = _MADE_UP + why
        if unit:
            group[key].attrs["units"] = unit


def made_up(node: Any) -> bool:
    """Whether a dataset is one that :func:`stand_in` wrote."""
    return isinstance(node, h5py.Dataset) and hdf.text(node.attrs.get("comment", "")).startswith(_MADE_UP)


def present(group: h5py.Group, paths: Mapping[str, str]) -> dict[str, str]:
    """Those of the named datasets of numbers that are there: name -> absolute path."""
    found = {}
    for name, key in paths.items():
        node = group.get(key) if hdf.has(group, key) else None
        if isinstance(node, h5py.Dataset) and node.size and node.dtype.kind in "iufb" and not made_up(node):
            found[name] = str(node.name)
    return found


def label_counts(group: h5py.Group, key: str, n_label: int) -> np.ndarray | None:
    """Detector pixels of each label (1, 2, ...) of a label image; None where there is none that says so."""
    if not hdf.has(group, key) or (
        made_up(group[key]) and ONLY_COUNTS not in hdf.text(group[key].attrs["comment"])
    ):
        return None
    labels = hdf.array(group, key, "a label image")
    if labels.ndim != 2 and labels.shape[:1] != (1,):
        warn(
            f"{hdf.place(group, key)}: the label image has shape {labels.shape}, not (rows, columns)",
            DataWarning,
        )
    labels = labels.ravel()
    if not labels.size:
        raise DataFormatError("the image has no pixel", where=hdf.place(group, key), expected="a label image")
    labels = labels[np.isfinite(labels) & (labels > 0)].astype(np.int64)
    return np.bincount(labels, minlength=n_label + 1)[1 : n_label + 1]


def write_partition(
    group: h5py.Group, key: str, image: np.ndarray, why: str, mask: np.ndarray | None
) -> None:
    """Write a label image and the mask of the detector beside it, by default where there is a label.

    `why` tells what is not known of an image that is made up; empty for a real one.
    """
    real = image if mask is None or mask.shape != image.shape else mask
    for name, data, reason in ((key, image, why), ("mask", (real > 0).astype(np.uint8), why)):
        node = group.create_dataset(name, data=data, compression="gzip")
        if reason:
            node.attrs["comment"] = _MADE_UP + reason


def metadata(group: h5py.Group, places: Mapping[str, str]) -> dict[str, Any]:
    """What a file says of its run, in the package's units: name -> number or text.

    Parameters
    ----------
    group : Group
    places : mapping
        Name -> ``"path | other path@unit"``: the first that is there, with the unit that it has where none is
        written. A number with a unit that is not known is left out, and named.
    """
    out: dict[str, Any] = {}
    for name, paths in places.items():
        for path in paths.split("|"):
            key, _, assumed = path.strip().partition("@")
            node = group.get(key) if hdf.has(group, key) else None
            if not isinstance(node, h5py.Dataset) or node.shape is None or not node.size or made_up(node):
                continue
            if name not in units.METADATA_NUMBERS:
                out[name] = ", ".join(hdf.strings(group, key))
                break
            try:
                out[name] = units.metadatum(
                    hdf.scalar(group, key, name), hdf.unit_of(node), name, hdf.place(node), assumed
                )
            except DataFormatError as error:
                warn(f"{name} is left out: {error}", DataWarning)
                continue
            break
    return out


def fill_metadata(
    group: h5py.Group,
    places: Mapping[str, str],
    values: Mapping[str, Any],
    needed: Mapping[str, str] | None = None,
) -> None:
    """Write what is known of a run to the first place of each name, and to where it is needed.

    Parameters
    ----------
    group : Group
    places : mapping
        As for :func:`metadata`.
    values : mapping
        What is known, in the package's units.
    needed : mapping, optional
        Name -> path of what readers of the layout ask for: a stand-in (NaN; 1970 for a time) where it is not known.
    """
    firsts = {name: paths.split("|")[0].strip().partition("@")[0] for name, paths in places.items()}
    for name, key in [*firsts.items(), *(needed or {}).items()]:
        unit = units.METADATA[name]
        if name in values and key not in group:
            value = values[name]
            whole = name == "scan_number" and str(value).lstrip("-").isdigit()
            group[key] = int(value) if whole else value
            if unit:
                group[key].attrs["units"] = unit
    for name, key in (needed or {}).items():
        stand_in(group, key, _UNKNOWN_TEXT.get(name, np.nan), f"{name} is not known", units.METADATA[name])


def small_values(group: h5py.Group, skip: str, root: str = "") -> str:
    """Texts and few numbers anywhere below a group, as JSON: path -> (value, unit); paths matching `skip` are not.

    Paths begin with `root`. The NeXus class of a group is kept as ``path@NX_class``.
    """
    found: dict[str, tuple[Any, str | None]] = {}

    def keep(path: str, node: h5py.Group | h5py.Dataset) -> None:
        place = f"{root}/{path}"
        if re.search(skip, place):
            return
        if isinstance(node, h5py.Group):
            if "NX_class" in node.attrs:
                found[f"{place}@NX_class"] = (hdf.text(node.attrs["NX_class"]), None)
            return
        if node.shape is None or node.size > _FEW or made_up(node):
            return
        if h5py.check_string_dtype(node.dtype) is not None:
            value = np.vectorize(hdf.text, otypes=[object])(node[()]) if node.shape else hdf.text(node)
        elif node.dtype.kind in "iufb":
            value = node[()]
        else:
            return
        found[place] = (np.asarray(value).tolist(), hdf.unit_of(node))

    group.visititems(keep)
    return json.dumps(found) if found else ""


def fill_small_values(h5file: h5py.File, held: str, below: str | tuple[str, ...]) -> None:
    """Write what :func:`small_values` found below some group, where nothing has been written."""
    known = {place: said for place, said in json.loads(held or "{}").items() if place.startswith(below)}
    for place, (value, unit) in known.items():
        if "@" not in place and place not in h5file:
            h5file[place] = value
            if unit:
                h5file[place].attrs["units"] = unit
    for place, (value, _) in known.items():
        path, _, attribute = place.partition("@")
        if attribute and path in h5file:
            h5file[path].attrs[attribute] = value
