"""What is known, and how well: identifiability, jackknife, profiles, goodness of fit, and models side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import need, not_a
from heterodyne_nb.text.numbers import number, value_with_band
from heterodyne_nb.uncertainty.identifiability import Direction, Identifiability

#: Kind of a combination of parameters: its words, symbol, and colour.
_KINDS = {
    "determined": ("determined", "circle", 0),
    "weak": ("hardly determined", "diamond", 4),
    "null": ("not determined", "x", 1),
}
#: A combination counts as weak from this standard error on, as a part of its scale.
_WEAK = 0.5
#: Directions said in words above the panels.
_SAID = 4
#: Pixels of the row of a combination.
_ROW = 26
_OVER = {"phi": "angle", "q": "ring", "bin": "bin"}
_END_WORDS = {"reached": "reached", "bound": "at a bound", "open": "not found", "stopped": "not looked for"}
_PANEL_HEIGHT = 250
#: Profiles are drawn up to this many times the rise at the ends of the interval.
_ABOVE = 1.7
#: The colours and the axis reach at least this many errors.
_LEAST_ERRORS = 3.0
_CRITERIA = (("clic", "CLIC", "circle", 0), ("bic", "BIC", "diamond-open", 1))
#: Where the best mode stands on an axis of differences.
_BEST = 0.5


def identifiability(result: Any, *, theme: str = "light") -> go.Figure:
    """Combinations of parameters, best determined first: what they are made of, and how well each is known.

    Left, the weight of every parameter in each combination, counted in its scale (the change of it that
    would count as large); right, the standard error of the combination in the same scales. Beyond a half,
    its 95 % interval is as wide as all it could reasonably be. What is hardly or not at all determined
    stands in words above.

    Parameters
    ----------
    result : FitResult or Identifiability
    theme : {"light", "dark"}

    Raises
    ------
    OptimizationError
        If the result keeps no Gauss-Newton matrix.
    """
    found = result if isinstance(result, Identifiability) else result.identifiability()
    directions = found.directions
    rows = [str(k + 1) for k in range(len(directions))]
    figure = canvas.panels(
        "What the data determine",
        _in_words(found),
        theme=theme,
        height=260 + _ROW * len(rows),
        rows=1,
        cols=2,
        shared_yaxes=True,
        column_widths=[0.58, 0.42],
        horizontal_spacing=0.03,
        subplot_titles=["made of", "known to"],
    )
    figure.add_trace(_weights(found, rows, theme), row=1, col=1)
    ends = _precision_limits(directions)
    for trace in _precisions(directions, rows, ends[1], theme):
        figure.add_trace(trace, row=1, col=2)
    figure.update_xaxes(tickangle=-50, showgrid=False, row=1, col=1)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], type="category", showgrid=False)
    figure.update_yaxes(title_text="combination", row=1, col=1)
    figure.update_xaxes(
        title_text="standard error / scale of the parameters", **canvas.log_axis(),
        range=np.log10(ends).tolist(), showgrid=True, row=1, col=2,
    )  # fmt: skip
    figure.add_vline(x=_WEAK, line={"dash": "dash", "width": 1, "color": canvas.faint(theme)}, row=1, col=2)
    return figure.update_layout(
        legend={
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": -90 / (_ROW * len(rows)),
            "yanchor": "top",
        }
    )


def _in_words(found: Identifiability) -> str:
    """Headline, and what is open, the worst first."""
    open_ones = [d for d in reversed(found.directions) if d.kind != "determined"]
    lines = [f"{_KINDS[d.kind][0]}: {d.text}" for d in open_ones[:_SAID]]
    if len(open_ones) > _SAID:
        lines.append(f"… and {len(open_ones) - _SAID} more")
    return "<br>".join([found.headline(), *lines])


def _weights(found: Identifiability, rows: list[str], theme: str) -> go.Heatmap:
    weights = np.array([direction.weights for direction in found.directions])
    largest = np.take_along_axis(weights, np.argmax(np.abs(weights), axis=1)[:, None], axis=1)
    said = np.broadcast_to(np.array([d.text for d in found.directions])[:, None], weights.shape)
    return canvas.diverging_map(
        list(found.names),
        rows,
        weights / largest,
        1,
        theme,
        customdata=said,
        xgap=1,
        ygap=1,
        showscale=False,
        hovertemplate="%{x}: %{z:.2f} of the largest weight<br>%{customdata}<extra></extra>",
    )


def _precision_limits(directions: tuple[Direction, ...]) -> tuple[float, float]:
    """Limits of the axis of precisions; those that are infinite are drawn at its end."""
    finite = [d.precision for d in directions if 0 < d.precision < np.inf]
    low, high = min([*finite, _WEAK]), max([*finite, _WEAK])
    return low / 2, high * 10


def _precisions(
    directions: tuple[Direction, ...], rows: list[str], end: float, theme: str
) -> list[go.Scatter]:
    traces = []
    for kind, (words, symbol, colour) in _KINDS.items():
        mine = [k for k, direction in enumerate(directions) if direction.kind == kind]
        if not mine:
            continue
        precision = np.array([directions[k].precision for k in mine])
        marker = {
            "color": canvas.line_colour(colour, theme),
            "symbol": symbol,
            "size": 10,
        }
        traces.append(
            go.Scatter(
                x=np.where(np.isfinite(precision), precision, end / 2),
                y=[rows[k] for k in mine],
                mode="markers+text",
                text=["" if np.isfinite(p) else "∞" for p in precision],
                textposition="middle left",
                textfont={"size": 16},
                name=words,
                marker=marker,
                customdata=[[_relative(p), directions[k].text] for p, k in zip(precision, mine, strict=True)],
                hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
            )
        )
    return traces


def _relative(precision: float) -> str:
    return f"known to {precision:.2g} of its scale" if np.isfinite(precision) else "not known at all"


def jackknife(found: Any, *, theme: str = "light") -> go.Figure:
    """Shift of each number when one group of bins is left out, in standard errors of the whole fit.

    Parameters
    ----------
    found : Jackknife
        As :func:`heterodyne_nb.jackknife` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no jackknife.
    """
    table = getattr(found, "influence", None)
    if table is None:
        raise not_a("jackknife", found, where="found", expected="what jackknife returns")
    pull = np.asarray(table.values, dtype=float)
    reach = max(1.0, float(np.nanmax(np.abs(pull), initial=0.0)))
    rows, columns = ([str(name) for name in axis] for axis in (table.index, table.columns))
    over = str(found.dataset.attrs.get("over", "bin"))
    figure = canvas.panels(
        f"Influence of each {_OVER.get(over, over)}",
        found.verdict(),
        theme=theme,
        height=240 + 30 * len(rows),
    )
    figure.add_trace(
        canvas.diverging_map(
            columns, rows, pull, reach, theme, xgap=1, ygap=1, texttemplate="%{z:.2f}", textfont={"size": 10},
            colorbar={"title": {"text": "shift / σ"}},
            hovertemplate="without %{y}: %{x} shifts by %{z:.3g} of its standard error<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(tickangle=-40, showgrid=False, title_text=None)
    figure.update_yaxes(
        autorange="reversed", type="category", showgrid=False, title_text=f"{_OVER.get(over, over)} left out"
    )
    return figure


def profile(profiles: Any, *, theme: str = "light") -> go.Figure:
    """Rise of chi-square along each number, with its interval, its threshold, and the parabola it should be.

    Where line and parabola part, the standard error does not tell the whole story: the interval is lopsided,
    or has no end on one side.

    Parameters
    ----------
    profiles : Profiles
        As :func:`heterodyne_nb.profile` returns them, or their dataset.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If these are no profiles.
    """
    ds = profiles if isinstance(profiles, xr.Dataset) else getattr(profiles, "dataset", None)
    if ds is None:
        raise not_a("profile", profiles, where="profiles", expected="what profile returns")
    need(ds, "root", "a profile")
    level = float(ds.attrs["level"])
    threshold = float(norm.ppf(0.5 * (1 + level))) ** 2
    names = [str(name) for name in ds["quantity"].values]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = canvas.panels(
        f"Profiles of χ², {100 * level:g} % intervals",
        f"shaded: interval, where χ² has risen by less than {threshold:.3g} times its scale · "
        "dotted: the parabola that the standard error stands for",
        theme=theme,
        height=170 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        subplot_titles=[_profile_title(ds.isel(quantity=k)) for k in range(len(names))],
        horizontal_spacing=0.09,
        vertical_spacing=0.22 / max(rows - 1, 1) if rows > 1 else 0.0,
    )
    for k, name in enumerate(names):
        place = canvas.cell(k, columns)
        _add_profile(figure, ds.isel(quantity=k), threshold, place, theme, first=k == 0)
        figure.update_xaxes(title_text=canvas.quantity(name, str(ds["unit"].values[k])), nticks=5, **place)
    figure.update_yaxes(range=[0, _ABOVE * threshold], title_text=None)
    for row in range(rows):
        figure.update_yaxes(title_text="rise of χ² / its scale", row=row + 1, col=1)
    return canvas.legend_below(figure, 54)


def _profile_title(one: xr.Dataset) -> str:
    """Value and interval as a person writes them."""
    value, lower, upper = (float(one[name]) for name in ("value", "lower", "upper"))
    if np.isfinite([lower, upper]).all():
        shown = value_with_band(value, lower, upper)
    else:
        shown = f"{number(value)} [{number(lower)}, {number(upper)}]"
    ends = [f"{side} end {_END_WORDS[str(one[f'{side}_end'].values)]}" for side in ("lower", "upper")]
    return "<br>".join([shown, *(words for words in ends if not words.endswith(_END_WORDS["reached"]))])


def _add_profile(
    figure: go.Figure, one: xr.Dataset, threshold: float, place: dict[str, int], theme: str, *, first: bool
) -> None:
    known = np.isfinite(one["position"].values)
    x, root = one["position"].values[known], one["root"].values[known]
    value, error = float(one["value"]), float(one["stderr"])
    colour, faint = canvas.line_colour(0, theme), canvas.faint(theme)
    low, high, top = max(float(one["lower"]), x[0]), min(float(one["upper"]), x[-1]), _ABOVE * threshold
    shade = {"fill": "toself", "fillcolor": canvas.band_colour(colour), "line": {"width": 0}}
    near = np.linspace(x[0], x[-1], 81)
    smooth = PchipInterpolator(x, root)(near) if x.size > 1 else np.full(near.size, root[0])
    lines: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("interval", [low, high, high, low], [0, 0, top, top], shade),
        ("profile", near, smooth**2, {"line": {"color": colour, "width": 2}}),
    ]
    if np.isfinite(error) and error > 0:
        dotted = {"color": faint, "width": 1.5, "dash": "dot"}
        lines.insert(1, ("parabola", near, ((near - value) / error) ** 2, {"line": dotted}))
    for name, across, up, style in lines:
        figure.add_trace(
            go.Scatter(
                x=across, y=up, name=name, legendgroup=name, mode="lines", hoverinfo="skip",
                showlegend=first, **style,
            ),
            **place,
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=x, y=root**2, name="points", legendgroup="profile", mode="markers", showlegend=False,
            marker={"size": 5, "color": colour}, hovertemplate="%{x:.5g}: %{y:.3g} × scale<extra></extra>",
        ),
        **place,
    )  # fmt: skip
    figure.add_hline(y=threshold, line={"dash": "dash", "width": 1, "color": faint}, **place)


def goodness_of_fit(found: Any, *, theme: str = "light") -> go.Figure:
    """Residuals that all bins share, as a map of tiles and along the age, in their errors; findings in words.

    Bins are separate speckles: what their residuals have in common is no noise.

    Parameters
    ----------
    found : GoodnessOfFit
        As :func:`heterodyne_nb.goodness_of_fit` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no goodness of fit.
    """
    if not hasattr(found, "findings"):
        raise not_a("goodness of fit", found, where="found", expected="what goodness_of_fit returns")
    ds = found.dataset
    shared = np.asarray(ds["shared"].values, dtype=float)
    both = np.where(np.isfinite(shared), shared, shared.T)
    reach = max(_LEAST_ERRORS, float(np.nanmax(np.abs(both), initial=0.0)))
    figure = canvas.panels(
        found.verdict(),
        "<br>".join(found.findings),
        theme=theme,
        width=940,
        height=470,
        rows=1,
        cols=2,
        column_widths=[0.42, 0.58],
        horizontal_spacing=0.24,
        subplot_titles=["shared residual (errors)", "along the age"],
    )
    starts, ends = ds["block_start"].values, ds["block_end"].values
    edges = np.append(starts, ends[-1])
    figure.add_trace(
        canvas.diverging_map(
            edges, edges, both, reach, theme, hoverongaps=False,
            colorbar={"title": {"text": "errors"}, "x": 0.345},
            hovertemplate="t<sub>1</sub> near %{x:.4g} s, t<sub>2</sub> near %{y:.4g} s<br>"
            "%{z:+.2f} errors<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    colour = canvas.line_colour(0, theme)
    figure.add_trace(
        go.Scatter(
            x=ds["age"].values, y=ds["shared_by_age"].values, mode="lines+markers", showlegend=False,
            line={"color": colour, "width": 1.6}, marker={"size": 6},
            hovertemplate="age %{x:.4g} s: %{y:+.2f} errors<extra></extra>",
        ),
        row=1, col=2,
    )  # fmt: skip
    figure.add_hrect(
        y0=-2, y1=2, fillcolor=canvas.band_colour(canvas.faint(theme), 0.15), line_width=0, row=1, col=2
    )
    end = max(_LEAST_ERRORS, float(np.nanmax(np.abs(ds["shared_by_age"].values)))) * 1.1
    figure.update_xaxes(title_text="t<sub>1</sub> (s)", constrain="domain", showgrid=False, row=1, col=1)
    figure.update_yaxes(
        title_text="t<sub>2</sub> (s)", scaleanchor="x", constrain="domain", showgrid=False, row=1, col=1
    )
    figure.update_xaxes(title_text="age (s)", row=1, col=2)
    figure.update_yaxes(title_text="shared residual (errors)", range=[-end, end], row=1, col=2)
    return figure


def model_comparison(found: Any, *, theme: str = "light") -> go.Figure:
    """Modes fitted to the same data: reduced chi-square, information criteria, and how they predict angles left out.

    Simplest mode on top; the one that the data ask for is marked. A richer mode always fits better; it is worth
    having where it also predicts better.

    Parameters
    ----------
    found : ModelComparison
        As :func:`heterodyne_nb.compare_models` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no comparison of models.
    """
    ds = getattr(found, "dataset", None)
    if not isinstance(ds, xr.Dataset) or "clic" not in ds or not hasattr(found, "verdict"):
        raise not_a("comparison of models", found, where="found", expected="what compare_models returns")
    rows = [_row_name(ds.isel(mode=k), found.chosen) for k in range(ds.sizes["mode"])]
    held_out = "held_out_fold" in ds
    names = ["of the fit", "above the best", "of angles left out"][: 3 if held_out else 2]
    figure = canvas.panels(
        "Which model do the data ask for?",
        found.verdict(),
        theme=theme,
        height=220 + 46 * len(rows),
        rows=1,
        cols=len(names),
        shared_yaxes=True,
        horizontal_spacing=0.05,
        subplot_titles=names,
    )
    _add_chi2(figure, ds, rows, theme)
    _add_criteria(figure, ds, rows, theme)
    if held_out:
        _add_held_out(figure, ds, rows, theme)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], type="category", showgrid=True)
    return canvas.legend_below(figure, 56)


def _row_name(one: xr.Dataset, chosen: str) -> str:
    mode = str(one["mode"].values)
    name = f"{mode.replace('_', ' ')}<br>{int(one['numbers'])} numbers"
    return f"<b>▶ {name}</b>" if mode == chosen else name


def _dots(x: np.ndarray, rows: list[str], name: str, symbol: str, colour: str, hover: str) -> go.Scatter:
    return go.Scatter(
        x=x, y=rows, name=name, mode="markers", marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
        showlegend=name in ("CLIC", "BIC"),
        hovertemplate=f"{hover}<extra></extra>",
    )  # fmt: skip


def _add_chi2(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    values = ds["chi2_reduced"].values
    dots = _dots(values, rows, "reduced χ²", "square", canvas.line_colour(2, theme), "reduced χ² %{x:.4g}")
    figure.add_trace(dots, row=1, col=1)
    figure.update_xaxes(title_text="reduced χ²", **_scale(values), row=1, col=1)


def _add_criteria(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    for key, name, symbol, colour in _CRITERIA:
        values = np.asarray(ds[key].values, dtype=float)
        dots = _dots(
            np.maximum(values, _BEST), rows, name, symbol, canvas.line_colour(colour, theme),
            f"{name}: %{{customdata:.4g}} above the best",
        )  # fmt: skip
        figure.add_trace(dots.update(customdata=values), row=1, col=2)
    largest = max(10.0, float(np.nanmax([ds[key].values for key, *_ in _CRITERIA])))
    ends = [np.log10(_BEST) - 0.3, np.log10(largest) + 0.4]
    figure.update_xaxes(
        title_text="difference (best at the left edge)", type="log", range=ends,
        dtick=max(1, round((ends[1] - ends[0]) / 4)), tickangle=0, row=1, col=2,
    )  # fmt: skip


def _add_held_out(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    """Mean square residual a pixel of angles left out, with the standard error of the folds."""
    folds = ds["held_out_fold"].transpose("mode", "fold").values
    values = np.asarray(ds["held_out"].values, dtype=float)
    count = folds.shape[1]
    share = folds / folds.sum(axis=1, keepdims=True)
    error = values * np.sqrt(count) * share.std(axis=1, ddof=1) if count > 1 else np.full(len(rows), np.nan)
    colour = canvas.line_colour(3, theme)
    dots = _dots(values, rows, "angles left out", "circle", colour, "held-out χ² %{x:.4g} a pixel")
    figure.add_trace(dots, row=1, col=3)
    figure.data[-1].error_x = {"array": error, "color": colour, "thickness": 1.2, "width": 4}
    figure.update_xaxes(title_text="χ² a pixel", **_scale(values), row=1, col=3)


def _scale(values: np.ndarray) -> dict[str, Any]:
    """Logarithmic where values differ several-fold."""
    finite = values[np.isfinite(values) & (values > 0)]
    if finite.size and finite.max() > 4 * finite.min():
        return canvas.log_axis(few=finite.max() < 100 * finite.min())
    return {}
