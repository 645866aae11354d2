"""Saved results: netCDF and Zarr hold all of one and are read back exactly; CSV, JSON, NeXus and text are for others."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.data.formats.native import write_netcdf
from heterodyne_nb.errors import ConfigurationError, DataFormatError, MissingFileError
from heterodyne_nb.files import new_file, new_h5, new_zarr, recover, write_text
from heterodyne_nb.guard import guarded, sealed
from heterodyne_nb.remote import Place, Remote, place
from heterodyne_nb.result.files.nexus import write_nexus
from heterodyne_nb.result.files.text import write_table
from heterodyne_nb.result.record import curve_names
from heterodyne_nb.text.escaping import csv_text

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
    return _plain(
        {
            **{name: value for name, value in dataset.attrs.items() if name not in texts},
            "success": bool(dataset.attrs["success"]),
            "parameters": parameters,
            "curves": {name: _curve(dataset, name) for name in curve_names(dataset)},
            "bins": _bins(dataset),
            **texts,
        }
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
