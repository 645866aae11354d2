"""The one Dataset behind a result: how it is put together, and how it is made unchangeable.

What a saved result must hold, its version, and the way from an older version to this one.

Version 1 held parameters, their errors, curves with bands, ``mode`` and ``chi2_reduced``.
Version 2 added status, unit and bounds of every parameter, and the record of the fit
(``success``, ``message``, ``method``, ``chi2``, ``n_data``, ``n_free``, ``provenance``, ``path``).
Version 3 is sealed: the file carries a checksum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.errors import ConfigurationError, DataFormatError, OptimizationError
from heterodyne_nb.guard import check_seal, guarded
from heterodyne_nb.models import Model, ModelFactory
from heterodyne_nb.models.model import OneTimeModel, TwoTimeModel
from heterodyne_nb.models.one_time_scopes import ScopedModel
from heterodyne_nb.models.parameters import PARAMETERS
from heterodyne_nb.text.escaping import storable
from heterodyne_nb.uncertainty.bands import curve_bands

SCHEMA_VERSION = SEALED_FROM = 3

_VARIABLES = ("parameters", "stderr", "status", "unit", "bound_lower", "bound_upper")
_ATTRIBUTES = (
    *("mode", "chi2_reduced", "chi2", "n_data", "n_free"),
    *("success", "message", "method", "provenance", "path"),
)


def current(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Bring a Dataset read from a file to the present schema and check it.

    ``dataset``: As read, of any schema version up to the present one. ``where``: File name, for error messages.

    Raises DataFormatError: Not a result of this package, of a newer schema version, with parts missing, or changed
    since it was written.
    """
    version, read = _version(dataset, where), dataset
    sealed = version >= SEALED_FROM
    while version < SCHEMA_VERSION:
        _require(dataset, ("parameters", "stderr"), ("mode", "chi2_reduced"), where)
        dataset = MIGRATIONS[version](dataset)
        version += 1
        dataset = dataset.assign_attrs(schema_version=version)
    _require(dataset, _VARIABLES, _ATTRIBUTES, where)
    whole = check_seal(read, where, needed=sealed)
    return whole if dataset is read else dataset


def _version(dataset: xr.Dataset, where: str) -> int:
    raw = dataset.attrs.get("schema_version")
    if raw is None or "parameters" not in dataset:
        raise DataFormatError(
            "not a saved fit result",
            where=where,
            expected="variable 'parameters(parameter)' and attribute 'schema_version'",
            hint="to read measured data use heterodyne_nb.open_dataset",
        )
    try:
        version = int(np.asarray(raw).item())
    except (TypeError, ValueError):
        version = 0
    if version > SCHEMA_VERSION:
        raise DataFormatError(
            f"written with schema version {version}, newer than this package reads",
            where=where,
            expected=f"schema version up to {SCHEMA_VERSION}",
            hint="upgrade heterodyne_nb",
        )
    if version < 1:
        raise DataFormatError(
            f"schema_version is {raw!r}", where=where, expected=f"an integer from 1 to {SCHEMA_VERSION}"
        )
    return version


def _require(
    dataset: xr.Dataset, variables: tuple[str, ...], attributes: tuple[str, ...], where: str
) -> None:
    missing = [f"variable {name}" for name in variables if name not in dataset]
    missing += [f"attribute {name}" for name in attributes if name not in dataset.attrs]
    if missing:
        raise DataFormatError(
            f"an incomplete fit result: no {', no '.join(missing)}", where=where, hint="save the result again"
        )
    for name in ("provenance", "path", "extra", "goodness", "solutions"):
        with guarded(f"{where}:{name}", "JSON"):
            json.loads(dataset.attrs.get(name, "{}"))
    if dataset["parameters"].dims != ("parameter",):
        raise DataFormatError(
            f"'parameters' has dimensions {dataset['parameters'].dims}", where=where, expected="(parameter,)"
        )


def _from_1_to_2(old: xr.Dataset) -> xr.Dataset:
    """Add what version 2 asks for, saying 'unknown' (NaN, empty) where version 1 did not record it."""
    names = old["parameter"].values.astype(str)
    specs = {spec.name: spec for spec in PARAMETERS.get(str(old.attrs["mode"]), ())}
    nan = float("nan")
    error = old["stderr"].values
    new = old.assign(
        status=("parameter", ["free" if e > 0 else "fixed" for e in error]),
        unit=("parameter", [specs[n].unit if n in specs else "" for n in names]),
        bound_lower=("parameter", [specs[n].lower if n in specs else nan for n in names]),
        bound_upper=("parameter", [specs[n].upper if n in specs else nan for n in names]),
    )
    recorded = {"chi2": nan, "n_data": 0, "n_free": int(np.sum(error > 0)), "success": 1, "method": ""}
    texts = {"message": "read from a schema 1 file", "provenance": "{}", "path": "[]"}
    return new.assign_attrs({**recorded, **texts, **old.attrs})


#: version -> function that turns a Dataset of that version into one of the next.
MIGRATIONS: dict[int, Callable[[xr.Dataset], xr.Dataset]] = {1: _from_1_to_2, 2: lambda old: old}


#: What can be said of a parameter after a fit.
STATUSES = ("free", "fixed", "tied", "at bound", "not determined")

Floats = Sequence[float] | np.ndarray
#: Lower and upper ends of the 95 % bands of the curves.
Bands = Mapping[str, tuple[np.ndarray, np.ndarray]]

_BIN_LABELS = {
    "q": ("1/Å", "wave vector"),
    "phi": ("deg", "azimuth"),
    "contrast": ("1", "contrast of the bin"),
    "offset": ("1", "offset of the bin"),
    "chi2_reduced_bin": ("1", "reduced chi-square of the bin"),
}


class _Unregistered(Model):
    """What a record alone tells of a model that is not registered now: the names of its parameters."""

    def __init__(self, record: xr.Dataset) -> None:
        self.name = str(record.attrs["mode"])
        told = (record[name].values.tolist() for name in ("parameter", "unit", "bound_lower", "bound_upper"))
        specs = (ParameterSpec(n, u, low, low, high, "") for n, u, low, high in zip(*told, strict=True))
        self.parameters = tuple(specs)


def model_of(record: xr.Dataset) -> Model:
    """The model of a record, on its bins where parameters differ; one not registered now knows no curves."""
    try:
        found: Model = ModelFactory.create_model(str(record.attrs["mode"]))
    except ConfigurationError:
        return _Unregistered(record)
    extra = json.loads(record.attrs.get("extra", "{}"))
    scopes = extra.get("scopes")
    if scopes is not None and isinstance(found, OneTimeModel):
        return ScopedModel(found, scopes, record["q"].values, record["phi"].values)
    if "integral" in extra and isinstance(found, TwoTimeModel):
        return found.integrating(extra["integral"], record["t"].values)
    return found


def parameter_block(
    model: Any,
    parameters: Floats,
    stderr: Floats | None,
    status: Sequence[str] | None,
    covariance: np.ndarray | None,
    bounds: np.ndarray | None,
    passing: np.ndarray | None = None,
) -> xr.Dataset:
    """Values, errors, status, units and bounds of the published parameters, in the model's order."""
    names = [spec.name for spec in model.parameters]
    size = len(names)
    if bounds is None:
        bounds = np.array([(spec.lower, spec.upper) for spec in model.parameters])
    low, high = _shaped("bounds", bounds, (size, 2)).T
    columns = {
        "parameters": (_shaped("parameters", parameters, (size,)), "published parameter values"),
        "stderr": (_errors(stderr, covariance, size), "standard error"),
        "status": (_statuses(status, size), "status of the parameter"),
        "unit": ([spec.unit for spec in model.parameters], "unit"),
        "bound_lower": (low, "lower bound of the fit"),
        "bound_upper": (high, "upper bound of the fit"),
    }
    if passing is not None:
        told = "errors by which the parameter would pass its bound"
        columns["bound_pull"] = (_shaped("passing", passing, (size,)), told)
    block = xr.Dataset(
        {name: ("parameter", values, {"long_name": told}) for name, (values, told) in columns.items()},
        coords={"parameter": names},
    )
    if covariance is not None:
        block = block.merge(square("covariance", covariance, names, "covariance of the parameters"))
    return block


def square(name: str, matrix: np.ndarray, names: Sequence[str], long_name: str) -> xr.Dataset:
    """Return a parameter-by-parameter matrix as a Dataset of one variable."""
    checked = _shaped(name, matrix, (len(names), len(names)))
    return xr.Dataset(
        {name: (("parameter", "parameter_b"), checked, {"long_name": long_name})},
        coords={"parameter": list(names), "parameter_b": list(names)},
    )


def with_curves(record: xr.Dataset, model: Any, t: np.ndarray, bands: Bands | None) -> xr.Dataset:
    """Add the model's curves at `t` (s) and their bands; by default these follow from the covariance."""
    values = record["parameters"].values
    if bands is None and "covariance" in record:
        bands = curve_bands(model, values, record["covariance"].values, t)
    return record.merge(_curve_block(model, model.curves(values, t), bands or {}, t))


def with_errors(
    record: xr.Dataset,
    model: Any,
    stderr: Floats | None,
    status: Sequence[str] | None,
    covariance: np.ndarray | None,
    bands: Bands | None,
) -> xr.Dataset:
    """Replace errors, covariance, bands and (if given) status; everything else stays."""
    if covariance is None and stderr is None:
        raise OptimizationError("neither covariance nor stderr is given", expected="one of them")
    kept = record["status"].values.tolist() if status is None else status
    bounds = np.stack([record["bound_lower"].values, record["bound_upper"].values], axis=1)
    fresh = parameter_block(model, record["parameters"].values, stderr, kept, covariance, bounds)
    old = record.drop_vars(["covariance", *fresh.data_vars], errors="ignore")
    merged = old.merge(fresh)
    if "t" not in record:
        return merged
    stale = [name for name in record.data_vars if record[name].dims == ("t",)]
    return with_curves(merged.drop_vars(stale), model, record["t"].values, bands)


def _curve_block(model: Any, curves: Mapping[str, np.ndarray], bands: Bands, t: np.ndarray) -> xr.Dataset:
    """Curves in time with their 95 % bands; a curve without a band gets NaN limits."""
    unknown = sorted(set(bands) - set(curves))
    if unknown:
        raise OptimizationError(
            f"bands given for unknown curves {unknown}", expected=f"some of {sorted(curves)}"
        )
    data: dict[str, Any] = {}
    tails = {
        "": "",
        "_lower": ", lower end of the 95 % band",
        "_upper": ", upper end of the 95 % band",
    }
    for name, values in curves.items():
        curve = model.curve(name)
        band = bands.get(name, (np.full(t.size, np.nan),) * 2)
        for (suffix, tail), array in zip(tails.items(), (values, *band), strict=True):
            label = {"units": curve.unit, "long_name": (curve.label or name) + tail}
            data[name + suffix] = ("t", _shaped(name + suffix, array, (t.size,)), label)
    return xr.Dataset(data, coords={"t": ("t", t, {"units": "s", "long_name": "time"})})


def curve_names(dataset: xr.Dataset) -> tuple[str, ...]:
    """Names of the curves in a record: the variables in time that have a band."""
    names = (str(name) for name, variable in dataset.data_vars.items() if variable.dims == ("t",))
    return tuple(name for name in names if f"{name}_lower" in dataset and f"{name}_upper" in dataset)


def unit_of(record: xr.Dataset, name: str) -> str:
    """Unit of a variable; of one that is not there, and of a pure number, ``"1"``."""
    return str(record[name].attrs.get("units", "1")) if name in record else "1"


def unit_shown(unit: Any) -> str:
    """A unit as it stands in a column of its own: nothing for a pure number."""
    return "" if str(unit) == "1" else str(unit)


def with_unit(shown: str, unit: str) -> str:
    """A number with its unit."""
    return f"{shown} {unit_shown(unit)}".rstrip()


def at_mid_time(record: xr.Dataset, curve: str) -> tuple[float, float, float]:
    """A curve in the middle of the run, and the ends of its band there."""
    middle = record.isel(t=record.sizes["t"] // 2)
    value, lower, upper = (float(middle[curve + end]) for end in ("", "_lower", "_upper"))
    return value, lower, upper


def bin_block(bins: xr.Dataset) -> xr.Dataset:
    """Return what is known of each bin, every variable labelled; it must have the dimension ``bin``."""
    if "bin" not in bins.dims:
        raise OptimizationError(f"bins has dimensions {tuple(bins.dims)}", expected="a dimension 'bin'")
    labelled = bins.copy(deep=False)
    for name, (unit, long_name) in _BIN_LABELS.items():
        if name in labelled:
            labelled[name].attrs = {"units": unit, "long_name": long_name, **labelled[name].attrs}
    return labelled


def attributes(**entries: Any) -> dict[str, Any]:
    """Scalar attributes that every file format can hold; None is left out, lists and dicts become JSON."""
    kept: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, value in entries.items():
        if isinstance(value, Mapping | list | tuple):
            value = json.dumps(value, sort_keys=True, default=_plain, ensure_ascii=False)
        if value is not None:
            plain = int(value) if isinstance(value, bool | np.bool_) else value
            kept[name] = storable(plain) if isinstance(plain, str) else plain
    return kept


def frozen(dataset: xr.Dataset) -> xr.Dataset:
    """Return a loaded copy with plain dtypes and attributes whose arrays refuse to be written."""
    variables = {str(name): _frozen_variable(var) for name, var in dataset.variables.items()}
    coords = {name: variables.pop(name) for name in map(str, dataset.coords)}
    attrs = {str(name): _plain_scalar(value) for name, value in dataset.attrs.items()}
    ordered = {name: variables[name] for name in sorted(variables)}
    return xr.Dataset(ordered, coords=coords, attrs=attrs)


def _frozen_variable(variable: xr.Variable) -> xr.Variable:
    values = np.array(variable.values)  # a copy: nobody else holds a writable view of it
    if values.dtype.kind in "OSUT":
        values = np.array([str(_plain_scalar(item)) for item in values.ravel()], dtype=np.str_).reshape(
            values.shape
        )
    values.flags.writeable = False
    attrs = {str(name): _plain_scalar(value) for name, value in variable.attrs.items()}
    return xr.Variable(variable.dims, values, attrs)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value


def _plain(value: Any) -> Any:
    """Turn what JSON does not know (numpy scalars, arrays, sets, paths) into what it does."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(values, dtype=float)
    if array.shape != shape:
        raise OptimizationError(f"{name} has shape {array.shape}", expected=f"{shape}")
    return array


def _errors(stderr: Floats | None, covariance: np.ndarray | None, size: int) -> np.ndarray:
    if stderr is not None:
        return _shaped("stderr", stderr, (size,))
    if covariance is None:
        return np.full(size, np.nan)
    variance = np.diag(_shaped("covariance", covariance, (size, size)))
    return np.sqrt(np.where(variance >= 0, variance, np.nan))


def _statuses(status: Sequence[str] | None, size: int) -> list[str]:
    words = ["free"] * size if status is None else [str(word) for word in status]
    if len(words) != size:
        raise OptimizationError(f"status has {len(words)} entries", expected=f"{size}")
    unknown = sorted(set(words) - set(STATUSES))
    if unknown:
        raise OptimizationError(f"unknown parameter status {unknown}", expected=f"one of {list(STATUSES)}")
    return words
