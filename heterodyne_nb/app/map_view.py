"""A two-time map and the strip of frames under it: reduced on their way to the browser, brushed and cut by mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import numpy as np
import traitlets
import xarray as xr

from heterodyne_nb.app.live_figure import script, style
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import MapView
from heterodyne_nb.plots import map_view as read_window
from heterodyne_nb.plots.canvas import MAP_SCALE, quantity
from heterodyne_nb.plots.maps import Limits, colour_limits
from heterodyne_nb.plots.quality import intensity_limits, intensity_trace
from heterodyne_nb.plots.select import Choice, find_bins, frame_times, one_bin, used_frames

Run = tuple[int, int]


def frame_axis(ds: xr.Dataset) -> tuple[Run, float]:
    """Numbers of the first and last frame (from 1), and the time step in s: frame k is at k·dt."""
    dt = float(ds.attrs["dt"])
    times = frame_times(ds)
    return (round(float(times[0]) / dt), round(float(times[-1]) / dt)), dt


def runs_of(marked: np.ndarray, first: int) -> list[Run]:
    """Runs (first, last) of marked frames, both ends included; frame `first` comes first in the array."""
    steps = np.diff(np.concatenate([[0], np.asarray(marked, dtype=int), [0]]))
    starts, stops = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    return [(int(a) + first, int(b) - 1 + first) for a, b in zip(starts, stops, strict=True)]


def masked_runs(ds: xr.Dataset) -> list[Run]:
    """Runs of frames that are left out."""
    return runs_of(~used_frames(ds), frame_axis(ds)[0][0])


def in_words(runs: list[Run]) -> str:
    """Runs as a person writes them: ``"3, 121–124"``."""
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)


__all__ = ["MapCanvas", "TraceStrip"]

#: Longest side of what is sent to the browser.
_PIXELS = 500


class _FrameView(anywidget.AnyWidget):
    """What map and strip share: frames along their axes, those marked, and those just brushed."""

    title = traitlets.Unicode("").tag(sync=True)
    view = traitlets.List(traitlets.Float()).tag(sync=True)
    frames = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 2)).tag(sync=True)
    dt = traitlets.Float(1.0).tag(sync=True)
    bands: traitlets.List = traitlets.List().tag(sync=True)
    offered: traitlets.List = traitlets.List().tag(sync=True)
    brushed = traitlets.Tuple().tag(sync=True)
    erased = traitlets.Tuple().tag(sync=True)


class MapCanvas(_FrameView):
    """One bin's two-time map on a canvas.

    At most 500 × 500 pixels travel to the browser, as float32; zooming sends the wanted window back, of which
    the block means follow, down to single pixels. Colours are made in the browser.

    Parameters
    ----------
    ds : xarray.Dataset, optional
        With ``c2``; :meth:`show` can give it later.
    q, phi, bin : optional
        Which bin, as in :func:`heterodyne_nb.plots.c2`.

    Attributes
    ----------
    view : list of float
        Shown window (t1 low, high, t2 low, high) in s; empty: the whole run.
    limits : (float, float)
        c2 (or its logarithm) at the ends of the colours.
    bands, offered : list of (first, last)
        Frames drawn as masked, and as offered to be masked.
    cut : {"row", "diagonal", ""}
        Kind of the cut drawn, none if empty; `age` and `width` in s are moved by mouse and arrow keys.
    tool : {"zoom", "pan", "mask"}
        What dragging on the map does; dragging along an axis always brushes.
    brushed, erased : tuple of int
        Frames (first, last) just brushed, or brushed with Shift; empty until then.
    """

    _esm = script("surface", "download", "map_picture", "map_cut", "map_gestures", "map_view")
    _css = style("map_view")

    base = traitlets.Dict().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)
    colours = traitlets.Bytes().tag(sync=True)
    limits = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(1.0, 1.5)).tag(sync=True)
    title = traitlets.Unicode("c₂").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    cut = traitlets.Enum(("row", "diagonal", ""), default_value="").tag(sync=True)
    age = traitlets.Float(1.0).tag(sync=True)
    width = traitlets.Float(1.0).tag(sync=True)
    tool = traitlets.Enum(("zoom", "pan", "mask"), default_value="zoom").tag(sync=True)

    def __init__(
        self,
        ds: xr.Dataset | None = None,
        *,
        q: Choice = None,
        phi: Choice = None,
        bin: int | None = None,
        **traits: Any,
    ) -> None:
        unknown = sorted(set(traits) - set(self.trait_names()))
        if unknown:
            raise ConfigurationError(f"no setting {unknown[0]!r}", where="MapCanvas", expected=_settings())
        super().__init__(colours=colour_table(), **traits)
        self._read: Callable[..., MapView] | None = None
        self._number = 0
        if ds is not None:
            self.show(ds, q=q, phi=phi, bin=bin)

    def show(
        self,
        ds: xr.Dataset,
        *,
        q: Choice = None,
        phi: Choice = None,
        bin: int | None = None,
        percentiles: Limits = (1.0, 99.0),
        limits: Limits | None = None,
        log: bool = False,
    ) -> None:
        """Draw one bin of a dataset; the window stays where it is if the run's frames are the same.

        Parameters
        ----------
        ds : xarray.Dataset
            With ``c2``.
        q, phi, bin : optional
            Which bin, as in :func:`heterodyne_nb.plots.c2`.
        percentiles, limits, log : optional
            Colours, as in :func:`heterodyne_nb.plots.c2`.

        Raises
        ------
        ConfigurationError
            There is no such bin, or a limit makes no sense; what is drawn stays.
        """
        number = one_bin(ds, q=q, phi=phi, bin=bin).number

        def read(**window: Limits) -> MapView:
            found = read_window(ds, bin=number, max_size=_PIXELS, **window)
            return found.logarithm() if log else found

        whole = read()
        span = colour_limits([whole], percentiles, limits)
        frames, dt = frame_axis(ds)
        kept = self.view if (frames, dt) == (self.frames, self.dt) else []
        self._read = read
        with self.hold_sync():
            self.frames, self.dt, self.bands = frames, dt, masked_runs(ds)
            self.base = self._packed(whole)
            self.detail = self._window(kept) if kept else {}
            self.view = kept
            self.limits, self.title = span, "log₁₀(c₂ − 1)" if log else "c₂"
            self.message = "" if np.isfinite(whole.values).any() else "no data in this bin"

    def clear(self, message: str) -> None:
        """Draw no map, and say why."""
        self._read = None
        with self.hold_sync():
            self.base, self.detail, self.view, self.bands, self.offered = {}, {}, [], [], []
            self.message = message

    @traitlets.observe("view")
    def _refine(self, change: dict[str, Any]) -> None:
        if self._read is not None and change["new"] and change["new"] != change["old"]:
            self.detail = self._window(change["new"])

    def _window(self, view: list[float]) -> dict[str, Any]:
        """The pixels of a window; nothing where they would not be finer than those of the whole."""
        assert self._read is not None
        if self.base.get("factor") == 1:
            return {}
        half = self.dt * 1e-6
        found = self._read(t1=(view[0] - half, view[1] + half), t2=(view[2] - half, view[3] + half))
        return self._packed(found) if found.factor < self.base["factor"] else {}

    def _packed(self, view: MapView) -> dict[str, Any]:
        """A picture as the browser takes it: rows of t2 from the lowest, columns of t1."""
        self._number += 1
        rows = np.ascontiguousarray(view.values.T, dtype=np.float32)
        return {
            "number": self._number,
            "rows": rows.shape[0],
            "columns": rows.shape[1],
            "factor": view.factor,
            "t1": _edges(view.t1, view.factor * self.dt),
            "t2": _edges(view.t2, view.factor * self.dt),
            "data": rows.tobytes(),
        }


def _edges(centres: np.ndarray, size: float) -> list[float]:
    """Outer edges in s of equal blocks; a last block that is cut short still counts in full."""
    low = float(centres[0]) - size / 2
    return [low, low + centres.size * size]


def colour_table() -> bytes:
    """256 RGB colours of the scale that all maps of the package use."""
    from plotly.colors import sample_colorscale, unlabel_rgb

    words = sample_colorscale(MAP_SCALE, list(np.linspace(0.0, 1.0, 256)))
    return np.rint([unlabel_rgb(word) for word in words]).astype(np.uint8).tobytes()


def _settings() -> str:
    own = {**_FrameView.class_own_traits(sync=True), **MapCanvas.class_own_traits(sync=True)}
    return ", ".join(sorted(own))


#: Longer traces travel as the lowest and highest of blocks of frames.
_BLOCKS = 1000


class TraceStrip(_FrameView):
    """Mean intensity of the frames (mean c2 where the file has none) with masked frames hatched.

    Parameters
    ----------
    ds : xarray.Dataset, optional
        With ``intensity(t)`` or ``c2``; :meth:`show` can give it later.
    q, phi, bin : optional
        Which bin, as in :func:`heterodyne_nb.plots.intensity`.

    Attributes
    ----------
    view : list of float
        Shown times (low, high) in s, empty for all; four numbers are taken as the view of a MapCanvas.
    bands, offered, brushed, erased
        As of :class:`~heterodyne_nb.app.map_view.MapCanvas`.
    """

    _esm = script("surface", "trace_strip")
    _css = style("map_view")

    trace = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        ds: xr.Dataset | None = None,
        *,
        q: Choice = None,
        phi: Choice = None,
        bin: int | None = None,
    ) -> None:
        super().__init__()
        if ds is not None:
            self.show(ds, q=q, phi=phi, bin=bin)

    def show(self, ds: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None) -> None:
        """Draw the trace of a dataset.

        Raises
        ------
        ConfigurationError
            There is no such bin, or neither intensity nor maps.
        """
        self.put(drawn_trace(ds, q=q, phi=phi, bin=bin))

    def put(self, traits: dict[str, Any]) -> None:
        """Draw what :func:`drawn_trace` has made, in one message."""
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)


def drawn_trace(
    ds: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None
) -> dict[str, Any]:
    """What a strip shows of a dataset, as its traits; see :meth:`TraceStrip.show`."""
    used = used_frames(ds)
    found = intensity_trace(ds, find_bins(ds, q=q, phi=phi, bin=bin)[0], used)
    pairs = np.stack(_blocks(found.values), axis=1).astype(np.float32)
    frames, dt = frame_axis(ds)
    heights = intensity_limits(found.values, used)
    trace = {"blocks": len(pairs), "heights": heights, "data": pairs.tobytes()}
    title = quantity(found.name, found.unit)
    return {"frames": frames, "dt": dt, "bands": masked_runs(ds), "title": title, "trace": trace}


def _blocks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each of at most a thousand blocks; single frames where they fit."""
    factor = -(-values.size // _BLOCKS)
    starts = np.arange(0, values.size, factor)
    return np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
