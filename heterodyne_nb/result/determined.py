"""Identifiability of a saved fit: its varied parameters, and what its curves say all the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.result.record import model_of
from heterodyne_nb.result.solutions import in_words
from heterodyne_nb.text.numbers import value_with_error
from heterodyne_nb.uncertainty.bands import NORMAL_95
from heterodyne_nb.uncertainty.identifiability import Identifiability, identifiability, natural_scales


def of_result(record: xr.Dataset) -> Identifiability:
    """Judge the parameters a fit varied from the Gauss-Newton matrix it kept, and by the errors it states.

    Parameters
    ----------
    record : xarray.Dataset
        Of a :class:`heterodyne_nb.result.FitResult`.

    Raises
    ------
    OptimizationError
        The record keeps no Gauss-Newton matrix, or nothing was varied.
    """
    if "hessian" not in record:
        raise OptimizationError(
            "the result keeps no Gauss-Newton matrix", hint="pass hessian to FitResult.from_parts"
        )
    varied = np.flatnonzero(~np.isin(record["status"].values, ("fixed", "tied")))
    if not varied.size:
        raise OptimizationError("every parameter was fixed or tied", hint="vary at least one parameter")
    names = record["parameter"].values[varied].tolist()
    values = record["parameters"].values[varied].tolist()
    duration = float(np.ptp(record["t"].values)) if "t" in record else None
    every = dict(zip(record["parameter"].values.tolist(), record["parameters"].values.tolist(), strict=True))
    model = model_of(record)
    scales = natural_scales(model.parts(), every, duration)
    hessian = record["hessian"].values[np.ix_(varied, varied)]
    sigma2 = float(record.attrs.get("sigma2", 1.0))
    wanted = {name: scales[name] for name in names}
    known = _stated_covariance(record, varied)
    found = identifiability(hessian, names, values, sigma2, scales=wanted, covariance=known, model=model)
    notes = curve_notes(record, found.not_determined)
    return replace(found, notes=tuple(notes), answers=in_words(record))


def _stated_covariance(record: xr.Dataset, varied: np.ndarray) -> np.ndarray | None:
    """The covariance that the fit's errors come from, unless it is missing or has holes."""
    if "covariance" not in record:
        return None
    known = record["covariance"].values[np.ix_(varied, varied)]
    return known if np.isfinite(known).all() else None


def curve_notes(record: xr.Dataset, doubtful: tuple[str, ...]) -> list[str]:
    """Say what each curve with a doubtful parameter is at mid-time, with its standard error."""
    parts, notes = model_of(record).parts(), []
    for curve in dict.fromkeys(parts[name].curve for name in doubtful):
        if curve not in record or f"{curve}_lower" not in record:
            continue
        middle = record.isel(t=record.sizes["t"] // 2)
        half = 0.5 * float(middle[f"{curve}_upper"] - middle[f"{curve}_lower"])
        if np.isfinite(half):
            unit = str(record[curve].attrs.get("units", "1"))
            shown = value_with_error(float(middle[curve]), half / NORMAL_95)
            notes.append(f"{curve} at mid-time is {shown}" + ("" if unit == "1" else f" {unit}"))
    return notes
