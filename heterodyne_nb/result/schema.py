"""What a saved result must hold, its version, and the way from an older version to this one.

Version 1 held parameters, their errors, curves with bands, ``mode`` and ``chi2_reduced``.
Version 2 added status, unit and bounds of every parameter, and the record of the fit
(``success``, ``message``, ``method``, ``chi2``, ``n_data``, ``n_free``, ``provenance``, ``path``).
Version 3 is sealed: the file carries a checksum.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import xarray as xr

from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.guard import check_seal, guarded
from heterodyne_nb.models.parameters import PARAMETERS

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
