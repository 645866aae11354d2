"""Curves of many fits at one time, against q, age, or whatever else tells the fits apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.batch import draw_against, known_coordinate
from heterodyne_nb.plots.select import frame_step, need

#: What of a batch holds for its curves as for its parameters.
_KEPT = ("trusted", "flags")


def curves_against(
    batch: xr.Dataset,
    against: str,
    *,
    t: float | None = None,
    curves: Sequence[str] | None = None,
    log: bool = False,
    theme: str = "light",
) -> go.Figure:
    """Curves J, v, x of many fits at one time, with their 95 % bands as error bars.

    Parameters
    ----------
    batch : xarray.Dataset
        As :func:`heterodyne_nb.fit_batch` returns it, of a model with curves in time.
    against : str
        Coordinate for the horizontal axis, e.g. ``"q"`` or ``"age"``.
    t : float, optional
        Time in s, the nearest frame is taken. Default: of each fit the middle of its own run.
    curves : sequence of str, optional
        Which to draw. Default: all.
    log : bool
        Logarithmic horizontal axis.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such coordinate or curve, or no fit covers this time.
    """
    need(batch, "parameters", "curves against a coordinate")
    known_coordinate(batch, against)
    names = _names(batch, curves)
    at = curves_at(batch, names, t)
    when = "in the middle of each run" if t is None else f"at t = {t:g} s"
    note = f"{when} · error bars: 95 % band"
    return draw_against(at, against, names, title="Curves", note=note, log=log, theme=theme)


def _names(batch: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    known = [str(name) for name in batch.data_vars if f"{name}_lower" in batch and "t" in batch[name].dims]
    if not known:
        raise ConfigurationError("these fits keep no curves in time", where="batch")
    for name in wanted or ():
        if name not in known:
            raise ConfigurationError(f"no curve {name!r}", where="curves", expected=f"any of {known}")
    return list(wanted or known)


def curves_at(batch: xr.Dataset, names: Sequence[str], t: float | None) -> xr.Dataset:
    """Batch with curves at one time in place of parameters: ``parameters``, ``above`` and ``below`` (reach of the band), ``unit``.

    Raises
    ------
    ConfigurationError
        If no fit covers the time.
    """
    first = batch[names[0]]
    times = np.asarray(batch["t"].values, dtype=float)
    covered = np.isfinite(first.transpose(..., "t").values)
    if t is None:
        count = np.maximum(covered.sum(axis=-1), 1)
        place = np.argmax(np.cumsum(covered, axis=-1) >= ((count + 1) // 2)[..., None], axis=-1)
    else:
        nearest = int(np.argmin(np.abs(times - t)))
        place = np.full(covered.shape[:-1], nearest)
        if abs(times[nearest] - t) > frame_step(times) or not covered[..., nearest].any():
            raise ConfigurationError(
                f"no fit covers t = {t:g} s",
                where="t",
                expected=f"seconds from {times[0]:g} to {times[-1]:g}",
            )
    dims = [dim for dim in first.dims if dim != "t"]
    index = xr.DataArray(place, dims=dims)

    def stacked(suffix: str) -> xr.DataArray:
        parts = [batch[f"{name}{suffix}"].isel(t=index).drop_vars("t") for name in names]
        return xr.concat(parts, dim="parameter", combine_attrs="drop")

    value = stacked("")
    units = [str(batch[name].attrs.get("units", "1")) for name in names]
    reach = {"above": stacked("_upper") - value, "below": value - stacked("_lower")}
    found = {"parameters": value, **reach, "unit": ("parameter", units)}
    kept = {name: batch[name] for name in _KEPT if name in batch}
    coords = {
        "parameter": list(names),
        **{c: batch[c] for c in batch.coords if set(batch[c].dims) <= set(dims)},
    }
    return xr.Dataset({**found, **kept}, coords=coords)
