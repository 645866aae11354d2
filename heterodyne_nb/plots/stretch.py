"""Panels of a figure made narrower or wider while the gaps between them keep their pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError

Spans = list[tuple[float, float]]
#: A gap keeps this part of its pixels: on paper, panels stand a little closer.
_CLOSER = 0.85


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


class Stretch:
    """Where things go along one side when its panels change their size and its gaps do not.

    Parameters
    ----------
    spans : list of (low, high)
        Panels along the side, as parts of it.
    old, new : float
        Length of the side in pixels, before and after.
    least : float
        Smallest panel allowed, in pixels.

    Raises
    ------
    ConfigurationError
        If a panel would be smaller than `least`.
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
