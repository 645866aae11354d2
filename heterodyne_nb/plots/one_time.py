"""One-time fits in figures: g2 of many bins with fits and residuals, and what they give against q with power laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import Bin, all_bins, need, of_one_run, one_bin

#: Most panels of a grid, and lags of a smooth line.
_MOST, _SMOOTH = 36, 120
_PANEL = 190
#: Units of rates and times, which go by powers of q.
_SCALED = ("1/s", "rad/s", "s")


class PowerLaw(NamedTuple):
    """y = amplitude · q^exponent, with the standard error of the exponent."""

    amplitude: float
    exponent: float
    error: float


@of_one_run
def g2_grid(
    dataset: xr.Dataset,
    result: Any = None,
    *,
    bins: Sequence[int] | None = None,
    columns: int = 4,
    theme: str = "light",
) -> go.Figure:
    """g2 of every bin in a panel of its own, with the fit and, below, residuals in units of the error.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``g2(q, phi, tau)`` and, where known, ``g2_err``.
    result : FitResult or Dataset, optional
        A one-time fit, or the table of :func:`heterodyne_nb.fit_batch` along q, phi or bin.
    bins : sequence of int, optional
        Which bins, by number. Default: all, or 36 evenly spread ones where there are more.
    columns : int
        Panels side by side.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        The data have no g2, or the result is not of one-time data.
    """
    need(dataset, "g2", "a grid of g2")
    every = all_bins(dataset)
    chosen = [every[k] for k in bins] if bins is not None else every
    if len(chosen) > _MOST:
        chosen = [chosen[k] for k in np.unique(np.linspace(0, len(chosen) - 1, _MOST).round().astype(int))]
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    stacked = 2 if result is not None else 1
    note = f"{len(chosen)} of {len(every)} bins" if len(chosen) < len(every) else f"{len(every)} bins"
    known = "g2_err" in dataset and bool(np.isfinite(dataset["g2_err"]).any())
    if result is not None:
        note += "; below each: " + ("(data − fit) / error" if known else "data − fit")
    titles = [one.label for one in chosen] + [""] * (rows * columns - len(chosen))
    figure = canvas.panels(
        "One-time correlation", note, theme=theme, height=140 + rows * int(_PANEL * (1.5 if result is not None else 1)),
        rows=rows * stacked, cols=columns,
        row_heights=[1.0, 0.45] * rows if result is not None else None, vertical_spacing=0.25 / (rows * stacked + 1),
        subplot_titles=[
            title
            for first in range(0, rows * columns, columns)
            for title in titles[first : first + columns] + [""] * columns * (stacked - 1)
        ],
    )  # fmt: skip
    for k, one in enumerate(chosen):
        place = {"row": stacked * (k // columns) + 1, "col": k % columns + 1}
        below = {**place, "row": place["row"] + stacked - 1}
        last = k + columns >= len(chosen)
        tau, g2, error = _curve(dataset, one)
        figure.add_trace(
            _points(tau, g2, error, canvas.line_colour(0, theme), meta=[one.q, one.phi], name=one.label),
            **place,
        )
        figure.update_xaxes(**canvas.log_ticks(tau), showticklabels=last and stacked == 1, **place)
        if place["col"] == 1:
            figure.update_yaxes(title_text="g₂(τ)", **place)
        if result is not None and np.any(tau > 0):
            smooth = np.geomspace(tau[tau > 0][0], tau[-1], _SMOOTH)
            line = {"color": canvas.line_colour(1, theme), "width": 2}
            figure.add_trace(
                go.Scatter(
                    x=smooth, y=_model(result, one, smooth), mode="lines", line=line, name="fit", showlegend=False
                ),
                **place,
            )  # fmt: skip
            left = g2 - _model(result, one, tau)
            pull = left / np.where(error > 0, error, np.nan) if known else left
            figure.add_trace(
                _points(tau, pull, np.full(tau.size, np.nan), canvas.line_colour(0, theme)), **below
            )
            figure.add_hline(y=0, line={"color": canvas.faint(theme), "width": 1}, **below)
            figure.update_xaxes(**canvas.log_ticks(tau), showticklabels=last, **below)
        if last:
            figure.update_xaxes(title_text="lag τ (s)", **below)
    figure.update_layout(showlegend=False)
    figure.update_annotations(font_size=11)
    return figure


def _points(x: np.ndarray, y: np.ndarray, error: np.ndarray, colour: str, **more: Any) -> go.Scatter:
    bars = {"array": error, "thickness": 1, "width": 0, "color": canvas.band_colour(colour, 0.6)}
    return go.Scatter(
        x=x, y=y, mode="markers", marker={"color": colour, "size": 4, **more.pop("marker", {})}, showlegend=False,
        error_y=bars if np.isfinite(error).any() else None, **more,
    )  # fmt: skip


def _curve(ds: xr.Dataset, one: Bin) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    here = ds[[name for name in ("g2", "g2_err") if name in ds]].isel(one.place)
    if here["g2"].ndim != 1:
        raise ConfigurationError(
            f"g2 has dimensions {here['g2'].dims} in one bin",
            where="g2",
            expected="tau alone",
            hint="choose an age",
        )
    g2 = np.asarray(here["g2"].values, float)
    error = np.asarray(here["g2_err"].values, float) if "g2_err" in here else np.full(g2.size, np.nan)
    tau = np.asarray(here["tau"].values, float)
    order = np.argsort(tau)
    return tau[order], g2[order], error[order]


def _model(fit: Any, one: Bin, tau: np.ndarray) -> np.ndarray:
    """Fitted g2 of a bin of the data at lags in s; NaN where the fit has no such bin."""
    if not isinstance(fit, xr.Dataset):
        return np.asarray(fit.model_map(q=one.q, phi=one.phi, t=tau).values)
    along = next((name for name in ("q", "phi", "bin") if name in fit["parameters"].dims), None)
    if along is None:
        raise ConfigurationError("the table does not run along q, phi or bin", where="fit")
    if along == "bin":
        row = fit.isel(bin=one.number)
    else:
        row = fit.sel({along: getattr(one, along)}, method="nearest")
        if not np.isclose(float(row[along]), getattr(one, along), rtol=1e-6, atol=1e-9):
            return np.full(tau.size, np.nan)
    model = ModelFactory.create_model(str(fit.attrs["mode"]))
    m = model.correlation(row["parameters"].values, tau, q=one.q, phi=one.phi)
    return float(row["offset"]) + float(row["contrast"]) * np.asarray(m)


def g2_comparison(dataset: xr.Dataset, result: Any, *, theme: str = "light", **choice: Any) -> go.Figure:
    """g2 of one bin with its fit and residuals; ``choice`` (q, phi, bin) as in :func:`g2_cuts`."""
    return g2_grid(dataset, result, bins=[one_bin(dataset, **choice).number], theme=theme)


def one_time_parameters(
    result: Any,
    names: Sequence[str] | None = None,
    *,
    against: str = "q",
    power_laws: bool = True,
    theme: str = "light",
) -> go.Figure:
    """Rates, relaxation times, exponents and contrast against q, with power laws and their exponents.

    Parameters
    ----------
    result : FitResult or Dataset
        A one-time fit whose parameters differ from bin to bin, or the table of :func:`heterodyne_nb.fit_batch`.
    names : sequence of str, optional
        Parameters, ``contrast``, ``offset``, or ``tau`` for 1/Gamma (``tau_fast`` for 1/Gamma_fast). Default: all
        that vary, tau and contrast.
    against : str
        Coordinate for the horizontal axis: ``"q"``, ``"phi"``, or that of the table (``"age"``, ``"file"``).
    power_laws : bool
        Draw y = a q^n through each rate and time, and write n with its error.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        There is no such parameter or coordinate.
    """
    table = one_time_table(result)
    if against not in table:
        raise ConfigurationError(
            f"no coordinate {against!r}", where="against", expected="q, phi or the table's own"
        )
    offered = [str(n)[: -len("_error")] for n in table.data_vars if str(n).endswith("_error")]
    wanted = list(names) if names is not None else [n for n in offered if n != "offset"]
    for name in wanted:
        if name not in offered:
            raise ConfigurationError(f"no parameter {name!r}", expected=f"one of {', '.join(offered)}")
    columns = min(2, len(wanted))
    rows = -(-len(wanted) // columns)
    figure = canvas.panels(
        f"Parameters against {against}", "error bars: one standard error; open: not to be trusted", theme=theme,
        height=140 + 240 * rows, rows=rows, cols=columns, subplot_titles=wanted,
    )  # fmt: skip
    x, trusted = table[against].values, table["trusted"].values
    for k, name in enumerate(wanted):
        place = canvas.cell(k, columns)
        y, error = table[name].values, table[f"{name}_error"].values
        colour = canvas.line_colour(k, theme)
        for good in (True, False):
            at = trusted == good
            if at.any():
                symbol = {"symbol": "circle" if good else "circle-open", "size": 7}
                figure.add_trace(_points(x[at], y[at], error[at], colour, marker=symbol), **place)
        figure.update_yaxes(
            title_text=canvas.quantity(name, str(table[name].attrs.get("units", "1"))), **place
        )
        unit = "Å⁻¹" if against == "q" else str(table[against].attrs.get("units", ""))
        figure.update_xaxes(title_text=canvas.quantity(against, unit), **place)
        scaled = table[name].attrs.get("units") in _SCALED
        if scaled and np.all(y[np.isfinite(y)] > 0):
            figure.update_yaxes(**canvas.log_ticks(y), **place)
            if against == "q":
                figure.update_xaxes(**canvas.log_ticks(x), **place)
        law = power_law(x, y, error, trusted) if scaled and power_laws and against == "q" else None
        if law is not None:
            law = _stated(result, name, law)
            ends = np.array([np.min(x), np.max(x)])
            figure.add_trace(
                go.Scatter(
                    x=ends, y=law.amplitude * ends**law.exponent, mode="lines", showlegend=False,
                    line={"color": colour, "dash": "dash"}, name=f"q^{law.exponent:.3g}",
                ), **place,
            )  # fmt: skip
            figure.layout.annotations[k].text = f"{name}: q^({law.exponent:.3f} ± {law.error:.3f})".replace(
                "-", "−"
            )
    return figure


def _stated(result: Any, name: str, law: PowerLaw) -> PowerLaw:
    """The law with the exponent and error of the fit, where the fit itself followed a power law."""
    sign, rate = (-1.0, f"Gamma{name[3:]}") if name.startswith("tau") else (1.0, name)
    if isinstance(result, xr.Dataset) or f"{rate}.n" not in result.values:
        return law
    return law._replace(exponent=sign * result.values[f"{rate}.n"], error=result.errors[f"{rate}.n"])


def power_law(
    q: np.ndarray, values: np.ndarray, errors: np.ndarray, trusted: np.ndarray | None = None
) -> PowerLaw | None:
    """The power law through values (n,) with errors, by weighted least squares of their logarithms.

    Errors are widened where the points scatter about the line by more than they say. None where fewer than two
    different q have a positive value.
    """
    good = np.isfinite(values) & (values > 0) & (q > 0)
    if trusted is not None and np.count_nonzero(good & trusted) > 1:
        good &= trusted
    if np.unique(q[good]).size < 2:
        return None
    x, y = np.log(q[good]), np.log(values[good])
    sigma = errors[good] / values[good]
    known = bool(np.all(np.isfinite(sigma) & (sigma > 0)))
    weight = 1.0 / sigma if known else np.ones(x.size)
    design = np.stack([np.ones_like(x), x], axis=1)
    (intercept, exponent), *_ = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)
    covariance = np.linalg.inv((design * weight[:, None]).T @ (design * weight[:, None]))
    freedom = x.size - 2
    scatter = float(np.sum((weight * (y - intercept - exponent * x)) ** 2)) / freedom if freedom else 1.0
    scale = max(scatter, 1.0) if known else scatter
    return PowerLaw(float(np.exp(intercept)), float(exponent), float(np.sqrt(covariance[1, 1] * scale)))


def one_time_table(result: Any) -> xr.Dataset:
    """Values and errors bin by bin (or fit by fit): ``Gamma``, ``Gamma_error``, ``tau``, …, ``contrast``, ``trusted``.

    Parameters
    ----------
    result : FitResult or Dataset
        As for :func:`one_time_parameters`. ``to_dataframe().to_csv(path)`` writes it as a table.

    Raises
    ------
    ConfigurationError
        It is neither, or holds no one-time fit.
    """
    table = _of_batch(result) if isinstance(result, xr.Dataset) else _of_result(result)
    for name in [
        str(n) for n in table.data_vars if str(n).startswith("Gamma") and not str(n).endswith("_error")
    ]:
        rate, error = table[name], table[f"{name}_error"]
        time = f"tau{name[len('Gamma') :]}"
        table[time] = (1.0 / rate).assign_attrs(units="s", long_name=f"1/{name}")
        table[f"{time}_error"] = (error / rate**2).assign_attrs(units="s")
    return table


def _of_batch(table: xr.Dataset) -> xr.Dataset:
    (along,) = (d for d in table["parameters"].dims if d != "parameter")
    out = xr.Dataset(coords={along: table[along]})
    for k, name in enumerate(map(str, table["parameter"].values)):
        about = {"units": str(table["unit"].values[k])}
        out[name] = (along, table["parameters"].values[:, k], about)
        out[f"{name}_error"] = (along, table["stderr"].values[:, k], about)
    for name in ("contrast", "offset"):
        if name in table:
            out[name] = table[name]
            out[f"{name}_error"] = table.get(f"{name}_error", xr.full_like(table[name], np.nan))
    return out.assign(trusted=table["trusted"])


def _of_result(result: Any) -> xr.Dataset:
    ds, model = result.dataset, ModelFactory.create_model(result.mode)
    if not model.one_time:
        raise ConfigurationError(
            f"{result.mode!r} is a two-time mode", where="fit", expected="a one-time fit"
        )
    out = xr.Dataset(coords={name: ("bin", ds[name].values, ds[name].attrs) for name in ("q", "phi")})
    for spec in model.parameters:
        about = {"units": spec.unit}
        for end, single in (("", result.values), ("_error", result.errors)):
            name = f"{spec.name}{end}"
            values = ds[name].values if name in ds else np.full(ds.sizes["bin"], single[spec.name])
            out[name] = ("bin", np.asarray(values, float), about)
    for name in ("contrast", "offset", "contrast_error", "offset_error"):
        if name in ds:
            out[name] = ("bin", ds[name].values, ds[name].attrs)
    seen = ds["decay"].values.astype(str) == "" if "decay" in ds else np.ones(ds.sizes["bin"], bool)
    return out.assign(trusted=("bin", seen))
