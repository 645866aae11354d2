"""Parameters of many fits against q, age, or whatever else tells the fits apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import need
from heterodyne_nb.text.escaping import in_figure

_AXES = {"q": "q (Å⁻¹)", "phi": "φ (°)", "age": "age (s)", "t": "t (s)"}
#: More parameters than this stand in three columns.
_MANY = 8
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
        As :func:`heterodyne_nb.result.batch.batch_table` makes it: ``parameters(…, parameter)`` and
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
    known_coordinate(batch, against)
    names = _chosen(batch, parameters)
    return draw_against(
        batch, against, names, title="Parameters", note="error bars: one standard error", log=log, theme=theme
    )


def known_coordinate(batch: xr.Dataset, against: str) -> None:
    """Raise ConfigurationError, naming those there are, if a batch has no such coordinate."""
    if against not in batch.coords or against in ("parameter", "t"):
        offered = sorted(str(c) for c in batch.coords if c not in ("parameter", "parameter_b", "t"))
        raise ConfigurationError(f"no coordinate {against!r}", where="against", expected=f"one of {offered}")


def draw_against(
    batch: xr.Dataset, against: str, names: Sequence[str], *, title: str, note: str, log: bool, theme: str
) -> go.Figure:
    """One panel for each of some parameters, one line for each value of the other dimensions.

    Parameters
    ----------
    batch, against, log, theme
        As for :func:`parameters_against`.
    names : sequence of str
    title, note : str
        What is drawn, and what its error bars are.
    """
    values = batch["parameters"]
    axis = _AXES.get(against) or canvas.quantity(against, str(batch[against].attrs.get("units", "1")))
    figure = _empty(
        batch, names, f"{title} against {axis.partition(' ')[0]}", f"{note}{_trust_note(batch)}", theme
    )
    figure.update_xaxes(type="log" if log else None)
    for column in range(_columns(names)):
        last = max(k for k in range(len(names)) if k % _columns(names) == column)
        figure.update_xaxes(title_text=axis, showticklabels=True, **canvas.cell(last, _columns(names)))
    fits = _lines(values, against)
    colours = [canvas.line_colour(0, theme)] if len(fits) == 1 else canvas.ordered_colours(len(fits), theme)
    for k, name in enumerate(names):
        for (label, place), colour in zip(fits, colours, strict=True):
            line = batch.sel(parameter=name).isel(place)
            figure.add_trace(_line(line, against, label, colour, theme), **canvas.cell(k, _columns(names)))
            figure.data[-1].showlegend = k == 0 and len(fits) > 1
    return canvas.legend_below(figure, 52)


def _chosen(batch: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    names = [str(name) for name in batch["parameter"].values]
    if wanted is not None:
        unknown = sorted(set(wanted) - set(names))
        if unknown:
            raise ConfigurationError(f"no parameter {unknown[0]!r}", where="parameters", expected=str(names))
        return list(wanted)
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


def _columns(names: Sequence[str]) -> int:
    return min(2 if len(names) <= _MANY else 3, len(names))


def _empty(batch: xr.Dataset, names: Sequence[str], title: str, note: str, theme: str) -> go.Figure:
    columns = _columns(names)
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
