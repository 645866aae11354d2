"""LivePanel: a fit that follows a measurement, or a stored run as if it were measured now."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

import heterodyne_nb
from heterodyne_nb import plots
from heterodyne_nb.analysis.live_fit import Live, LiveUpdate
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.number_field import NumberField
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.result_panel import flags_html
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.work import Mailbox, Work
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.frames import FrameSet
from heterodyne_nb.frames.growing import arriving
from heterodyne_nb.progress import ProgressEvent, StopToken

__all__ = ["LivePanel"]

_SOURCES = (
    ("a file that grows", "file"),
    ("a folder that fills", "folder"),
    ("replay a stored run", "replay"),
)
_SPEEDS = (("as measured", 1.0), ("10 × as fast", 10.0), ("100 × as fast", 100.0), ("at once", float("inf")))
_LIGHTS = {"green": "#009E73", "amber": "#E69F00", "red": "#D55E00"}


class LivePanel(Panel):
    """Curves with their bands while frames arrive, by the mode and the parameters of the session.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    kind : ipywidgets.Dropdown
        ``"file"``, ``"folder"`` or ``"replay"``.
    source, partition, key, save : ipywidgets.Text
        Path of the frames, of the q map, of the stack in an HDF5 file, and of the file that always holds the last result.
    dt, first : NumberField
        s, and frames of the first fit.
    speed : ipywidgets.Dropdown
        Of a replay.
    start, stop : ipywidgets.Button
    when : ipywidgets.IntSlider
        Which of the fits so far is shown; the latest, while it is at its end.
    updates : list of LiveUpdate
    light, told : ipywidgets.HTML
    figure : LiveFigure

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> hnb.app.LivePanel(hnb.AnalysisSession())                          # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        self.kind = widgets.Dropdown(options=_SOURCES, description="frames of", layout={"width": "250px"})
        self.source = _path("from", "path of the file or folder with the frames")
        self.partition = _path("q map", "file with the bin of each pixel (APS q map)")
        self.key = widgets.Text(
            description="stack", placeholder="path in the HDF5 file", layout={"width": "220px"}
        )
        self.dt = NumberField("dt", optional=True, description="dt (s)", placeholder="of the file")
        self.first = NumberField("first", whole=True, description="first fit after (frames)")
        self.first.put(100)
        self.speed = widgets.Dropdown(options=_SPEEDS, description="speed", layout={"width": "180px"})
        self.save = widgets.Text(
            description="save to",
            placeholder="nowhere",
            tooltip="A file that holds the last result at any time",
            layout={"width": "220px"},
        )
        for one, width in ((self.dt, "160px"), (self.first, "230px")):
            one.layout.width = width
        for labelled in (self.kind, self.key, self.dt, self.first, self.speed, self.save):
            labelled.style.description_width = "initial"
        self.start = button(
            "Start", "Fit, and fit again whenever the data have grown by a tenth", 80, "primary"
        )
        self.stop = button("Stop", "End it; the last fit stays", 80, "warning")
        self.light = widgets.HTML(layout={"flex": "1 1 300px"})
        self.when = widgets.IntSlider(
            min=0, max=0, description="fit", readout=False, layout={"flex": "1 1 300px", "width": "auto"}
        )
        self.figure = LiveFigure(520, "Curves appear here once there are frames enough for a first fit.")
        self.told = widgets.HTML(layout={"width": "100%"})
        self.widget = widgets.VBox(
            [
                row(self.kind, self.source, self.partition),
                row(self.key, self.dt, self.first, self.speed, self.save, self.start, self.stop),
                self.message,
                row(self.light, self.when),
                self.figure.widget,
                self.told,
                self.page,
            ],
            layout={"width": "100%"},
        )
        self.updates: list[LiveUpdate] = []
        self._live: Live | None = None
        self._work: Work | None = None
        self._mailbox = Mailbox(lambda error: self.say(str(error)), threading.RLock())
        self.on_press(self.start, self._start)
        self.on_press(self.stop, self._stop)
        self.watch(self.kind, "value", self._show_fields)
        self.watch(self.when, "value", self.draw)
        self.watch(self.page, "theme", self.draw)
        self._show_fields()
        self._show_buttons()

    def _start(self) -> None:
        if self._work is not None:
            raise ConfigurationError("a live fit is running", where="Start", hint="stop it first")
        texts = {name: getattr(self, name).value.strip() for name in ("source", "partition", "key", "save")}
        for name, what in (("source", "the frames"), ("partition", "the q map")):
            if not texts[name]:
                raise ConfigurationError(
                    f"{what} are not named" if name == "source" else f"{what} is not named"
                )
        if texts["save"] and Path(texts["save"]).exists():
            raise ConfigurationError(
                "exists and is left as it is", where=texts["save"], hint="choose another name"
            )
        settings, session = self.session.settings, self.session
        make = partial(
            self._source, self.kind.value, texts, self.dt.read(), self.speed.value, texts["key"] or None
        )
        asked = {
            "mode": settings.mode,
            "parameters": session.asked(),
            "contrast": settings.contrast,
            "seed": settings.seed,
            "first": self.first.read(),
            "key": texts["key"] or None,
            "save": texts["save"] or None,
        }
        self._mailbox.open()
        self.updates, self.when.max = [], 0
        self.told.value = ""
        self.figure.clear()
        self._work = Work(
            "live", partial(self._follow, make, asked), StopToken(), self._mailbox, self._told, self._ended
        )
        self._show_buttons()
        self.light.value = "waiting for frames …"
        self._work.start()

    @staticmethod
    def _source(
        kind: str, texts: dict[str, str], dt: float | None, speed: float, key: str | None
    ) -> dict[str, Any]:
        """The source and what it is known by, as :func:`heterodyne_nb.live` takes them."""
        path = Path(texts["source"]).expanduser()
        if kind != "replay":
            return {"source": path, "partition": texts["partition"], "dt": dt}
        frames = heterodyne_nb.open_frames(path, partition=texts["partition"], dt=dt, key=key)
        return {"source": _paced(frames, speed), "partition": frames.partition, "dt": frames.dt}

    def _follow(self, make: Any, asked: dict[str, Any], report: Any, stop: StopToken) -> None:
        """In a thread of its own: take what comes, and report each fit."""
        live = self._live = heterodyne_nb.live(**make(), **asked, stop=stop)
        for update in live:
            self.updates.append(update)
            said = f"{update.frames} frames"
            report(ProgressEvent("live", None, update.result.chi2_reduced, message=said))

    def _told(self, event: ProgressEvent) -> None:
        """Show what is new: the latest fit, unless an earlier one is looked at."""
        latest = self.when.value == self.when.max
        self.when.max = max(len(self.updates) - 1, 0)
        if latest and self.when.value != self.when.max:
            self.when.value = self.when.max
        elif latest:
            self.draw()
        self._show_buttons()

    def _ended(self, work: Work) -> None:
        if work is not self._work:
            return
        self._work = None
        if self.updates:
            self._told(ProgressEvent("live", None))
        else:
            self.light.value = "there were not frames enough for a fit"
        self._show_buttons()
        told = self._live.told if self._live is not None else []
        self.told.value += "".join(f"<div>{escape(text)}</div>" for text in told)
        if work.failure is not None:
            raise work.failure

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop.cancel()
            if self._live is not None:
                self._live.look()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the source has ended; False when the time runs out first."""
        return self._work is None or self._work.wait(timeout)

    def draw(self) -> None:
        """Draw the curves of the fit that the slider is at."""
        if not self.updates:
            return
        place = min(self.when.value, len(self.updates) - 1)
        update = self.updates[place]
        result = update.result
        light = result.light
        self.light.value = (
            f'<span role="img" aria-label="{light}" style="color:{_LIGHTS[light]};font-size:20px">●</span> '
            f"{light} · {update.frames} frames, {update.t:.4g} s · reduced χ² {result.chi2_reduced:.4g}"
            f" · fit {place + 1} of {len(self.updates)}"
        )
        figure = plots.curves(result, theme=self.page.theme)
        figure.update_xaxes(range=[0, self.updates[-1].t])
        self.figure.draw(figure, of=self.source.value, height=figure.layout.height)
        self.told.value = flags_html(result)

    def _show_fields(self) -> None:
        replay = self.kind.value == "replay"
        self.speed.layout.display = "" if replay else "none"
        self.key.layout.display = "none" if self.kind.value == "folder" else ""

    def _show_buttons(self) -> None:
        self.start.disabled, self.stop.disabled = self._work is not None, self._work is None
        self.when.disabled = len(self.updates) < 2

    def close(self) -> None:
        """Also end what runs, and take the figure away."""
        work = self._work
        self._stop()
        self._work = None
        if work is not None:
            work.join(5.0)
        self.figure.close()
        super().close()


def _paced(frames: FrameSet, speed: float) -> Iterator[Any]:
    """The frames of a stored run, no sooner than they were measured, times a speed."""
    begun = time.monotonic()
    for item in arriving(frames, threading.Event()):
        wait = item[0] * frames.dt / speed - (time.monotonic() - begun)
        if wait > 0:
            time.sleep(wait)
        yield item


def _path(label: str, hint: str) -> widgets.Text:
    return widgets.Text(
        description=label,
        placeholder=hint,
        layout={"flex": "1 1 280px", "width": "auto"},
        style={"description_width": "initial"},
    )
