"""JSON summary: what a person or a script wants first, without the arrays in time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import xarray as xr

from heterodyne_nb.files import write_text
from heterodyne_nb.result.record import curve_names


def write(dataset: xr.Dataset, target: Path) -> None:
    """Write :func:`summary` as strict JSON (UTF-8; NaN becomes null)."""
    text = json.dumps(summary(dataset), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def summary(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the fit, its parameters, curves at three times, and bins, as plain JSON values."""
    texts = {name: json.loads(dataset.attrs[name]) for name in ("provenance", "path")}
    fit = {name: _plain(value) for name, value in dataset.attrs.items() if name not in texts}
    return {
        **fit,
        "success": bool(dataset.attrs["success"]),
        "parameters": _parameters(dataset),
        "curves": {name: _curve(dataset, name) for name in curve_names(dataset)},
        "bins": _bins(dataset),
        **_plain(texts),
    }


def _parameters(dataset: xr.Dataset) -> dict[str, Any]:
    keys = {
        "value": "parameters",
        "stderr": "stderr",
        "unit": "unit",
        "status": "status",
        "lower": "bound_lower",
        "upper": "bound_upper",
    }
    names = dataset["parameter"].values.tolist()
    return {
        name: {key: _plain(dataset[variable].values[i]) for key, variable in keys.items()}
        for i, name in enumerate(names)
    }


def _curve(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    last = dataset.sizes["t"] - 1
    points = sorted({0, last // 2, last})
    kept = {"t": "t", "value": name, "lower": f"{name}_lower", "upper": f"{name}_upper"}
    columns = {key: _plain(dataset[variable].values[points]) for key, variable in kept.items()}
    return {"unit": dataset[name].attrs.get("units", ""), **columns}


def _bins(dataset: xr.Dataset) -> list[dict[str, Any]]:
    if "bin" not in dataset.dims:
        return []
    columns = {str(name): v.values for name, v in dataset.variables.items() if v.dims == ("bin",)}
    order = sorted(columns, key=lambda name: (name not in ("bin", "q", "phi"), name))
    return [{name: _plain(columns[name][i]) for name in order} for i in range(dataset.sizes["bin"])]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
