"""How the map is coloured: limits by percentiles or by numbers, linear or logarithmic."""

from __future__ import annotations

import ipywidgets as widgets

from heterodyne_nb.app.map_view import MapCanvas
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.plots.maps import Limits

__all__ = ["ColourBar"]

_START = (1.0, 99.0)


class ColourBar(Panel):
    """Controls of the colours of a map.

    Attributes
    ----------
    by : ipywidgets.Dropdown
        ``"percentiles"`` or ``"numbers"``; the numbers start where the percentiles are.
    low, high : ipywidgets.FloatText
        Percent, or c2 (its logarithm with `log`).
    log : ipywidgets.Checkbox
        Colour log10(c2 − 1).
    """

    def __init__(self, session: AnalysisSession, canvas: MapCanvas) -> None:
        super().__init__(session)
        self.canvas = canvas
        self.by = widgets.Dropdown(
            options=[("colours by percentiles", "percentiles"), ("colours by numbers", "numbers")],
            layout={"width": "190px"},
        )
        number = {"layout": {"width": "90px"}, "step": 0.5}
        self.low = widgets.FloatText(value=_START[0], tooltip="Where the colours begin", **number)
        self.high = widgets.FloatText(value=_START[1], tooltip="Where the colours end", **number)
        self.log = widgets.Checkbox(value=False, description="log", indent=False, layout={"width": "60px"})
        self.widget = widgets.VBox(
            [row(self.by, self.low, self.high, self.log, margin="0 0 0 58px"), self.message, self.page]
        )
        self._drawn: object = None
        self._setting = False
        self.watch(session, ["dataset", "bin"], self.draw)
        self.watch(self.by, "value", self._other_kind)
        self.watch(self.log, "value", self._other_scale)
        for control in (self.low, self.high):
            self.watch(control, "value", self.draw)
        self.draw()

    def draw(self) -> None:
        """Draw the map of the bin shown, unless that is what is drawn."""
        ds = self.session.dataset
        if self._setting or ds is None:
            return
        pair = (self.low.value, self.high.value)
        asked = (self.session.bin, self.by.value, pair, self.log.value)
        if isinstance(self._drawn, tuple) and self._drawn[0] is ds and self._drawn[1] == asked:
            return
        if "c2" not in ds:
            self.canvas.clear("this run has no two-time map: its g₂ is beside it")
            self._drawn = (ds, asked)
            self.say("")
            return
        limits: dict[str, Limits] = {"percentiles" if self.by.value == "percentiles" else "limits": pair}
        self.canvas.show(ds, bin=self.session.bin, log=self.log.value, **limits)
        self._drawn = (ds, asked)
        self.say("")

    def _other_kind(self) -> None:
        self._put(_START if self.by.value == "percentiles" else self.canvas.limits)

    def _other_scale(self) -> None:
        self.by.value = "percentiles"
        self.draw()

    def _put(self, pair: Limits) -> None:
        self._setting = True
        try:
            self.low.value, self.high.value = (float(f"{value:.4g}") for value in pair)
            self.low.step = self.high.step = 0.5 if self.by.value == "percentiles" else 0.01
        finally:
            self._setting = False
        self.draw()
