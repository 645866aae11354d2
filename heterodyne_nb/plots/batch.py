"""Parameters, and curves at one time, of many fits against q, age, or whatever else tells the fits apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import frame_step, need
from heterodyne_nb.text.escaping import in_figure

_AXES = {"q": "q (Å⁻¹)", "phi": "φ (°)", "age": "age (s)", "t": "t (s)"}
#: More parameters than this stand in three columns.
_MANY = 8
#: What of a batch holds for its curves as for its parameters.
_KEPT = ("trusted", "flags")
_PANEL_HEIGHT = 230


def parameters_against(
    batch: xr.Dataset,
    against: str,
    *,
    parameters: Sequence[str] | None = None,
    log: bool = False,
    theme: str = "light",
) -> go.Figure:
    """Fitted parameters against one coordinate of a batch, with errors and trust flags.

    Parameters
    ----------
    batch : xarray.Dataset
        As :func:`heterodyne_nb.result.batch_table` makes it: ``parameters(…, parameter)`` and
        ``stderr``, further dimensions numbering the fits; where known ``trusted(…)``, ``flags(…)`` (words:
        why not), ``status(…, parameter)``, ``unit(parameter)``.
    against : str
        Coordinate for the horizontal axis, e.g. ``"q"`` or ``"age"``. Fits that differ in another
        dimension become one line each.
    parameters : sequence of str, optional
        Which to draw. Default: those that vary or have an error.
    log : bool
        Logarithmic horizontal axis.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such coordinate or parameter (it lists those there are).
    """
    need(batch, "parameters", "parameters against a coordinate")
    _known_coordinate(batch, against)
    names = _chosen(batch, parameters)
    return _draw_against(
        batch, against, names, title="Parameters", note="error bars: one standard error", log=log, theme=theme
    )


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
    _known_coordinate(batch, against)
    names = _names(batch, curves)
    at = _curves_at(batch, names, t)
    when = "in the middle of each run" if t is None else f"at t = {t:g} s"
    note = f"{when} · error bars: 95 % band"
    return _draw_against(at, against, names, title="Curves", note=note, log=log, theme=theme)


def _known_coordinate(batch: xr.Dataset, against: str) -> None:
    """Raise ConfigurationError, naming those there are, if a batch has no such coordinate."""
    if against not in batch.coords or against in ("parameter", "t"):
        offered = sorted(str(c) for c in batch.coords if c not in ("parameter", "parameter_b", "t"))
        raise ConfigurationError(f"no coordinate {against!r}", where="against", expected=f"one of {offered}")


def _draw_against(
    batch: xr.Dataset, against: str, names: Sequence[str], *, title: str, note: str, log: bool, theme: str
) -> go.Figure:
    """One panel for each of some parameters, one line for each value of the other dimensions.

    ``batch``, ``against``, ``log``, ``theme``: As for :func:`parameters_against`. ``title``, ``note``: What is drawn,
    and what its error bars are.
    """
    values = batch["parameters"]
    axis = _AXES.get(against) or canvas.quantity(against, str(batch[against].attrs.get("units", "1")))
    columns = min(2 if len(names) <= _MANY else 3, len(names))
    figure = _empty(
        batch, names, columns, f"{title} against {axis.partition(' ')[0]}", note + _trust_note(batch), theme
    )
    figure.update_xaxes(type="log" if log else None)
    for last in range(max(len(names) - columns, 0), len(names)):
        figure.update_xaxes(title_text=axis, showticklabels=True, **canvas.cell(last, columns))
    fits = _lines(values, against)
    for k, name in enumerate(names):
        for (label, place), colour in zip(fits, canvas.series_colours(len(fits), theme), strict=True):
            line = batch.sel(parameter=name).isel(place)
            figure.add_trace(_line(line, against, label, colour, theme), **canvas.cell(k, columns))
            figure.data[-1].showlegend = k == 0 and len(fits) > 1
    return canvas.legend_below(figure, 52)


def _chosen(batch: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    names = [str(name) for name in batch["parameter"].values]
    if wanted is not None:
        return _among(names, wanted, "parameter")
    moving = [name for name in names if _says_something(batch, name)]
    return moving or names


def _says_something(batch: xr.Dataset, name: str) -> bool:
    values = np.asarray(batch["parameters"].sel(parameter=name).values, dtype=float).ravel()
    finite = values[np.isfinite(values)]
    if finite.size and np.ptp(finite) > 0:
        return True
    return "stderr" in batch and bool((np.asarray(batch["stderr"].sel(parameter=name)) > 0).any())


def _lines(values: xr.DataArray, against: str) -> list[tuple[str, dict[str, int]]]:
    """One entry a line: its label and the place of its fits in the dimensions not drawn along x."""
    along = set(values[against].dims)
    others = [str(dim) for dim in values.dims if dim != "parameter" and dim not in along]
    if not others:
        return [("fits", {})]
    places = np.ndindex(*(values.sizes[dim] for dim in others))
    return [(_label(values, others, place), dict(zip(others, place, strict=True))) for place in places]


def _label(values: xr.DataArray, dims: list[str], place: tuple[int, ...]) -> str:
    words = []
    for dim, k in zip(dims, place, strict=True):
        here = values[dim].values[k] if dim in values.coords else k
        shown = f"{here:.4g}" if isinstance(here, float | np.floating) else in_figure(here)
        head, _, unit = _AXES.get(dim, dim).partition(" ")
        words.append(f"{head} = {shown} {unit.strip('()')}".strip())
    return ", ".join(words)


def _empty(
    batch: xr.Dataset, names: Sequence[str], columns: int, title: str, note: str, theme: str
) -> go.Figure:
    rows = -(-len(names) // columns)
    height = 170 + _PANEL_HEIGHT * rows
    return canvas.panels(
        title,
        note,
        theme=theme,
        height=height,
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        subplot_titles=[canvas.quantity(name, _unit(batch, name)) for name in names],
        horizontal_spacing=0.1,
        vertical_spacing=50 / height if rows > 1 else 0.0,
    )


def _unit(batch: xr.Dataset, name: str) -> str:
    return str(batch["unit"].sel(parameter=name).values) if "unit" in batch else "1"


def _line(line: xr.Dataset, against: str, label: str, colour: str, theme: str) -> go.Scatter:
    x = np.atleast_1d(line[against].values)
    order = np.argsort(x, kind="stable")
    x = np.array([in_figure(name) for name in x]) if x.dtype.kind in "OU" else x
    value = np.atleast_1d(line["parameters"].values).astype(float)[order]
    sides = ("above", "below") if "above" in line else ("stderr",) * 2
    errors = [_along(line, side).astype(float)[order] for side in sides if side in line]
    bars = dict(zip(("array", "arrayminus"), errors, strict=False))
    trusted, why = _trust(line, x.size)
    fill = [colour if good else canvas.paper(theme) for good in trusted[order]]
    return go.Scatter(
        x=x[order],
        y=value,
        name=label,
        legendgroup=label,
        mode="lines+markers",
        line={"color": canvas.band_colour(colour, 0.45), "width": 1},
        marker={"color": fill, "size": 8, "line": {"color": colour, "width": 1.5}},
        error_y={**bars, "color": colour, "thickness": 1.2, "width": 3} if bars else None,
        text=why[order],
        hovertemplate="%{x}: %{y:.5g}<br>%{text}",
    )


def _along(line: xr.Dataset, name: str) -> np.ndarray:
    """Values of a variable, one for each fit of the line."""
    return np.atleast_1d(line[name].broadcast_like(line["parameters"]).values)


def _trust(line: xr.Dataset, size: int) -> tuple[np.ndarray, np.ndarray]:
    trusted = _along(line, "trusted").astype(bool) if "trusted" in line else np.ones(size, dtype=bool)
    why = np.where(trusted, "trusted", "not trusted").astype(object)
    if "flags" in line:
        flags = _along(line, "flags").astype(str)
        why = np.where(flags == "", why, flags).astype(object)
    if "status" in line:
        loose = _along(line, "status") == "not determined"
        trusted, why = trusted & ~loose, np.where(loose, "not determined", why).astype(object)
    return trusted, why


def _trust_note(batch: xr.Dataset) -> str:
    if "trusted" not in batch:
        return ""
    trusted = np.asarray(batch["trusted"].values, dtype=bool)
    doubted = f"{(~trusted).sum()} of {trusted.size} fits"
    return f" · open: not trusted ({doubted}) or not determined"


def _names(batch: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    known = [str(name) for name in batch.data_vars if f"{name}_lower" in batch and "t" in batch[name].dims]
    if not known:
        raise ConfigurationError("these fits keep no curves in time", where="batch")
    return _among(known, wanted or known, "curve")


def _among(known: Sequence[str], wanted: Sequence[str], what: str) -> list[str]:
    """The names that are wanted, or ConfigurationError if one is none of those there are."""
    for name in wanted:
        if name not in known:
            raise ConfigurationError(f"no {what} {name!r}", where=f"{what}s", expected=f"any of {known}")
    return list(wanted)


def _curves_at(batch: xr.Dataset, names: Sequence[str], t: float | None) -> xr.Dataset:
    """Batch with curves at one time in place of parameters: ``parameters``, ``above`` and ``below`` (reach of the band), ``unit``.

    Raises ConfigurationError: If no fit covers the time.
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
