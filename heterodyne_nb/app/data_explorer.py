"""DataExplorer: look at a run, pick a bin, leave bad frames out, cut g2, read the fringes."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets
import xarray as xr

from heterodyne_nb.app.bin_picker import BinPicker
from heterodyne_nb.app.cut_panel import QUIET, CutPanel
from heterodyne_nb.app.file_bar import FileBar
from heterodyne_nb.app.frame_tools import FrameTools
from heterodyne_nb.app.fringe_tool import FringeTool
from heterodyne_nb.app.latest import Latest
from heterodyne_nb.app.map_view import MapCanvas, TraceStrip, drawn_trace
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.plots.maps import Limits
from heterodyne_nb.plots.select import need

__all__ = ["ColourBar", "DataExplorer", "explore"]

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


_COLUMN = {"flex": "1 1 440px", "min_width": "320px", "overflow": "visible", "padding": "0 8px 0 0"}


class DataExplorer(Panel):
    """The data of a session, by mouse.

    The map shows the bin that `q` and `phi` choose. Drag on it to zoom; drag along its axes, or on the
    intensity beside it, to mask frames (with Shift to use them again). The orange line is the cut whose g2 is
    shown; drag it to another age.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    map : MapCanvas
    strip : TraceStrip
    file, bins, colours, cut, frames, fringes : Panel
        The groups of controls; the controls themselves are also attributes of the explorer:
        ``path``, ``open``, ``example``; ``q``, ``phi``, ``fitted``; ``kind``, ``age``, ``window``;
        ``find``, ``accept``, ``dismiss``, ``undo``, ``redo``; ``read``, ``use``.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> session = hnb.AnalysisSession("run12.h5")                         # doctest: +SKIP
    >>> DataExplorer(session)                                             # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        session = self.session
        self.map, self.strip = MapCanvas(message="no run is open"), TraceStrip()
        self.traces = Latest(lambda error: self.say(str(error)))
        self.file = FileBar(session)
        self.bins = BinPicker(session)
        self.colours = ColourBar(session, self.map)
        self.cut = CutPanel(session, self.map)
        self.frames = FrameTools(session, self.map, self.strip)
        self.fringes = FringeTool(session)
        self._parts = [self.file, self.bins, self.colours, self.cut, self.frames, self.fringes]
        self._name_children()
        left = [self.map, self.colours.widget]
        right = [self.strip, self.frames.widget, self.cut.widget, self.fringes.widget]
        columns = [widgets.VBox(column, layout=_COLUMN) for column in (left, right)]
        both = widgets.HBox(columns, layout={"flex_flow": "row wrap", "width": "100%"})
        self.widget = widgets.VBox(
            [self.file.widget, self.bins.widget, self.message, both, self.page], layout={"width": "100%"}
        )
        self.watch(session, ["dataset", "bin"], self._show_trace)
        self.watch(self.map, "view", lambda: setattr(self.strip, "view", self.map.view))
        self._show_trace()
        self.cut.draw()

    def _name_children(self) -> None:
        self.path, self.open, self.example = self.file.path, self.file.open, self.file.example
        self.q, self.phi, self.fitted = self.bins.q, self.bins.phi, self.bins.fitted
        self.kind, self.age, self.window = self.cut.kind, self.cut.age, self.cut.window
        self.find, self.accept, self.dismiss = self.frames.find, self.frames.accept, self.frames.dismiss
        self.undo, self.redo = self.frames.undo, self.frames.redo
        self.read, self.use = self.fringes.read, self.fringes.use

    def _show_trace(self) -> None:
        ds = self.session.dataset
        if ds is not None and not {"c2", "intensity"} & set(ds.variables):
            self.strip.put({"trace": {}, "title": "", "bands": []})
        elif ds is not None:
            compute = partial(drawn_trace, ds, bin=self.session.bin)
            self.traces.ask(compute, self.strip.put, at_once=not self.cut.figure.displayed, after=QUIET)

    def close(self) -> None:
        """Also let what is being computed go."""
        self.traces.close()
        super().close()


def explore(ds: xr.Dataset) -> DataExplorer:
    """A DataExplorer on a session of its own: the last line of a cell, ``ds.xpcs.explore()``.

    Parameters
    ----------
    ds : xarray.Dataset
        With two-time maps.

    Raises
    ------
    ConfigurationError
        The dataset holds no two-time map.
    """
    need(ds, "c2", "the explorer")
    return DataExplorer(AnalysisSession(ds))
