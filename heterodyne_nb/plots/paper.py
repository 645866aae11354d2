"""Figures for print: laid out anew at a width in millimetres, so that their text keeps a size in points."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.export import save_png

_MM, _POINT, _FONT = 96 / 25.4, 96 / 72, 12
#: Pixels that tick labels and titles take left of the panels, under them, and a colour bar beside them.
_LEFT, _UNDER, _BAR, _LEGEND, _EDGE = 62, 44, 72, 34, 8
_NAMES_ABOVE = 24
#: Pixels beside a polar panel for its angles, which plotly does not count.
_ANGLES = 40
#: Narrowest panel, and shortest and tallest of one, as a part of its width.
_NARROWEST, _FLATTEST, _TALLEST = 45, 0.62, 1.0
#: Size of an axis title, the smallest it becomes, and pixels that a letter of it takes.
_TITLE, _SMALLEST, _LETTER = 13, 8, 7.4
#: A cell of a matrix narrower than this holds no number.
_CELL = 34
#: A gap keeps this part of its pixels: on paper, panels stand a little closer.
_CLOSER = 0.85

Spans = list[tuple[float, float]]


def for_paper(
    figure: go.Figure,
    path: str | Path,
    *,
    width_mm: float = 86.0,
    height_mm: float | None = None,
    font_pt: float = 8.0,
    title: bool = False,
    dpi: float = 300.0,
) -> Path:
    """Write a figure at the width it has on paper, and return the path.

    The panels are laid out anew: they shrink, while text, lines and the room for them keep their size.
    The figure itself is left as it is.

    Parameters
    ----------
    figure : plotly Figure
        Of this package, or alike; take the light theme for white paper.
    path : str or Path
        The suffix chooses the format: .pdf and .svg (vectors), .png and others at `dpi`.
    width_mm, height_mm : float
        Size on paper; 86 mm is a column of many journals, 178 mm the page. Default height: what the
        panels ask for.
    font_pt : float
        Size of tick labels and legends in points.
    title : bool
        Keep title and small print, which on paper are the caption's work.
    dpi : float
        Dots per inch of a picture made of pixels.

    Raises
    ------
    ConfigurationError
        If the panels do not fit the width, a size makes no sense, or the suffix or folder is wrong.
    FigureExportError
        If kaleido or a Chromium for it is missing.
    """
    for name, size in (("width_mm", width_mm), ("height_mm", height_mm), ("font_pt", font_pt), ("dpi", dpi)):
        if size is not None and not size > 0:
            raise ConfigurationError(f"{size} is no size", where=name, expected="a number above 0")
    scale = font_pt * _POINT / _FONT
    height = None if height_mm is None else height_mm * _MM / scale
    laid = laid_out(figure, width_mm * _MM / scale, height, title=title)
    vectors = Path(path).suffix.lower() in (".pdf", ".svg")
    return save_png(laid, path, scale=scale if vectors else scale * dpi / 96)


def laid_out(
    figure: go.Figure, width: float, height: float | None = None, *, title: bool = False
) -> go.Figure:
    """Copy of a figure, laid out at a width (and height) in pixels with its text as large as before.

    Raises ConfigurationError: If its panels do not fit.
    """
    paper = go.Figure(figure)
    bar, legend = _has_bar_at_the_side(paper), _has_legend(paper)
    top = _top(paper, width, title)
    across = Resize(
        column_spans(paper), _inner(figure, "width", 900), width - _LEFT - _EDGE - _BAR * bar, _NARROWEST
    )
    below = _UNDER + _LEGEND * legend
    down = row_spans(paper)
    old_height = _inner(figure, "height", 450)
    if height is None:
        ratio = _ratio(paper, across, down, old_height)
        gaps = Resize.gaps_of(down, old_height)
        height = top + below + gaps + len(down) * ratio * across.panel
    upright = Resize(down, old_height, height - top - below, 30)
    across.move(paper, "x")
    upright.move(paper, "y")
    side = _ANGLES if polar_panels(paper) else _EDGE
    paper.update_layout(
        width=round(width), height=round(height), margin={"l": side, "r": side, "t": top, "b": _EDGE}
    )
    _numbers_only_where_they_fit(paper, across.panel)
    _titles_no_longer_than_their_axis(paper, upright.panel)
    if legend:
        under = -(_UNDER + 4) / (height - top - below)
        paper.update_layout(
            legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": under, "yanchor": "top"}
        )
    return paper


def _inner(figure: go.Figure, side: str, default: float) -> float:
    """Pixels of the area of the panels in the figure as it was."""
    margin, template = figure.layout.margin, figure.layout.template.layout.margin
    ends = ("l", "r") if side == "width" else ("t", "b")
    taken = sum(
        next(v for v in (margin[end], template[end], standard) if v is not None)
        for end, standard in zip(ends, (80, 80), strict=True)
    )
    return (figure.layout[side] or default) - taken


def _top(paper: go.Figure, width: float, title: bool) -> float:
    """Pixels above the panels; what is not wanted there goes."""
    named = any(
        note.yref == "paper" and note.y is not None and note.y > 0.9 for note in paper.layout.annotations
    )
    if not title:
        paper.layout.title = None
        return _NAMES_ABOVE if named else _EDGE
    head, note = paper.layout.title.text or "", paper.layout.title.subtitle.text or ""
    head, note = canvas.broken(head, width, 8.4), canvas.broken(note, width)
    top = 34 + 20 * head.count("<br>") + (22 + 17 * note.count("<br>") if note else 0)
    paper.update_layout(
        title={"text": head, "subtitle": {"text": note}, "font": {"size": 15}, "y": 1, "pad": {"t": 10}}
    )
    return top + (_NAMES_ABOVE if named else _EDGE)


def _ratio(paper: go.Figure, across: Resize, down: Spans, old_height: float) -> float:
    """Height of a panel as a part of its width."""
    if any(axis.scaleanchor for axis in paper.select_yaxes()) or polar_panels(paper):
        return 1.0
    old = (old_height - Resize.gaps_of(down, old_height)) / len(down) / across.old_panel
    return min(max(old, _FLATTEST), _TALLEST)


def _has_bar_at_the_side(paper: go.Figure) -> bool:
    own = any(
        trace.type == "heatmap" and trace.coloraxis is None and trace.showscale is not False
        for trace in paper.data
    )
    return own or paper.layout.coloraxis.cmin is not None


def _has_legend(paper: go.Figure) -> bool:
    if paper.layout.showlegend is False:
        return False
    named = [trace for trace in paper.data if trace.type != "heatmap" and trace.showlegend is not False]
    return len(named) > 1 or any(trace.showlegend for trace in named)


def _titles_no_longer_than_their_axis(paper: go.Figure, panel: float) -> None:
    """Titles beside a panel that is lower than they are long become smaller, down to a limit."""
    for axis in paper.select_yaxes():
        letters = max(map(len, re.sub("<su[bp]>|</su[bp]>", "", axis.title.text or "").split("<br>")))
        if letters * _LETTER > panel:
            axis.title.font.size = max(_SMALLEST, _TITLE * panel / (letters * _LETTER))


def _numbers_only_where_they_fit(paper: go.Figure, panel: float) -> None:
    for trace in paper.select_traces({"type": "heatmap"}):
        if trace.texttemplate and panel < _CELL * len(trace.x):
            trace.update(text=None, texttemplate=None)


def polar_panels(figure: go.Figure) -> list[go.layout.Polar]:
    """Polar panels that are there (plotly makes an empty one when asked)."""
    return [polar for polar in figure.select_polars() if polar.domain.x is not None]


def column_spans(figure: go.Figure) -> Spans:
    """Columns of panels, left to right, as parts of the area of all panels."""
    return _merged(
        [axis.domain for axis in figure.select_xaxes()] + [p.domain.x for p in polar_panels(figure)]
    )


def row_spans(figure: go.Figure) -> Spans:
    """Rows of panels, bottom to top, as parts of the area of all panels."""
    return _merged(
        [axis.domain for axis in figure.select_yaxes()] + [p.domain.y for p in polar_panels(figure)]
    )


def _merged(domains: Iterable[tuple[float, float] | None]) -> Spans:
    """Spans that do not overlap; those that do become one."""
    spans: Spans = []
    for low, high in sorted(tuple(domain) for domain in domains if domain):
        if spans and low < spans[-1][1] - 1e-9:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    return spans or [(0.0, 1.0)]


class Resize:
    """Where things go along one side when its panels change their size and its gaps do not.

    ``spans`` (low, high): Panels along the side, as parts of it. ``old``, ``new``: Length of the side in pixels,
    before and after. ``least``: Smallest panel allowed, in pixels.

    Raises ConfigurationError: If a panel would be smaller than `least`.
    """

    def __init__(self, spans: Spans, old: float, new: float, least: float) -> None:
        self.old, self.new = old, new
        widths = np.array([high - low for low, high in spans]) * old
        shared = new - self.gaps_of(spans, old)
        self.panel, self.old_panel = shared / len(spans), float(widths.mean())
        if self.panel < least:
            raise ConfigurationError(
                f"{len(spans)} panel{'s' * (len(spans) > 1)} side by side do not fit",
                where="size on paper",
                expected="a larger one, or smaller text",
            )
        edges = [0.0, *(edge for span in spans for edge in span), 1.0]
        factor = shared / widths.sum()
        lengths = np.diff(edges) * old * np.where(np.arange(len(edges) - 1) % 2 == 0, _CLOSER, factor)
        self._from, self._to = np.array(edges), np.concatenate([[0.0], np.cumsum(lengths)]) / new

    @staticmethod
    def gaps_of(spans: Spans, old: float) -> float:
        """Pixels that the gaps between the panels keep."""
        return _CLOSER * old * (1 - sum(high - low for low, high in spans))

    def at(self, place: float) -> float:
        """New place of an old one; outside of the panels the distance in pixels is kept."""
        outside = min(place, 0.0) + max(place - 1.0, 0.0)
        return float(np.interp(place, self._from, self._to)) + outside * self.old / self.new

    def move(self, figure: go.Figure, side: str) -> None:
        """Move panels, notes and colour bars of a figure along side ``"x"`` or ``"y"``."""
        axes = figure.select_xaxes() if side == "x" else figure.select_yaxes()
        for holder in axes:
            holder.domain = self._domain(holder.domain)
        for polar in polar_panels(figure):
            polar.domain[side] = self._domain(polar.domain[side])
        for note in figure.layout.annotations:
            if note[f"{side}ref"] == "paper" and note[side] is not None:
                note[side] = self.at(note[side])
        for bar in (axis.colorbar for axis in figure.select_coloraxes()):
            if bar[side] is not None:
                bar[side] = self.at(bar[side])

    def _domain(self, old: tuple[float, float] | None) -> list[float]:
        return [min(max(self.at(end), 0.0), 1.0) for end in old or (0.0, 1.0)]
