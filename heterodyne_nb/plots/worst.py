"""What a min-max fit guards against: its price, and the worst case it found."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import fit_result

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
        style: dict[str, Any] = {"type": "log", "tickformat": "~g", "dtick": "D2"}
    else:
        ends, style = (values.min(), values.max()), {}
    margin = 0.2 * (ends[1] - ends[0]) or 0.1
    return {**style, "range": [ends[0] - margin, ends[1] + margin]}


def robust_record(result: Any) -> dict[str, Any]:
    """What a robust fit certifies.

    Raises
    ------
    ConfigurationError
        If the result is of a plain fit.
    """
    found = getattr(fit_result(result), "robust", None)
    if not found:
        raise ConfigurationError(
            "this is the result of a plain fit", where="result", expected="a result of fit_robust"
        )
    return found


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
