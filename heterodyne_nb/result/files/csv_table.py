"""CSV of the published parameters: one row each, full precision, for a spreadsheet or a paper."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import xarray as xr

from heterodyne_nb.files import new_file
from heterodyne_nb.text.escaping import csv_text

_COLUMNS = {
    "value": "parameters",
    "stderr": "stderr",
    "unit": "unit",
    "status": "status",
    "lower": "bound_lower",
    "upper": "bound_upper",
}


def write(dataset: xr.Dataset, target: Path) -> None:
    """Write ``name, value, stderr, unit, status, lower, upper``; what is not known is left empty."""
    columns = [dataset[variable].values.tolist() for variable in _COLUMNS.values()]
    with new_file(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["name", *_COLUMNS])
        for name, *cells in zip(dataset["parameter"].values.tolist(), *columns, strict=True):
            table.writerow(map(_cell, (name, *cells)))


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return csv_text(value)
    return "" if math.isnan(value) else repr(value)
