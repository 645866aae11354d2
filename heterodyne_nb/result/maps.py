"""Model and residual of one bin, computed when asked for and never for all bins at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.data.prepare import select
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result.record import model_of

#: Rows of a map evaluated at a time: the temporaries stay small whatever the map.
_ROWS = 128

Choice = float | None


def choose_bin(record: xr.Dataset, q: Choice, phi: Choice, bin: int | None) -> int:
    """Return the position of the one bin meant.

    ``record``: With ``q`` and ``phi`` on dimension ``bin``. ``q``, ``phi``: In 1/Å and degrees; the nearest bin, if
    it is near enough to be meant. ``bin``: Its label instead.

    Raises ConfigurationError: None, or more than one, fits.
    """
    if "bin" not in record.dims:
        raise ConfigurationError("the result keeps no bins", hint="pass bins to FitResult.from_parts")
    labels = record["bin"].values
    if bin is not None:
        if np.sum(labels == bin) != 1:
            raise ConfigurationError(f"no bin {bin!r}", expected=f"one of {labels.tolist()}")
        return int(np.flatnonzero(labels == bin)[0])
    places = xr.Dataset(
        {"place": ("bin", np.arange(labels.size))},
        coords={name: ("bin", record[name].values) for name in ("q", "phi")},
    )
    found = select(places, q=q, phi=phi)["place"].values
    if found.size != 1:
        offer = ", ".join(_name(record, place) for place in found[:8])
        raise ConfigurationError(f"{found.size} bins fit q={q}, phi={phi}: {offer}", expected="one bin")
    return int(found[0])


def model_map(record: xr.Dataset, place: int, t: NDArray[np.float64] | None) -> xr.DataArray:
    """Model of c2 in one bin: offset + contrast * M, on (t1, t2), or on (tau,) for a one-time model.

    ``record``: Of a :class:`heterodyne_nb.result.FitResult`. ``place``: Position of the bin. ``t``: Times in s
    (two-time model) or lags in s (one-time model); default those of the fit.

    Raises ConfigurationError: Neither is known.
    """
    if t is None and "t" not in record:
        raise ConfigurationError("the result keeps no times", hint="pass t, in s")
    times = record["t"].values if t is None else np.asarray(t, dtype=float)
    model: Any = model_of(record)
    parameters, gap = record["parameters"].values, record.attrs.get("gap")
    one = record.isel(bin=place)
    q, phi = float(one["q"]), float(one["phi"])
    dims: tuple[str, ...] = ("tau",) if model.one_time else ("t1", "t2")
    if model.one_time:
        values = model.correlation(parameters, times, q=q, phi=phi)
    else:
        values = np.empty((times.size, times.size))
        for start in range(0, times.size, _ROWS):
            rows = slice(start, start + _ROWS)
            values[rows] = model.correlation(
                parameters, times[rows, None], times[None, :], q=q, phi=phi, gap=gap
            )
    coords: dict[str, Any] = {name: (name, times, {"units": "s"}) for name in dims}
    scaled = float(one["offset"]) + float(one["contrast"]) * values
    attrs = {"long_name": "model of c2", "units": "1"}
    return xr.DataArray(scaled, dims=dims, coords={**coords, "q": q, "phi": phi}, name="model", attrs=attrs)


def residual_map(record: xr.Dataset, place: int, dataset: xr.Dataset) -> xr.DataArray:
    """Measured minus model in one bin, NaN in masked frames, on (t1, t2).

    Raises ConfigurationError: The dataset has no c2, or not this bin.
    """
    one = record.isel(bin=place)
    measured = _measured_map(dataset, float(one["q"]), float(one["phi"])).transpose("t1", "t2")
    model = model_map(record, place, measured["t1"].values)
    residual = model.copy(data=np.asarray(measured.values, dtype=float) - model.values)
    return residual.rename("residual").assign_attrs(long_name="c2 - model")


def _measured_map(dataset: xr.Dataset, q: float, phi: float) -> xr.DataArray:
    if "c2" not in dataset:
        raise ConfigurationError("the dataset has no two-time map c2")
    one = select(dataset, q=q, phi=phi)
    c2 = one["c2"].squeeze([dim for dim in ("q", "phi", "bin") if dim in one["c2"].dims])
    if c2.ndim != 2:
        raise ConfigurationError(f"q={q}, phi={phi} is not one bin of the dataset", expected="one bin")
    if "mask" not in one:
        return c2
    used = np.asarray(one["mask"].values, dtype=bool)
    return c2.where(used[:, None] & used[None, :])


def _name(record: xr.Dataset, place: int) -> str:
    return f"(q={float(record['q'][place]):.6g}, phi={float(record['phi'][place]):.6g})"
