"""g2 at one age, cut from the map beside it."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import traitlets
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.app.latest import Latest
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.map_view import MapCanvas
from heterodyne_nb.app.panel import Panel, heading, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.data import stack_bins
from heterodyne_nb.data.prepare import detect_bad_frames

__all__ = ["QUIET", "CutPanel", "clear_age"]

_KINDS = (("along rows: age = t₁", "row"), ("across the diagonal: age = (t₁ + t₂)/2", "diagonal"))
#: Seconds after which a slider of the bins counts as at rest: until then the maps come first.
QUIET = 0.12
#: Width of the window of ages at first, as a part of the run.
_WINDOW = 0.05
#: Frames on either side of a place at which a cut is to start that are looked at.
_NEAR = 100


class CutPanel(Panel):
    """Kind, age and width of a cut, which also move on the map, and the g2 it gives.

    Attributes
    ----------
    kind : ipywidgets.Dropdown
        ``"row"`` or ``"diagonal"``.
    age, window : ipywidgets.FloatSlider, ipywidgets.BoundedFloatText
        s.
    log_lag : ipywidgets.Checkbox
    figure : LiveFigure
    """

    def __init__(self, session: AnalysisSession, canvas: MapCanvas) -> None:
        super().__init__(session)
        self.canvas = canvas
        self.kind = widgets.Dropdown(
            options=_KINDS, description="cut", layout={"width": "330px"}, style={"description_width": "36px"}
        )
        self.age = widgets.FloatSlider(
            description="age (s)",
            readout_format=".4g",
            layout={"flex": "1 1 260px", "width": "auto"},
            style={"description_width": "48px"},
        )
        self.window = widgets.BoundedFloatText(
            description="width (s)",
            tooltip="Ages averaged over; also by dragging the small handles on the map",
            layout={"width": "150px"},
            style={"description_width": "58px"},
        )
        self.log_lag = widgets.Checkbox(
            value=True, description="log τ", indent=False, layout={"width": "70px"}
        )
        self.figure = LiveFigure(300, "Open a run to see g₂ at an age.")
        self.widget = widgets.VBox(
            [
                heading("g₂ at the cut"),
                row(self.kind, self.log_lag),
                row(self.age, self.window),
                self.figure.widget,
                self.message,
                self.page,
            ]
        )
        self.latest = Latest(self._failed)
        self._links: list[Any] = []
        self._drawn: Any = None
        self._adapted: Any = None
        self._adapting = False
        self.watch(session, ["dataset", "bin"], self.draw)
        self.watch(canvas, ["age", "width", "cut"], self.draw)
        self.watch(self.log_lag, "value", self.draw)
        self.watch(self.page, "theme", self.draw)

    def adapt(self) -> None:
        """Bring age and width into the limits of the run; where they fit they stay."""
        ds, canvas = self.session.dataset, self.canvas
        if ds is None or self._adapting or ds is self._adapted:
            return
        self._adapting, self._adapted = True, ds
        try:
            t, dt = ds["t"].values, float(ds.attrs["dt"])
            if not self._links:
                canvas.width = _in_frames(_WINDOW * (t[-1] - t[0]), dt)
                canvas.cut, canvas.age = "row", clear_age(ds, self.session.bin, 0.5, canvas.width)
            canvas.age = float(np.clip(canvas.age, t[0], t[-1]))
            canvas.width = float(np.clip(canvas.width, dt, t[-1] - t[0] + dt))
            _adjust(self.age, float(t[0]), float(t[-1]), dt, canvas.age)
            _adjust(self.window, dt, float(t[-1] - t[0] + dt), dt, canvas.width)
            if not self._links:
                pairs = ((self.kind, "cut"), (self.age, "age"), (self.window, "width"))
                self._links = [traitlets.link((canvas, name), (one, "value")) for one, name in pairs]
        finally:
            self._adapting = False

    def draw(self) -> None:
        """Cut the map of the bin shown and draw g2, unless that is what is drawn."""
        ds, canvas = self.session.dataset, self.canvas
        if ds is None or not {"c2", "g2"} & set(ds) or self._adapting:
            return
        for control in (self.kind, self.age, self.window):
            control.disabled = "c2" not in ds
        if "c2" in ds:
            self.adapt()
        asked = (self.session.bin, canvas.age, canvas.width, canvas.cut, self.log_lag.value, self.page.theme)
        if self._drawn is not None and self._drawn[0] is ds and self._drawn[1] == asked:
            return
        other_map = self._drawn is None or self._drawn[0] is not ds or self._drawn[1][0] != asked[0]
        self._drawn = (ds, asked)
        self.say("")
        compute, now = partial(_cut_figure, ds, *asked), not self.figure.displayed
        self.latest.ask(
            compute,
            partial(self.figure.draw, of=self.session.source),
            at_once=now,
            after=QUIET if other_map else 0.0,
        )

    def _failed(self, error: BaseException) -> None:
        self._drawn = None
        self.say(str(error))

    def close(self) -> None:
        """Also unlink the map."""
        for link in self._links:
            link.unlink()
        self._links.clear()
        self.latest.close()
        self.figure.close()
        super().close()


def _cut_figure(
    ds: xr.Dataset, bin: int, age: float, width: float, cut: str, log_lag: bool, theme: str
) -> go.Figure:
    ages: dict[str, Any] = {"ages": [age], "width": width, "cut": cut} if "c2" in ds else {}
    figure = plots.g2_cuts(ds, bin=bin, theme=theme, **ages)
    figure.update_layout(title=None, showlegend=False, margin={"l": 62, "r": 14, "t": 10, "b": 48})
    if not log_lag:
        figure.update_xaxes(type="linear", dtick=None, tickformat=None)
    return figure


def clear_age(ds: xr.Dataset, bin: int, part: float, width: float) -> float:
    """The age in s nearest to a part of the run around which no frame of a window is masked, or stands out."""
    t, dt = ds["t"].values, float(ds.attrs["dt"])
    wanted = round(part * (t.size - 1))
    near = slice(max(wanted - _NEAR, 0), wanted + _NEAR)
    one = stack_bins(ds, drop_dead=False)[["c2", "mask", "usable"]].isel(bin=[bin])
    good = np.asarray(detect_bad_frames(one.isel(dict.fromkeys(("t", "t1", "t2"), near)).load()))
    reach = max(round(width / dt) // 2, 0)
    whole = np.convolve(good, np.ones(2 * reach + 1), mode="same") > 2 * reach + 0.5
    fit = np.flatnonzero(whole if whole.any() else good)
    found = fit[np.argmin(np.abs(fit + near.start - wanted))] + near.start if fit.size else wanted
    return _in_frames(float(t[found]), dt)


def _in_frames(seconds: float, dt: float) -> float:
    return float(f"{round(seconds / dt) * dt:.12g}")


def _adjust(control: Any, low: float, high: float, step: float, value: float) -> None:
    """New limits and value of a control, in one message: else the page would answer with a clipped old value."""
    with control.hold_sync():
        control.min, control.max = min(low, control.min), max(high, control.max)
        control.value = value
        control.min, control.max, control.step = low, high, step
