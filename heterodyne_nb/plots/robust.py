"""What a min-max fit guards against: its price, gain and worst case, and what changes as its radius grows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.bin_model import BinModel
from heterodyne_nb.plots.comparison import pixel_noise, residual_of, three_maps
from heterodyne_nb.plots.curves import symbol
from heterodyne_nb.plots.maps import Limits, MapView, read_map, reduced_curve
from heterodyne_nb.plots.select import Choice, fit_result, frame_times, need, one_bin, used_frames

_DATA, _WORST = "data as they are", "worst case"
_NAMES = {
    "q_scale": "q scale",
    "phi_zero_deg": "zero of φ",
    "frame_time": "frame time",
    "baseline": "baseline drift",
    "frame_stripe": "frames, block",
}
#: Above this ratio of the largest to the smallest value an axis is logarithmic.
_WIDE = 4.0
_MOST_BARS = 16
_UNITS = {
    "wasserstein": "radius (relative)",
    "scenario": "radius (1: worst sample)",
    "ellipsoidal": "radius (tolerances)",
}
_CHI2 = (
    ("nominal", "robust fit, data as they are", "solid", 0),
    ("worst_case", "robust fit, worst case", "solid", 1),
    ("worst_case_nominal", "plain fit, worst case", "dot", 1),
)
#: Values below this part of a curve's largest count as zero where changes are relative.
_ZERO = 1e-3
_PANEL_HEIGHT = 260


def worst_case(result: Any, *, theme: str = "light") -> go.Figure:
    """Price and gain of a robust fit, and the worst case it guards against.

    Left: reduced chi-square of the data as they are, and in the worst case, for the plain fit it started
    from and for the robust fit. A robust fit pays a little of the former for less of the latter. Right: the
    worst case itself, by method: the errors of the instrument, the parameters it leans on, or the bootstrap
    samples.

    Parameters
    ----------
    result : FitResult
        Of :func:`heterodyne_nb.fit_robust`.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result is of a plain fit.
    """
    robust = robust_record(result)
    figure = canvas.panels(
        f"Worst case of the {robust['method']} fit, radius {robust['radius']:.3g}",
        f"{robust['words']}<br>certificate: the inner maximum, found without the program, agrees with it to "
        f"{robust['relative_gap']:.1g}",
        theme=theme,
        height=430,
        rows=1,
        cols=2,
        column_widths=[0.42, 0.58],
        horizontal_spacing=0.2,
    )
    values = [_add_price(figure, robust, label, k, theme) for k, label in enumerate((_DATA, _WORST))]
    figure.update_yaxes(title_text="reduced χ²", **room_around(np.array(values)), row=1, col=1)
    figure.update_xaxes(range=[-0.4, 1.4], row=1, col=1)
    draw = _WHAT.get(robust["method"])
    if draw is not None:
        draw(figure, robust, theme)
    return canvas.legend_below(figure)


def room_around(values: np.ndarray) -> dict[str, Any]:
    """Axis that holds the values, logarithmic where they are far apart."""
    if values.max() > _WIDE * values.min():
        ends = np.log10(values.min()), np.log10(values.max())
        style = canvas.log_axis(few=True)
    else:
        ends, style = (values.min(), values.max()), {}
    margin = 0.2 * (ends[1] - ends[0]) or 0.1
    return {**style, "range": [ends[0] - margin, ends[1] + margin]}


def robust_record(result: Any) -> dict[str, Any]:
    """What a robust fit certifies.

    Raises ConfigurationError: If the result is of a plain fit.
    """
    found = getattr(fit_result(result), "robust", None)
    if not found:
        raise ConfigurationError(
            "this is the result of a plain fit", where="result", expected="a result of fit_robust"
        )
    return dict(found)


def _add_price(figure: go.Figure, robust: dict[str, Any], label: str, index: int, theme: str) -> list[float]:
    key = "nominal" if label == _DATA else "worst_case"
    values = [float(robust[f"{key}_before"]), float(robust[key])]
    colour = canvas.line_colour(index, theme)
    figure.add_trace(
        go.Scatter(
            x=["plain fit", "robust fit"],
            y=values,
            name=label,
            mode="lines+markers+text",
            text=[f"{value:.4g}" for value in values],
            textposition=["middle left", "middle right"],
            line={"color": colour, "width": 2, "dash": "solid" if index == 0 else "dash"},
            marker={"color": colour, "size": 9},
            cliponaxis=False,
            hovertemplate=f"%{{x}}, {label}: %{{y:.5g}}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    return values


def _instrument(figure: go.Figure, robust: dict[str, Any], theme: str) -> None:
    """Errors of the instrument in units of their tolerances."""
    parts = robust["perturbation"]
    number = iter(range(1, len(parts) + 1))
    names = [
        _NAMES.get(p["name"], p["name"]) + (f" {next(number)}" if p["name"] == "frame_stripe" else "")
        for p in parts
    ]
    hover = [f"{name}: {part['value']:+.3g}" for name, part in zip(names, parts, strict=True)]
    _bars(figure, names, [p["tolerances"] for p in parts], hover, theme)
    reach = 1.1 * max(1.0, *(abs(part["tolerances"]) for part in parts))
    figure.update_xaxes(
        title_text="worst error of the instrument (tolerances)", range=[-reach, reach], row=1, col=2
    )
    figure.add_vline(x=0, line={"width": 1, "color": canvas.faint(theme)}, row=1, col=2)


def _directions(figure: go.Figure, robust: dict[str, Any], theme: str) -> None:
    """Parameters that the worst law leans on."""
    shares = sorted(robust["perturbation"].items(), key=lambda item: -item[1])[:_MOST_BARS]
    names = [name for name, _ in shares]
    _bars(figure, names, [100 * share for _, share in shares], [f"{n}: {s:.1%}" for n, s in shares], theme)
    figure.update_xaxes(title_text="share of the worst shift (%)", rangemode="tozero", row=1, col=2)


def _bars(figure: go.Figure, names: list[str], values: list[float], hover: list[str], theme: str) -> None:
    figure.add_trace(
        go.Bar(
            x=values, y=names, orientation="h", showlegend=False, width=min(0.6, 0.12 * len(names)),
            marker={"color": canvas.line_colour(1, theme)},
            customdata=hover, hovertemplate="%{customdata}<extra></extra>",
        ),
        row=1,
        col=2,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, row=1, col=2)


def _samples(figure: go.Figure, robust: dict[str, Any], theme: str) -> None:
    """Values of the bootstrap samples in order; those that hold the answer stand out."""
    values = np.asarray(robust["scenario_values"], dtype=float)
    order = np.argsort(values)
    active = np.isin(order, robust["active_scenarios"])
    rank = np.arange(1, values.size + 1)
    for held, label in ((False, "samples"), (True, "samples that hold the answer")):
        chosen = active == held
        figure.add_trace(
            go.Scatter(
                x=rank[chosen],
                y=values[order][chosen],
                name=label,
                mode="markers",
                marker={
                    "color": canvas.line_colour(1 if held else 2, theme),
                    "size": 9 if held else 6,
                    "symbol": "diamond" if held else "circle",
                },
                customdata=order[chosen],
                hovertemplate="sample %{customdata}: %{y:.5g}<extra></extra>",
            ),
            row=1,
            col=2,
        )
    line = {"dash": "dash", "width": 1, "color": canvas.faint(theme)}
    figure.add_hline(y=robust["nominal"], line=line, row=1, col=2)
    figure.update_xaxes(title_text="bootstrap samples, in order", row=1, col=2)
    figure.update_yaxes(title_text="reduced χ² of the sample", row=1, col=2)


_WHAT = {"ellipsoidal": _instrument, "wasserstein": _directions, "scenario": _samples}


@formerly(ds="dataset")
def worst_case_maps(
    dataset: xr.Dataset,
    result: Any,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    percentiles: Limits = (1.0, 99.0),
    limits: Limits | None = None,
    max_size: int = 400,
    theme: str = "light",
) -> go.Figure:
    """Model as fitted | with the worst instrument | their difference in σ, of an ellipsoidal fit.

    Contrast and offset are fitted to the bin for the worst instrument too, as the fit itself does.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data that were fitted.
    result : FitResult
        Of :func:`heterodyne_nb.fit_robust` with method ``"ellipsoidal"``.
    q, phi, bin, percentiles, limits, max_size, theme
        As in :func:`comparison`.

    Raises
    ------
    ConfigurationError
        If there is no such bin, or the worst case of this fit is no instrument.
    """
    need(dataset, "c2", "the model of a bin")
    robust = robust_record(result)
    if not isinstance(robust.get("perturbation"), list):
        raise ConfigurationError(
            f"the worst case of a {robust['method']} fit is no instrument, so it has no map of its own",
            where="result",
            expected="an ellipsoidal fit",
            hint="plots.worst_case draws what it is",
        )
    chosen = one_bin(dataset, q=q, phi=phi, bin=bin)
    data = read_map(dataset, chosen, max_size, diagonal=False)
    fitted, worst = models_of(dataset, result, BinModel.of(result, chosen), robust["perturbation"], data)
    noise = pixel_noise(dataset, chosen)
    return three_maps(
        dataset,
        (fitted, worst, residual_of(worst, fitted, noise.sigma)),
        title=f"Worst instrument, {chosen.label}",
        note=f"{robust['words']} · σ = {noise.sigma:.3g}, {noise.origin}",
        names=("as fitted", "with the worst instrument", "(worst − fitted) / σ"),
        colours=(percentiles, limits),
        least=1e-6,
        theme=theme,
    )


def models_of(
    dataset: xr.Dataset, result: Any, one: BinModel, errors: list[dict[str, Any]], data: MapView
) -> tuple[MapView, MapView]:
    """Model of a bin as fitted, and with the instrument off by `errors`, blank where the data are."""
    times, used = frame_times(dataset), used_frames(dataset)
    frames = np.arange(times.size)
    fitted = one.reduced(times, used, frames, frames, data.factor)
    off = {part["name"]: part["value"] for part in errors}
    wrong = replace(
        one, q=one.q * (1 + off.get("q_scale", 0.0)), phi=one.phi + off.get("phi_zero_deg", 0.0),
        contrast=1.0, offset=0.0,
    )  # fmt: skip
    shape = wrong.reduced(times * (1 + off.get("frame_time", 0.0)), used, frames, frames, data.factor)
    added = _added(errors, times.size, data.factor)
    known = np.isfinite(data.values) & np.isfinite(shape)
    design = np.stack([shape[known], np.ones(int(known.sum()))], axis=1)
    if not known.any():
        raise ConfigurationError("this bin has no data", where="bin")
    contrast, offset = np.linalg.lstsq(design, (data.values - added)[known], rcond=None)[0]
    worst = contrast * shape + offset + added
    return tuple(data.with_values(np.where(known, values, np.nan)) for values in (fitted, worst))  # type: ignore[return-value]


def _added(errors: list[dict[str, Any]], size: int, factor: int) -> np.ndarray:
    """c2 that a drift of the baseline and shifted blocks of frames add, as block means of frames."""
    drift = sum(part["value"] for part in errors if part["name"] == "baseline")
    along = reduced_curve(drift * np.linspace(-0.5, 0.5, size), factor)
    total = 0.5 * (along[:, None] + along)
    shifts = [part["value"] for part in errors if part["name"] == "frame_stripe"]
    edges = np.rint(np.linspace(0, size, len(shifts) + 1)).astype(int)
    for shift, first, last in zip(shifts, edges[:-1], edges[1:], strict=True):
        inside = np.zeros(size)
        inside[first:last] = 1.0
        share = reduced_curve(inside, factor)
        total = total + shift * (share[:, None] + share - share[:, None] * share)
    return np.asarray(total)


def radius_path(path: xr.Dataset, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square against the radius, and how far each curve moves from the plain fit.

    The radius worth taking lies before the first line turns up: there the worst case has been lowered for
    hardly anything.

    Parameters
    ----------
    path : xarray.Dataset
        As :func:`heterodyne_nb.radius_path` returns it: ``nominal``, ``worst_case`` and where known
        ``worst_case_nominal`` on ``radius``; curves on (radius, t), the first radius being the plain fit.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no such path, or has one radius only.
    """
    for name in ("nominal", "worst_case"):
        need(path, name, "a path of radii")
    if path.sizes["radius"] < 2:
        raise ConfigurationError("one radius makes no path", where="path", expected="two radii or more")
    method = str(path.attrs.get("method", "robust"))
    names = [str(name) for name in path.data_vars if path[name].dims == ("radius", "t")]
    columns = 1 if not names else min(3, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    figure = canvas.panels(
        f"Price of robustness, {method} fits",
        _note(path),
        theme=theme,
        height=180 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        subplot_titles=["price and gain", *(f"change of {symbol(name)} (%)" for name in names)],
        horizontal_spacing=0.1,
        vertical_spacing=0.2 if rows > 1 else 0.0,
    )
    _add_chi2(figure, path, theme)
    figure.update_xaxes(title_text=_UNITS.get(method, "radius"), row=1, col=1)
    drawn = np.concatenate([path[name].values for name, *_ in _CHI2 if name in path])
    figure.update_yaxes(title_text="reduced χ²", **room_around(drawn), row=1, col=1)
    for k, name in enumerate(names, start=1):
        _add_changes(figure, path, name, canvas.cell(k, columns), theme, first=k == 1)
        figure.update_xaxes(title_text="t (s)", **canvas.cell(k, columns))
    return canvas.legend_below(figure, 52)


def _note(path: xr.Dataset) -> str:
    auto = path.attrs.get("auto_radius")
    words = ["changes against the plain fit, one line a radius"]
    if auto is not None:
        dashed = "dashed: " if _reached(path) else ""
        words.insert(0, f"{dashed}the rule of this method takes radius {float(auto):.3g}")
    return " · ".join(words)


def _reached(path: xr.Dataset) -> bool:
    """Whether the path goes as far as the radius that the rule takes."""
    return float(path.attrs.get("auto_radius", np.inf)) <= 1.05 * float(path["radius"].max())


def _add_chi2(figure: go.Figure, path: xr.Dataset, theme: str) -> None:
    radius = np.asarray(path["radius"].values, dtype=float)
    for name, label, dash, colour in _CHI2:
        if name not in path:
            continue
        line = {"color": canvas.line_colour(colour, theme), "dash": dash, "width": 2}
        figure.add_trace(
            go.Scatter(
                x=radius, y=path[name].values, name=label, mode="lines+markers", line=line,
                marker={"size": 6}, hovertemplate=f"{label}<br>radius %{{x:.3g}}: %{{y:.4g}}<extra></extra>",
            ),
            row=1,
            col=1,
        )  # fmt: skip
    if _reached(path):
        line = {"dash": "dash", "width": 1, "color": canvas.faint(theme)}
        figure.add_vline(x=float(path.attrs["auto_radius"]), line=line, row=1, col=1)


def _add_changes(
    figure: go.Figure, path: xr.Dataset, name: str, place: dict[str, int], theme: str, *, first: bool
) -> None:
    radius = np.asarray(path["radius"].values, dtype=float)
    changes = relative_changes(path[name].transpose("radius", "t").values)
    for k, colour in enumerate(canvas.ordered_colours(radius.size - 1, theme), start=1):
        label = f"radius {radius[k]:.3g}"
        figure.add_trace(
            go.Scatter(
                x=path["t"].values,
                y=100 * changes[k],
                name=label,
                legendgroup=label,
                showlegend=first,
                mode="lines",
                line={"color": colour, "width": 1.6},
                hovertemplate=f"{label}<br>t = %{{x:.4g}} s: %{{y:+.3g}} %<extra></extra>",
            ),
            **place,
        )


def relative_changes(curves: np.ndarray) -> np.ndarray:
    """Change of each row of (radius, t) against the first, as a part of that; NaN where that is zero."""
    plain = curves[0]
    zero = np.abs(plain) <= _ZERO * np.max(np.abs(plain), initial=0.0)
    return np.where(zero, np.nan, curves - plain) / np.where(zero, 1.0, plain)
