"""Saved results: netCDF and Zarr hold all of one and are read back exactly; CSV, JSON, NeXus and text are for others.

NeXus: the fit as an NXfit under an NXentry, its curves as NXdata, for other programs to read.

Base classes and attributes follow the NeXus manual: NXroot, NXentry, NXfit (an NXprocess), NXfit_function,
NXparameters (``error``, ``min``, ``max``, ``vary``), NXdata (``signal``, ``axes``, ``<axis>_indices``), NXnote.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from heterodyne_nb.data.formats.native import write_netcdf
from heterodyne_nb.errors import ConfigurationError, DataFormatError, MissingFileError
from heterodyne_nb.files import new_file, new_h5, new_zarr, recover, write_text
from heterodyne_nb.guard import guarded, sealed
from heterodyne_nb.remote import Place, Remote, place
from heterodyne_nb.result.record import curve_names
from heterodyne_nb.result.report import facts, provenance_lines, title
from heterodyne_nb.result.trust import traffic_light, trust_flags
from heterodyne_nb.text.escaping import csv_text, printable, storable
from heterodyne_nb.uncertainty.bands import NORMAL_95

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
            _nexus_curve(entry, dataset, name)
        _nexus_bins(entry, dataset)
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
    _nexus_parameters(model, dataset)
    for name in filter(dataset.__contains__, ("covariance", "hessian")):
        data = _group(fit, name, "NXdata")
        data.attrs["signal"] = name
        data.attrs["axes"] = ["parameter", "parameter"]
        data[name] = dataset[name].values
        data["parameter"] = dataset["parameter"].values.tolist()


def _nexus_parameters(function: h5py.Group, dataset: xr.Dataset) -> None:
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


def _nexus_curve(entry: h5py.Group, dataset: xr.Dataset, name: str) -> None:
    data = _group(entry, name, "NXdata")
    data.attrs["signal"] = name
    data.attrs["axes"] = ["t"]
    data.attrs["t_indices"] = 0
    data.attrs["auxiliary_signals"] = [f"{name}_lower", f"{name}_upper"]
    for field in (name, f"{name}_lower", f"{name}_upper", "t"):
        _field(data, dataset, field)


def _nexus_bins(entry: h5py.Group, dataset: xr.Dataset) -> None:
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


#: Times at which curves are told.
_TIMES = 11
_MEANINGS = (
    "one row a number: parameters, curves at some times, contrast and offset of the bins; empty: not known",
    "t in s, q in 1/Å, phi in degrees; error: one standard deviation; lower, upper: 95 % band of a curve, bounds of a parameter",
    'pandas.read_csv(file, comment="#") reads it',
)


def write_table(dataset: xr.Dataset, target: Path) -> None:
    """Write the page of a record."""
    write_text(target, page_of(dataset))


def page_of(record: xr.Dataset) -> str:
    """The page of a record, ending with a line break."""
    flags = trust_flags(record)
    head = [title(record), " · ".join(facts(record)), f"light: {traffic_light(flags)}"]
    head += [f"  {flag.text}" for flag in flags] + provenance_lines(record) + [*_MEANINGS]
    table = pd.concat([_parameter_rows(record), _curves(record), _bin_rows(record)], ignore_index=True)
    told = {name: table[name].fillna("").map(_cell) for name in ("quantity", "unit", "status")}
    stream = io.StringIO()
    columns = ["quantity", "t", "q", "phi", "value", "error", "lower", "upper", "unit", "status"]
    table.assign(**told).reindex(columns=columns).to_csv(
        stream, index=False, float_format="%.8g", lineterminator="\n", quoting=csv.QUOTE_MINIMAL
    )
    return "".join(f"# {printable(line)}\n" for line in head) + stream.getvalue()


def _cell(text: object) -> str:
    """A text in which no comment begins."""
    return csv_text(str(text)).replace("#", "№")


def _parameter_rows(record: xr.Dataset) -> pd.DataFrame:
    names = {
        **{"parameter": "quantity", "parameters": "value", "stderr": "error", "bound_lower": "lower"},
        **{"bound_upper": "upper", "unit": "unit", "status": "status"},
    }
    return pd.DataFrame({name: record[variable].values for variable, name in names.items()})


def _curves(record: xr.Dataset) -> pd.DataFrame:
    rows = []
    if "t" in record.dims:
        at = np.unique(np.linspace(0, record.sizes["t"] - 1, _TIMES).round().astype(int))
        for name in curve_names(record):
            curve = [record[key].values[at] for key in (name, f"{name}_lower", f"{name}_upper")]
            told = dict(zip(("value", "lower", "upper"), curve, strict=True))
            error = (curve[2] - curve[1]) / (2 * NORMAL_95)
            unit = str(record[name].attrs.get("units", ""))
            rows.append(
                pd.DataFrame(
                    {"quantity": name, "t": record["t"].values[at], "error": error, "unit": unit, **told}
                )
            )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _bin_rows(record: xr.Dataset) -> pd.DataFrame:
    rows = []
    for name in ("contrast", "offset"):
        if name in record and record[name].dims == ("bin",):
            held = {key: record[key].values for key in ("q", "phi") if key in record.coords}
            if f"{name}_error" in record:
                held["error"] = record[f"{name}_error"].values
            rows.append(pd.DataFrame({"quantity": name, "value": record[name].values, "unit": "1", **held}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


#: What is told of a parameter: key or column, and variable of the record.
_PARAMETER = {
    "value": "parameters",
    "stderr": "stderr",
    "unit": "unit",
    "status": "status",
    "lower": "bound_lower",
    "upper": "bound_upper",
}
#: Files that mark a folder as a Zarr store (formats 2 and 3).
_MARKS = (".zgroup", "zarr.json")


def write_result(dataset: xr.Dataset, path: str | Place) -> Place:
    """Write the record of a fit in the format its suffix names; return the path.

    Raises ConfigurationError: Unknown suffix, or a format whose library is not installed. Raises OutputError: It
    cannot be written there.
    """
    target = place(path)
    _format(target)[0](dataset, target)
    return target


def read_result(path: str | Place) -> xr.Dataset:
    """Read the record of a fit, as it was written (any schema version).

    Raises MissingFileError: No such file. Raises DataFormatError: Damaged, or not a file of its kind. Raises
    ConfigurationError: Unknown suffix, or a format that holds only part of a result.
    """
    source = place(path)
    recover(source)
    if not source.exists():
        raise MissingFileError("no such file", where=str(source))
    if isinstance(source, Remote):
        _format(source)
        with source.copied() as here:
            return read_result(here)
    _, kind, engine = _format(source)
    if not engine:
        raise ConfigurationError(
            f"a {source.suffix} file holds only part of a result and cannot be loaded",
            where=source.name,
            expected="a .nc file or a .zarr folder",
        )
    if kind == "Zarr":
        _need_zarr()
        if not any((source / mark).exists() for mark in _MARKS):
            raise DataFormatError(
                "is not a Zarr store", where=source.name, expected=f"a folder with one of {_MARKS}"
            )
    whole = f"a {kind} {'folder' if source.is_dir() else 'file'} written by FitResult.save, complete"
    with (
        guarded(source.name, whole),
        xr.open_dataset(source, engine=engine, decode_times=False, decode_timedelta=False) as opened,
    ):
        return opened.load()


def _write_netcdf(dataset: xr.Dataset, target: Path) -> None:
    encoding = {name: {"_FillValue": None} for name, v in dataset.variables.items() if v.dtype.kind == "f"}
    with new_h5(target, dataset.nbytes, track_order=True) as h5file:
        write_netcdf(sealed(dataset), h5file, encoding)


def _write_zarr(dataset: xr.Dataset, target: Path) -> None:
    """In format 2, whose string arrays every reader knows."""
    _need_zarr()
    with new_zarr(target) as fresh:
        sealed(dataset).to_zarr(fresh, mode="w", zarr_format=2, consolidated=True)


def _need_zarr() -> None:
    if importlib.util.find_spec("zarr") is None:
        raise ConfigurationError(
            "the zarr package is not installed",
            expected="zarr for .zarr results",
            hint="pip install 'heterodyne_nb[dask]', or save as .nc",
        )


def _write_csv(dataset: xr.Dataset, target: Path) -> None:
    """One row a parameter, full precision, for a spreadsheet; what is not known is left empty."""
    columns = [dataset[variable].values.tolist() for variable in ("parameter", *_PARAMETER.values())]
    with new_file(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["name", *_PARAMETER])
        for cells in zip(*columns, strict=True):
            table.writerow(
                csv_text(c) if isinstance(c, str) else "" if math.isnan(c) else repr(c) for c in cells
            )


def _write_json(dataset: xr.Dataset, target: Path) -> None:
    """What a person or a script wants first, without the arrays in time; NaN becomes null."""
    write_text(target, json.dumps(_summary(dataset), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _summary(dataset: xr.Dataset) -> dict[str, Any]:
    """The fit, its parameters, curves at three times, and bins, as plain JSON values."""
    texts = {name: json.loads(dataset.attrs[name]) for name in ("provenance", "path")}
    parameters = {
        name: {key: dataset[variable].values[i] for key, variable in _PARAMETER.items()}
        for i, name in enumerate(dataset["parameter"].values.tolist())
    }
    return dict(
        _plain(
            {
                **{name: value for name, value in dataset.attrs.items() if name not in texts},
                "success": bool(dataset.attrs["success"]),
                "parameters": parameters,
                "curves": {name: _curve(dataset, name) for name in curve_names(dataset)},
                "bins": _bins(dataset),
                **texts,
            }
        )
    )


def _curve(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    last = dataset.sizes["t"] - 1
    few = dataset.isel(t=sorted({0, last // 2, last}))
    kept = {"t": "t", "value": name, "lower": f"{name}_lower", "upper": f"{name}_upper"}
    return {
        "unit": dataset[name].attrs.get("units", ""),
        **{key: few[variable].values for key, variable in kept.items()},
    }


def _bins(dataset: xr.Dataset) -> list[dict[str, Any]]:
    columns = {str(name): v.values for name, v in dataset.variables.items() if v.dims == ("bin",)}
    order = sorted(columns, key=lambda name: (name not in ("bin", "q", "phi"), name))
    return [{name: columns[name][i] for name in order} for i in range(dataset.sizes.get("bin", 0))]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


#: Writer of each suffix; kind, and engine of xarray, where it can be read again.
_FORMATS: dict[str, tuple[Callable[[xr.Dataset, Any], None], str, str]] = {
    ".nc": (_write_netcdf, "netCDF-4", "h5netcdf"),
    ".zarr": (_write_zarr, "Zarr", "zarr"),
    ".csv": (_write_csv, "CSV", ""),
    ".json": (_write_json, "JSON", ""),
    ".nxs": (write_nexus, "NeXus", ""),
    ".txt": (write_table, "text", ""),
}


def _format(path: Place) -> tuple[Callable[[xr.Dataset, Any], None], str, str]:
    known = _FORMATS.get(path.suffix.lower())
    if known is None:
        raise ConfigurationError(
            f"unknown result format {path.suffix!r}", where=path.name, expected=f"one of {sorted(_FORMATS)}"
        )
    return known
