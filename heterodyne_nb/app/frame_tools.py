"""Which frames are used: masked by brush, by number or as offered; cropped; undone."""

from __future__ import annotations

import re
from functools import partial
from html import escape

import ipywidgets as widgets
import numpy as np

from heterodyne_nb.app.latest import Background
from heterodyne_nb.app.map_view import MapCanvas, Run, TraceStrip, frame_axis, in_words, masked_runs, runs_of
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.undo_bar import UndoBar
from heterodyne_nb.data.prepare import detect_bad_frames
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.select import used_frames

__all__ = ["FrameTools"]


class FrameTools(Panel):
    """Masks and crops frames of a session; brushes on the map and the strip do the same.

    Attributes
    ----------
    state : ipywidgets.HTML
        How many frames are left out, and which.
    numbers : ipywidgets.Text
        Frames in words, such as ``3, 121-124``, for `mask` and `unmask`.
    find : ipywidgets.Button
        Looks for bad frames and offers them; `accept` masks them, `dismiss` does not.
    first, last : ipywidgets.BoundedIntText
        Frames that `crop` keeps; `uncrop` takes all again.
    undo, redo : ipywidgets.Button
    """

    def __init__(self, session: AnalysisSession, canvas: MapCanvas, strip: TraceStrip) -> None:
        super().__init__(session)
        self.canvas, self.strip = canvas, strip
        self.background = Background(lambda error: self.say(str(error)))
        self.offer: list[Run] = []
        self._make()
        self.widget = widgets.VBox(
            [
                row(self.find, self.back.widget, self.state),
                self.offered,
                row(
                    row(self.numbers, self.mask, self.unmask, width="auto"),
                    row(self.first, self.last, self.crop, self.uncrop, width="auto"),
                ),
                self.message,
                self.page,
            ]
        )
        self._connect()
        self._show()

    def _make(self) -> None:
        number = {"min": 1, "max": 1, "layout": {"width": "120px"}, "style": {"description_width": "40px"}}
        self.state = widgets.HTML()
        self.find = button(
            "Find bad frames", "Compare every frame with the others; nothing is masked yet", 140
        )
        self.back = self.add(UndoBar(self.session))
        self.undo, self.redo = self.back.undo, self.back.redo
        self.accept = button("Mask these", "Leave the offered frames out", 110, "primary")
        self.dismiss = button("Dismiss", "Keep the offered frames", 90)
        self.offer_words = widgets.HTML()
        self.offered = row(self.offer_words, self.accept, self.dismiss, display="none")
        self.numbers = widgets.Text(
            placeholder="121-124, 150",
            description="frames",
            layout={"width": "210px"},
            style={"description_width": "48px"},
        )
        self.mask = button("Mask", "Leave these frames out", 84)
        self.unmask = button("Use again", "Use these frames again; all if none is named", 94)
        self.first = widgets.BoundedIntText(description="first", **number)
        self.last = widgets.BoundedIntText(description="last", **number)
        self.crop = button("Crop", "Keep the frames from first to last alone", 84)
        self.uncrop = button("All frames", "Take the crop back", 94)

    def _connect(self) -> None:
        for source in (self.canvas, self.strip):
            self.watch(source, "brushed", partial(self._brushed, source))
            self.watch(source, "erased", partial(self._erased, source))
        actions = {
            self.find: self.look,
            self.accept: self._accept,
            self.dismiss: self._dismiss,
            self.mask: lambda: [self.session.mask_frames(*run) for run in self._named()],
            self.unmask: self._use_again,
            self.crop: lambda: self.session.crop_frames(self.first.value, self.last.value),
            self.uncrop: self.session.crop_frames,
        }
        for one, action in actions.items():
            self.on_press(one, action)
        self.watch(self.session, "dataset", self._show)

    def look(self) -> None:
        """Look for bad frames in the background and offer them."""
        ds = self.session.dataset
        if ds is None:
            raise ConfigurationError("no run is open", where="Find bad frames")
        self.find.disabled, self.find.description = True, "Looking…"

        def found(good: np.ndarray) -> None:
            self._looked()
            if self.session.dataset is ds:
                self._offer(runs_of(used_frames(ds) & ~good, frame_axis(ds)[0][0]))

        self.background.start("bad frames", lambda: detect_bad_frames(ds).values, found)

    def _looked(self) -> None:
        self.find.disabled, self.find.description = False, "Find bad frames"

    def _offer(self, runs: list[Run]) -> None:
        self.offer = runs
        self.canvas.offered = self.strip.offered = runs
        words = f"unlike the others: frames {in_words(runs)}" if runs else "no frame is unlike the others"
        self.offer_words.value = f'<span style="margin-right:8px">{escape(words)}</span>'
        self.accept.layout.display = "" if runs else "none"
        self.offered.layout.display = ""

    def _dismiss(self) -> None:
        self.offer = []
        self.canvas.offered = self.strip.offered = []
        self.offered.layout.display = "none"

    def _accept(self) -> None:
        runs = self.offer
        self._dismiss()
        if runs:
            self.session.masked = (*self.session.masked, *runs)

    def _brushed(self, source: MapCanvas | TraceStrip) -> None:
        run, source.brushed = source.brushed, ()
        if run:
            self.session.mask_frames(*run)

    def _erased(self, source: MapCanvas | TraceStrip) -> None:
        run, source.erased = source.erased, ()
        if run:
            self.session.unmask_frames(*run)

    def _use_again(self) -> None:
        if not self.numbers.value.strip():
            self.session.unmask_frames()
        for run in self._named() if self.numbers.value.strip() else []:
            self.session.unmask_frames(*run)

    def _named(self) -> list[Run]:
        """The frames written in the field."""
        runs = []
        for part in filter(
            None, re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", self.numbers.value.strip()))
        ):
            found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
            if not found:
                raise ConfigurationError(
                    f"{part!r} is no frame", where="frames", expected="such as 3, 121-124"
                )
            runs.append((int(found[1]), int(found[2] or found[1])))
        if not runs:
            raise ConfigurationError("no frame is named", where="frames", expected="such as 3, 121-124")
        return runs

    def _show(self) -> None:
        self._dismiss()
        ds, original = self.session.dataset, self.session.original
        frames = (
            self.find,
            self.numbers,
            self.mask,
            self.unmask,
            self.first,
            self.last,
            self.crop,
            self.uncrop,
        )
        for control in frames:
            control.disabled = ds is not None and "t" not in ds.coords
        if ds is None or original is None or "t" not in ds.coords:
            self.state.value = ""
            return
        (first, last), _ = frame_axis(ds)
        runs, left_out = masked_runs(ds), int((~used_frames(ds)).sum())
        count = f"{left_out} of {last - first + 1} frames masked"
        self.state.value = escape(
            f"{count}: {in_words(runs)}" if runs else f"all {last - first + 1} frames used"
        )
        (low, high), _ = frame_axis(original)
        for control, value in ((self.first, first), (self.last, last)):
            with control.hold_sync():
                control.min, control.max = min(low, control.min), max(high, control.max)
                control.value = value
                control.min, control.max = low, high

    def close(self) -> None:
        """Also let a search for bad frames go."""
        self.background.close()
        super().close()
