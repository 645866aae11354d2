"""One page of text: what the fit is worth as lines of ``#``, then a table that pandas reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from heterodyne_nb.files import write_text
from heterodyne_nb.result.record import curve_names
from heterodyne_nb.result.report import facts, provenance_lines, title
from heterodyne_nb.result.trust import traffic_light, trust_flags
from heterodyne_nb.text.escaping import csv_text, printable
from heterodyne_nb.uncertainty.bands import NORMAL_95

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
    table = pd.concat([_parameters(record), _curves(record), _bins(record)], ignore_index=True)
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


def _parameters(record: xr.Dataset) -> pd.DataFrame:
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


def _bins(record: xr.Dataset) -> pd.DataFrame:
    rows = []
    for name in ("contrast", "offset"):
        if name in record and record[name].dims == ("bin",):
            held = {key: record[key].values for key in ("q", "phi") if key in record.coords}
            if f"{name}_error" in record:
                held["error"] = record[f"{name}_error"].values
            rows.append(pd.DataFrame({"quantity": name, "value": record[name].values, "unit": "1", **held}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
