"""One look for every figure: two registered plotly templates and the colours they share.

All colours keep their order for colour-blind readers: lines follow Okabe & Ito (2008), maps use
viridis, residuals run from blue over the background's neutral to vermillion.
"""

from __future__ import annotations

import plotly.graph_objects as go
import plotly.io as pio
from plotly.colors import sample_colorscale

from heterodyne_nb.errors import ConfigurationError

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


def diverging_scale(theme: str = "light") -> list[tuple[float, str]]:
    """Blue - neutral - vermillion, for residuals and correlations centred on zero."""
    deep_low, low, high, deep_high = _DIVERGING_ENDS[check_theme(theme)]
    return [(0.0, deep_low), (0.25, low), (0.5, _NEUTRAL[theme]), (0.75, high), (1.0, deep_high)]


def _axis(theme: str) -> dict:
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


def _polar_axis(theme: str) -> dict:
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


register()
