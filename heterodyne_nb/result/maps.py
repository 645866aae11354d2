"""Model and residual of one bin, computed when asked for and never for all bins at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.data.prepare import select
from heterodyne_nb.errors import ConfigurationError

#: Rows of a map evaluated at a time: the temporaries stay small whatever the map.
_ROWS = 128

Choice = float | None


def choose_bin(record: xr.Dataset, q: Choice, phi: Choice, bin: int | None) -> int:
    """Return the position of the one bin meant.

    Parameters
    ----------
    record : xarray.Dataset
        With ``q`` and ``phi`` on dimension ``bin``.
    q, phi : float, optional
        In 1/Å and degrees; the nearest bin, if it is near enough to be meant.
    bin : int, optional
        Its label instead.

    Raises
    ------
    ConfigurationError
        None, or more than one, fits.
    """
    if "bin" not in record.dims:
        raise ConfigurationError("the result keeps no bins", hint="pass bins to FitResult.from_parts")
    labels = record["bin"].values
    if bin is not None:
        return _labelled(labels, bin)
    places = xr.Dataset(
        {"place": ("bin", np.arange(labels.size))},
        coords={name: ("bin", record[name].values) for name in ("q", "phi")},
    )
    found = select(places, q=q, phi=phi)["place"].values
    if found.size != 1:
        offer = ", ".join(_name(record, place) for place in found[:8])
        raise ConfigurationError(f"{found.size} bins fit q={q}, phi={phi}: {offer}", expected="one bin")
    return int(found[0])


def model_map(
    model: Any, parameters: NDArray[np.float64], one: xr.Dataset, t: NDArray[np.float64], gap: float | None
) -> xr.DataArray:
    """Model of c2 in one bin: offset + contrast * M.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    parameters : array, shape (p,)
    one : xarray.Dataset
        Scalars ``contrast``, ``offset``, ``q``, ``phi``.
    t : array
        Times in s (two-time model) or lags in s (one-time model).
    gap : float or None
        Å.

    Returns
    -------
    xarray.DataArray
        On (t1, t2), or on (tau,) for a one-time model.
    """
    q, phi = float(one["q"]), float(one["phi"])
    dims: tuple[str, ...] = ("tau",) if model.one_time else ("t1", "t2")
    if model.one_time:
        values = model.correlation(parameters, t, q=q, phi=phi)
    else:
        values = np.empty((t.size, t.size))
        for start in range(0, t.size, _ROWS):
            rows = slice(start, start + _ROWS)
            values[rows] = model.correlation(parameters, t[rows, None], t[None, :], q=q, phi=phi, gap=gap)
    coords: dict[str, Any] = {name: (name, t, {"units": "s"}) for name in dims}
    scaled = float(one["offset"]) + float(one["contrast"]) * values
    attrs = {"long_name": "model of c2", "units": "1"}
    return xr.DataArray(scaled, dims=dims, coords={**coords, "q": q, "phi": phi}, name="model", attrs=attrs)


def measured_map(dataset: xr.Dataset, q: float, phi: float) -> xr.DataArray:
    """Measured c2 of the bin at (q, phi), NaN in masked frames, on (t1, t2).

    Raises
    ------
    ConfigurationError
        The dataset has no c2, or not this bin.
    """
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


def _labelled(labels: np.ndarray, bin: int) -> int:
    found = np.flatnonzero(labels == bin)
    if found.size != 1:
        raise ConfigurationError(f"no bin {bin!r}", expected=f"one of {labels.tolist()}")
    return int(found[0])


def _name(record: xr.Dataset, place: int) -> str:
    return f"(q={float(record['q'][place]):.6g}, phi={float(record['phi'][place]):.6g})"
