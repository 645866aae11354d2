"""A small picture of each curve in time beside the parameters that make it: as they stand, and as fitted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape

import ipywidgets as widgets
import numpy as np

from heterodyne_nb.app.number_field import number_text
from heterodyne_nb.app.panel import Panel
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots import canvas

__all__ = ["CurveStrip", "curve_picture"]

#: Size of a picture in its own units, and the most points of a line.
_WIDTH, _HEIGHT, _POINTS = 160.0, 48.0, 80
#: Least time between two pictures of a running fit, in seconds.
_EVERY = 0.25


class CurveStrip(Panel):
    """The curves of the mode in one line; a slider of a parameter moves them at once.

    Attributes
    ----------
    picture : ipywidgets.HTML
        An SVG for each curve: a line at the present values and, grey with its 95 % band, that of the fit shown.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.picture = widgets.HTML(layout={"width": "100%"})
        self.widget = widgets.VBox([self.picture, self.message, self.page])
        self._drawn_at = 0.0
        self.watch(session, ["dataset", "parameters", "shown", "history"], self.draw)
        self.watch(session, "progress", self._follow)
        self.watch(session, "status", self.draw)
        self.watch(self.page, "theme", self.draw)
        self.draw()

    def draw(self, parameters: Mapping[str, float] | None = None) -> None:
        """Draw the curves at the parameters' present values, or at the given ones."""
        session, table = self.session, self.session.parameters
        self._drawn_at = time.monotonic()
        model = ModelFactory.create_model(table.mode)
        ds = session.dataset
        if ds is None or "t" not in ds.coords or model.one_time:
            self.picture.value = ""
            return
        given = parameters or {}
        values = [float(given.get(name, x)) for name, x in zip(table.names, table.values, strict=True)]
        t = _few(np.asarray(ds["t"].values, float))
        result = session.result if session.result is not None and session.result.mode == table.mode else None
        pictures = []
        for k, (name, line) in enumerate(model.curves(values, t).items()):
            fitted = None
            if result is not None and name in result.curve_names:
                one = result.curve(name)
                fitted = tuple(np.asarray(one[part], float) for part in ("value", "lower", "upper"))
                fitted = (_few(np.asarray(one["t"], float)), *map(_few, fitted))
            unit = model.curve_units.get(name, "1")
            colour = canvas.line_colour(k, self.page.theme)
            pictures.append(
                curve_picture(name, "" if unit == "1" else unit, t, np.asarray(line), fitted, colour)
            )
        self.picture.value = f'<div style="display:flex;flex-wrap:wrap;gap:4px 14px;margin:2px 8px 8px 0">{"".join(pictures)}</div>'

    def _follow(self) -> None:
        event = self.session.progress
        if self.session.status == "idle" or event is None or not event.parameters:
            return
        if time.monotonic() - self._drawn_at >= _EVERY and set(event.parameters) <= set(
            self.session.parameters.names
        ):
            self.draw(event.parameters)


def curve_picture(
    name: str,
    unit: str,
    t: np.ndarray,
    line: np.ndarray,
    fitted: tuple[np.ndarray, ...] | None,
    colour: str,
) -> str:
    """One curve against logarithmic time as HTML, with its name and the values at its ends.

    Parameters
    ----------
    name, unit : str
        Unit "" for a pure number.
    t, line : ndarray
        (N,): Times in s, and the curve there.
    fitted : tuple of ndarray, optional
        Times in s, curve, lower and upper end of the band (NaN where none is known).
    colour : str
        Of the line.
    """
    known = np.isfinite(line)
    if not known.any():
        return ""
    spans = [line[known]]
    if fitted is not None:
        spans.append(fitted[1][np.isfinite(fitted[1])])
    everything = np.concatenate(spans)
    low, high = float(everything.min()), float(everything.max())
    if high - low < 1e-3 * max(abs(low), abs(high)):  # a constant: in the middle
        low, high = low - 0.5 * abs(low) - 1e-12, high + 0.5 * abs(high) + 1e-12
    first, last = np.log(t[0]), np.log(t[-1])

    def path(times: np.ndarray, values: np.ndarray) -> str:
        x = (np.log(times) - first) / (last - first or 1.0) * _WIDTH
        y = (1 - np.clip((values - low) / (high - low), -0.05, 1.05)) * (_HEIGHT - 6) + 3
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))

    drawn = ""
    if fitted is not None:
        times, middle, lower, upper = fitted
        if np.isfinite(lower).all() and np.isfinite(upper).all():
            around = path(np.concatenate([times, times[::-1]]), np.concatenate([upper, lower[::-1]]))
            drawn += f'<polygon points="{around}" fill="currentColor" opacity="0.16"/>'
        drawn += _line(path(times, middle), "currentColor", 1.0, 0.6)
    drawn += _line(path(t[known], line[known]), colour, 1.8, 1.0)
    ends = [number_text(float(x), 3).replace("-", "−") for x in (line[known][0], line[known][-1])]
    says = f"{name} from {ends[0]} at {t[0]:.3g} s to {ends[1]} at {t[-1]:.3g} s {unit}".strip()
    head = f"{escape(name)}{f' ({escape(unit)})' if unit else ''}"
    return (
        f'<div class="hn-curve" role="img" aria-label="{escape(says)}" title="{escape(says)}; time is logarithmic; '
        f'grey: the fit shown, with its 95 % band" style="flex:1 1 150px;max-width:320px;line-height:1.3;font-size:12px">'
        f'<div style="display:flex;justify-content:space-between"><span>{head}</span>'
        f'<span style="opacity:0.75">{ends[0]} → {ends[1]}</span></div>'
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none" '
        'style="width:100%;height:52px;border-bottom:1px solid rgba(128,128,128,0.5);display:block">'
        f"{drawn}</svg></div>"
    )


def _line(points: str, colour: str, width: float, opacity: float) -> str:
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" opacity="{opacity}" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _few(values: np.ndarray) -> np.ndarray:
    """At most so many as a picture shows, closest together where logarithmic time is."""
    if values.size <= _POINTS:
        return values
    places = np.geomspace(1, values.size, _POINTS).round().astype(int) - 1
    return values[np.unique(places)]
