"""Empty figures in the package's look: titles, panels, legends."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from heterodyne_nb.plots import theme as look

#: Pixels above the panels, below them, and above the title.
_TOP, _BOTTOM, _TITLE = 80, 60, 18


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

    Parameters
    ----------
    title, subtitle : str
    theme : {"light", "dark"}
    height, width : int, optional
        In pixels; without a width the figure fills the page.
    **subplots
        Passed to ``plotly.subplots.make_subplots``.
    """
    look.check_theme(theme)
    figure = make_subplots(**subplots)
    named = bool(subplots.get("subplot_titles"))
    figure.update_layout(
        template=look.template_name(theme),
        title={"text": title, "subtitle": {"text": subtitle}, "y": 1 - _TITLE / height},
        height=height,
        width=width,
        margin={"t": _TOP + 25 * named + 17 * subtitle.count("<br>"), "b": _BOTTOM},
    )
    figure.update_annotations(font_size=12, yshift=3)
    return figure


def legend_below(figure: go.Figure, gap: int = 50) -> go.Figure:
    """Put the legend in one line under the panels, `gap` pixels below the axis."""
    inner = figure.layout.height - figure.layout.margin.t - _BOTTOM
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": -gap / inner, "yanchor": "top"}
    )
    return figure


def cell(number: int, columns: int) -> dict[str, int]:
    """Row and column (from 1) of the `number`-th panel, counted along the rows."""
    return {"row": number // columns + 1, "col": number % columns + 1}


def quantity(name: str, unit: str) -> str:
    """Axis title with its unit; a pure number needs none."""
    return name if unit in ("", "1") else f"{name} ({unit})"
