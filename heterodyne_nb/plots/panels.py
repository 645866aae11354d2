"""Empty figures in the package's look: titles, panels, legends."""

from __future__ import annotations

import textwrap
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from heterodyne_nb.plots import theme as look
from heterodyne_nb.text.escaping import in_figure

#: Pixels above the panels, below them, and above the title.
_TOP, _BOTTOM, _TITLE = 80, 60, 18
#: Pixels of a line of the title and of the small print, and of one letter of them.
_TITLE_LINE, _NOTE_LINE, _TITLE_LETTER, _NOTE_LETTER = 22, 17, 9.0, 6.8
#: Width in pixels that a figure without one is written for, and what its margins take of it.
_PAGE, _SIDES = 700, 90


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
        Broken into lines where the figure is too narrow for them; the figure grows by each line.
    theme : {"light", "dark"}
    height, width : int, optional
        In pixels; without a width the figure fills the page.
    **subplots
        Passed to ``plotly.subplots.make_subplots``.
    """
    look.check_theme(theme)
    figure = make_subplots(**subplots)
    named = bool(subplots.get("subplot_titles"))
    title, subtitle = broken(title, width, _TITLE_LETTER), broken(subtitle, width, _NOTE_LETTER)
    more = _TITLE_LINE * title.count("<br>") + _NOTE_LINE * subtitle.count("<br>")
    figure.update_layout(
        template=look.template_name(theme),
        title={"text": title, "subtitle": {"text": subtitle}, "y": 1 - _TITLE / (height + more)},
        height=height + more,
        width=width,
        margin={"t": _TOP + 25 * named + more, "b": _BOTTOM},
    )
    figure.update_annotations(font_size=12, yshift=3)
    return figure


def broken(text: str, width: float | None, letter: float = _NOTE_LETTER) -> str:
    """Break a title so that no line is wider than the panels of a figure `width` pixels wide.

    Parameters
    ----------
    text : str
        May hold ``<br>``, which are kept.
    width : float or None
        Of the figure in pixels; None: as wide as a page.
    letter : float
        Mean width of a letter in pixels.
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


def cell(number: int, columns: int) -> dict[str, int]:
    """Row and column (from 1) of the `number`-th panel, counted along the rows."""
    return {"row": number // columns + 1, "col": number % columns + 1}


def quantity(name: str, unit: str) -> str:
    """Axis title with its unit; a pure number needs none."""
    return name if unit in ("", "1") else f"{name} ({in_figure(unit)})"
