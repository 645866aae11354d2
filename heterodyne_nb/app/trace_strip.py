"""A strip with one number a frame, to see and brush bad frames."""

from __future__ import annotations

from typing import Any

import anywidget
import numpy as np
import traitlets
import xarray as xr

from heterodyne_nb.app.frames import frame_axis, masked_runs
from heterodyne_nb.app.frontend import script, style
from heterodyne_nb.plots.canvas import quantity
from heterodyne_nb.plots.quality import intensity_limits, intensity_trace
from heterodyne_nb.plots.select import Choice, find_bins, used_frames

__all__ = ["TraceStrip"]

#: Longer traces travel as the lowest and highest of blocks of frames.
_BLOCKS = 1000


class TraceStrip(anywidget.AnyWidget):
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
    title = traitlets.Unicode("").tag(sync=True)
    view = traitlets.List(traitlets.Float()).tag(sync=True)
    frames = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 2)).tag(sync=True)
    dt = traitlets.Float(1.0).tag(sync=True)
    bands: traitlets.List = traitlets.List().tag(sync=True)
    offered: traitlets.List = traitlets.List().tag(sync=True)
    brushed = traitlets.Tuple().tag(sync=True)
    erased = traitlets.Tuple().tag(sync=True)

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
