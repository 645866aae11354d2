"""What every figure begins with: two registered plotly templates, their colours, and empty panels with titles.

All colours keep their order for colour-blind readers: lines follow Okabe & Ito (2008), maps use
viridis, residuals run from blue over the background's neutral to vermillion.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.text.escaping import in_figure

#: Names of the looks a figure can take.
THEMES = ("light", "dark")

#: Colour scale of correlation maps.
MAP_SCALE = "Viridis"

_BLUE, _VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_ORANGE, _SKY, _YELLOW = "#E69F00", "#56B4E9", "#F0E442"

_LINES = {
    "light": (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, "#000000"),
    "dark": (_SKY, _ORANGE, "#2FBF94", _PURPLE, _YELLOW, "#F07F35", "#FFFFFF"),
}
_PAPER = {"light": "#FFFFFF", "dark": "#14181D"}
_PANEL = {"light": "#FFFFFF", "dark": "#1B2027"}
_INK = {"light": "#1F2430", "dark": "#E4E8EE"}
_FAINT = {"light": "#6A7280", "dark": "#A0A9B6"}
_GRID = {"light": "#E3E6EB", "dark": "#323A45"}
_NEUTRAL = {"light": "#F7F7F7", "dark": "#22272E"}
_DIVERGING_ENDS = {
    "light": ("#004E7C", _BLUE, _VERMILLION, "#8A3C00"),
    "dark": ("#8FD0F7", "#2B8FCB", "#E66A12", "#FFB27A"),
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: Pixels above the panels, below them, and above the title.
_TOP, _BOTTOM, _TITLE = 80, 60, 18
#: Pixels of a line of the title and of the small print, and of one letter of them.
_TITLE_LINE, _NOTE_LINE, _TITLE_LETTER, _NOTE_LETTER = 22, 17, 9.0, 6.8
#: Width in pixels that a figure without one is written for, and what its margins take of it.
_PAGE, _SIDES = 700, 90


def check_theme(theme: str) -> str:
    """Return `theme`, or raise ConfigurationError naming the looks there are."""
    if theme not in THEMES:
        raise ConfigurationError(f"no theme {theme!r}", where="theme", expected=" or ".join(THEMES))
    return theme


def template_name(theme: str) -> str:
    """Name under which plotly knows the template of `theme`."""
    return f"heterodyne_{check_theme(theme)}"


def line_colour(index: int, theme: str = "light") -> str:
    """Okabe-Ito colour of the `index`-th series (they repeat after seven)."""
    colours = _LINES[check_theme(theme)]
    return colours[index % len(colours)]


def ink(theme: str = "light") -> str:
    """Colour of text and of reference lines."""
    return _INK[check_theme(theme)]


def faint(theme: str = "light") -> str:
    """Colour of secondary text."""
    return _FAINT[check_theme(theme)]


def paper(theme: str = "light") -> str:
    """Background colour around the panels."""
    return _PAPER[check_theme(theme)]


def grid(theme: str = "light") -> str:
    """Colour of grid lines and rules."""
    return _GRID[check_theme(theme)]


def band_colour(colour: str, alpha: float = 0.22) -> str:
    """Return `colour` (``#RRGGBB`` or ``rgb(r, g, b)``) made transparent, for an uncertainty band."""
    if colour.startswith("#"):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, {alpha:g})"
    return colour.replace("rgb(", "rgba(").replace(")", f", {alpha:g})")


def ordered_colours(count: int, theme: str = "light") -> list[str]:
    """Colours for an ordered family (ages, q): viridis without the end that the background swallows."""
    low, high = (0.0, 0.85) if check_theme(theme) == "light" else (0.35, 1.0)
    places = [low + (high - low) * k / max(count - 1, 1) for k in range(count)]
    return sample_colorscale(MAP_SCALE, places) if count else []


def series_colours(count: int, theme: str = "light") -> list[str]:
    """Colours of the lines of a figure: that of a single series, or those of an ordered family."""
    return [line_colour(0, theme)] if count == 1 else ordered_colours(count, theme)


def diverging_scale(theme: str = "light") -> list[tuple[float, str]]:
    """Blue - neutral - vermillion, for residuals and correlations centred on zero."""
    deep_low, low, high, deep_high = _DIVERGING_ENDS[check_theme(theme)]
    return [(0.0, deep_low), (0.25, low), (0.5, _NEUTRAL[theme]), (0.75, high), (1.0, deep_high)]


def _axis(theme: str) -> dict[str, Any]:
    return {
        "gridcolor": _GRID[theme],
        "linecolor": _FAINT[theme],
        "zerolinecolor": _GRID[theme],
        "tickcolor": _FAINT[theme],
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "mirror": True,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
        "exponentformat": "power",
    }


def _polar_axis(theme: str) -> dict[str, Any]:
    return {
        "gridcolor": _GRID[theme],
        "linecolor": _FAINT[theme],
        "tickcolor": _FAINT[theme],
        "ticks": "outside",
    }


def _template(theme: str) -> go.layout.Template:
    axis = _axis(theme)
    colour_bar = {
        "outlinewidth": 0,
        "ticks": "outside",
        "ticklen": 4,
        "thickness": 14,
        "tickcolor": _FAINT[theme],
    }
    polar = {"bgcolor": _PANEL[theme], "angularaxis": _polar_axis(theme), "radialaxis": _polar_axis(theme)}
    layout = {
        "font": {"family": _FONT, "size": 12, "color": _INK[theme]},
        "title": {
            "x": 0.0,
            "xref": "paper",
            "xanchor": "left",
            "yref": "container",
            "y": 0.97,
            "yanchor": "top",
            "font": {"size": 17},
            "subtitle": {"font": {"size": 12, "color": _FAINT[theme]}},
        },
        "paper_bgcolor": _PAPER[theme],
        "plot_bgcolor": _PANEL[theme],
        "colorway": list(_LINES[theme]),
        "xaxis": axis,
        "yaxis": axis,
        "polar": polar,
        "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}, "groupclick": "togglegroup"},
        "hoverlabel": {"font": {"family": _FONT, "size": 12}},
        "annotationdefaults": {"font": {"size": 12, "color": _INK[theme]}, "showarrow": False},
        "coloraxis": {"colorbar": colour_bar},
        "margin": {"l": 70, "r": 30, "t": 80, "b": 60},
    }
    template = go.layout.Template(layout=layout)
    template.data.heatmap = [go.Heatmap(colorbar=colour_bar)]
    return template


def register() -> None:
    """Register both templates with plotly; they never become plotly's default."""
    for theme in THEMES:
        pio.templates[template_name(theme)] = _template(theme)


def panels(
    title: str,
    subtitle: str = "",
    *,
    theme: str,
    height: int,
    width: int | None = None,
    **subplots: Any,
) -> go.Figure:
    """Empty figure with a title, a line of small print under it, and panels.

    ``title``, ``subtitle``: Broken into lines where the figure is too narrow for them; the figure grows by each line.
    ``theme`` {"light", "dark"}. ``height``, ``width``: In pixels; without a width the figure fills the page.
    ``**subplots``: Passed to ``plotly.subplots.make_subplots``.
    """
    check_theme(theme)
    figure = make_subplots(**subplots)
    named = bool(subplots.get("subplot_titles"))
    title, subtitle = broken(title, width, _TITLE_LETTER), broken(subtitle, width, _NOTE_LETTER)
    more = _TITLE_LINE * title.count("<br>") + _NOTE_LINE * subtitle.count("<br>")
    figure.update_layout(
        template=template_name(theme),
        title={"text": title, "subtitle": {"text": subtitle}, "y": 1 - _TITLE / (height + more)},
        height=height + more,
        width=width,
        margin={"t": _TOP + 25 * named + more, "b": _BOTTOM},
    )
    figure.update_annotations(font_size=12, yshift=3)
    return figure


def broken(text: str, width: float | None, letter: float = _NOTE_LETTER) -> str:
    """Break a title so that no line is wider than the panels of a figure `width` pixels wide.

    ``text``: May hold ``<br>``, which are kept. ``width``: Of the figure in pixels; None: as wide as a page.
    ``letter``: Mean width of a letter in pixels.
    """
    letters = max(20, int(((width or _PAGE) - _SIDES) / letter))
    lines = [textwrap.wrap(line, letters, break_long_words=True) or [""] for line in text.split("<br>")]
    return "<br>".join(part for line in lines for part in line)


def legend_below(figure: go.Figure, gap: int = 50) -> go.Figure:
    """Put the legend in one line under the panels, `gap` pixels below the axis."""
    inner = figure.layout.height - figure.layout.margin.t - _BOTTOM
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": -gap / inner, "yanchor": "top"}
    )
    return figure


def diverging_map(x: Any, y: Any, values: np.ndarray, reach: float, theme: str, **style: Any) -> go.Heatmap:
    """Trace of a map of values on either side of zero, coloured from -`reach` to `reach`."""
    return go.Heatmap(
        x=x,
        y=y,
        z=values.astype(np.float32),
        zmin=-reach,
        zmax=reach,
        colorscale=diverging_scale(theme),
        **style,
    )


def place_columns(figure: go.Figure, domains: Sequence[tuple[float, float]]) -> None:
    """Move the panels of a single row, and the names above them, to parts (from, to) of the width."""
    for axis, name, domain in zip(figure.select_xaxes(), figure.layout.annotations, domains, strict=True):
        axis.domain = domain
        name.x = sum(domain) / 2


def log_axis(*, few: bool = False) -> dict[str, Any]:
    """Style of a logarithmic axis: ticks at every decade, or at 1, 2, 5 where it spans few of them."""
    return {"type": "log", "tickformat": "~g", "dtick": "D2" if few else 1}


def log_ticks(values: np.ndarray) -> dict[str, Any]:
    """Style of a logarithmic axis for some values: ticks at 1, 2, 5 within a decade and a half, else finer ones between.

    From four decades on, numbers are powers of ten, which are narrow enough to stand upright.
    """
    known = values[np.isfinite(values) & (values > 0)]
    if known.size and known.max() < 30 * known.min():
        return log_axis(few=True)
    finer = {**log_axis(), "minor": {"dtick": "D1", "ticks": "outside"}}
    if known.size and known.max() > 1e4 * known.min():
        return {
            **finer,
            "tickformat": "",
            "exponentformat": "power",
            "tickangle": 0,
            "dtick": 2,
            "tickfont": {"size": 10},
        }
    return finer


def cell(number: int, columns: int) -> dict[str, int]:
    """Row and column (from 1) of the `number`-th panel, counted along the rows."""
    return {"row": number // columns + 1, "col": number % columns + 1}


def quantity(name: str, unit: str) -> str:
    """Axis title with its unit; a pure number needs none."""
    return name if unit in ("", "1") else f"{name} ({in_figure(unit)})"


def band(
    x: np.ndarray, lower: np.ndarray, upper: np.ndarray, *, colour: str, name: str, group: str
) -> go.Scatter | None:
    """Shaded area between two curves where both are known; None where nothing is."""
    known = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(x)
    if not known.any():
        return None
    return go.Scatter(
        x=np.concatenate([x[known], x[known][::-1]]),
        y=np.concatenate([upper[known], lower[known][::-1]]),
        name=name,
        legendgroup=group,
        showlegend=False,
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=band_colour(colour),
        hoverinfo="skip",
    )


register()
