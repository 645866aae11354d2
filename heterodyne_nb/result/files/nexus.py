"""NeXus: the fit as an NXfit under an NXentry, its curves as NXdata, for other programs to read.

Base classes and attributes follow the NeXus manual: NXroot, NXentry, NXfit (an NXprocess), NXfit_function,
NXparameters (``error``, ``min``, ``max``, ``vary``), NXdata (``signal``, ``axes``, ``<axis>_indices``), NXnote.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.files import new_h5
from heterodyne_nb.result.record import curve_names
from heterodyne_nb.text.escaping import storable

_UNITS = {"Å²/s": "angstrom^2/s", "Å/s": "angstrom/s", "1/Å": "1/angstrom", "Å": "angstrom", "deg": "degree"}


def write_nexus(dataset: xr.Dataset, target: Path) -> None:
    """Write the record of a fit to a NeXus (HDF5) file."""
    with new_h5(target, track_order=True) as root:
        root.attrs["NX_class"] = "NXroot"
        entry = _group(root, "entry", "NXentry")
        entry["title"] = f"heterodyne_nb fit, {dataset.attrs['mode']}"
        _fit(entry, dataset)
        curves = curve_names(dataset)
        for name in curves:
            _curve(entry, dataset, name)
        _bins(entry, dataset)
        root.attrs["default"] = "entry"
        if curves:
            entry.attrs["default"] = curves[0]


def _fit(entry: h5py.Group, dataset: xr.Dataset) -> None:
    """How it was done and how good it is; the model with its parameters; where they come from."""
    provenance = json.loads(dataset.attrs["provenance"])
    # no base class but a collection may hold an NXfit, says nxcheck
    fit = _group(_group(entry, "fits", "NXcollection"), "fit", "NXfit")
    fit["label"] = f"{dataset.attrs['mode']}: {dataset.attrs['message']}"
    fit["program"] = "heterodyne_nb"
    fit["version"] = storable(str(provenance.get("versions", {}).get("heterodyne_nb", "unknown")))
    fit["sequence_index"] = 1
    if provenance.get("date"):
        fit["date"] = storable(str(provenance["date"]))
    fit["figure_of_merit_reduced_chi_square"] = dataset.attrs["chi2_reduced"]
    fit["figure_of_merit_reduced_chi_square"].attrs.update(
        {"metric": "chi-square per degree of freedom", "units": ""}
    )
    for name in ("provenance", "path"):
        note = _group(fit, name, "NXnote")
        note["type"] = "application/json"
        note["data"] = dataset.attrs[name]
    settings = _group(fit, "settings", "NXparameters")
    for name, value in dataset.attrs.items():
        if name not in ("provenance", "path"):
            settings[str(name)] = value
    error = _group(fit, "error_function", "NXfit_function")
    error["description"] = f"least squares of the residuals, {dataset.attrs['method']}"
    model = _group(fit, "global_fit_function", "NXfit_function")
    model["function_type"] = dataset.attrs["mode"]
    _parameters(model, dataset)
    for name in filter(dataset.__contains__, ("covariance", "hessian")):
        data = _group(fit, name, "NXdata")
        data.attrs["signal"] = name
        data.attrs["axes"] = ["parameter", "parameter"]
        data[name] = dataset[name].values
        data["parameter"] = dataset["parameter"].values.tolist()


def _parameters(function: h5py.Group, dataset: xr.Dataset) -> None:
    group = _group(function, "fit_parameters", "NXparameters")
    group.attrs["model"] = dataset.attrs["mode"]
    columns = ("parameter", "parameters", "unit", "status", "stderr", "bound_lower", "bound_upper")
    for name, value, unit, status, error, lower, upper in zip(
        *(dataset[column].values.tolist() for column in columns), strict=True
    ):
        field = group.create_dataset(name, data=value)
        _units(field, unit)
        field.attrs.update(
            {"error": error, "min": lower, "max": upper, "vary": status not in ("fixed", "tied")}
        )
        if status:
            field.attrs["description"] = status


def _curve(entry: h5py.Group, dataset: xr.Dataset, name: str) -> None:
    data = _group(entry, name, "NXdata")
    data.attrs["signal"] = name
    data.attrs["axes"] = ["t"]
    data.attrs["t_indices"] = 0
    data.attrs["auxiliary_signals"] = [f"{name}_lower", f"{name}_upper"]
    for field in (name, f"{name}_lower", f"{name}_upper", "t"):
        _field(data, dataset, field)


def _bins(entry: h5py.Group, dataset: xr.Dataset) -> None:
    fields = [str(name) for name, v in dataset.variables.items() if v.dims == ("bin",)]
    signals = [name for name in ("contrast", "offset", "chi2_reduced_bin") if name in fields]
    if not signals:
        return
    data = _group(entry, "bins", "NXdata")
    data.attrs["signal"] = signals[0].replace("offset", "baseline")
    if signals[1:]:
        data.attrs["auxiliary_signals"] = [name.replace("offset", "baseline") for name in signals[1:]]
    data.attrs["axes"] = ["bin"]
    for axis in ("bin", "q", "phi"):
        if axis in fields:
            data.attrs[f"{axis}_indices"] = 0
    for field in fields:
        _field(data, dataset, field)
    if "bin" not in fields:
        data["bin"] = np.arange(dataset.sizes["bin"])


def _field(group: h5py.Group, dataset: xr.Dataset, name: str) -> None:
    values = dataset[name].values
    shown = "baseline" if name == "offset" else name  # an offset of NXdata is to be added to the values
    field = group.create_dataset(shown, data=values.tolist() if values.dtype.kind == "U" else values)
    _units(field, str(dataset[name].attrs.get("units", "")))
    if "long_name" in dataset[name].attrs:
        field.attrs["long_name"] = str(dataset[name].attrs["long_name"])


def _units(field: h5py.Dataset, unit: str) -> None:
    if unit:
        field.attrs["units"] = "" if unit == "1" else _UNITS.get(unit, unit)


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name, track_order=True)
    group.attrs["NX_class"] = nx_class
    return group
