"""The bins of a run as sectors of a polar picture, coloured by one number each, to choose one from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
import xarray as xr

from heterodyne_nb.app.latest import Latest
from heterodyne_nb.app.live_figure import script, style
from heterodyne_nb.app.map_view import colour_table
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.selection import contrast_and_noise, places
from heterodyne_nb.data.dataset import is_level, levels, live_bins, stack_bins
from heterodyne_nb.data.fringes import CLEAR_PEAK, fringe_spectrum
from heterodyne_nb.result import FitResult

__all__ = ["MosaicView", "SectorMosaic", "sector_edges"]

#: Titles of the numbers, and their names.
_NUMBERS = (
    ("contrast at short lags", "contrast"),
    ("reduced χ² of the fit shown", "chi2"),
    ("fringe frequency (Hz)", "fringes"),
)
#: Radius of the hole in the middle, the outer radius being 1; no sector is wider than this many degrees.
_HOLE, _WIDEST = 0.22, 90.0


class MosaicView(anywidget.AnyWidget):
    """Sectors, one of them chosen, by mouse or by arrow keys.

    Attributes
    ----------
    sectors : list of (inner radius, outer radius, angle from, angle to)
        Radii up to 1, degrees counted anticlockwise from the right.
    rings : list of int
        Ring of each sector, from the innermost.
    values : list of float or None
    names : list of str
        What a screen reader, and the line below the picture, says of each sector.
    chosen : int
    picked : list
        Sector picked last, and the number of the pick.
    heard : int
        Number of the last pick that was dealt with.
    """

    _esm = script("surface", "sector_mosaic")
    _css = style("map_view")

    sectors: traitlets.List = traitlets.List().tag(sync=True)
    rings: traitlets.List = traitlets.List().tag(sync=True)
    values: traitlets.List = traitlets.List().tag(sync=True)
    names: traitlets.List = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)
    colours = traitlets.Bytes().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)
    picked: traitlets.List = traitlets.List()

    def __init__(self) -> None:
        super().__init__(colours=colour_table())
        self.on_msg(self._heard)

    def _heard(self, _: Any, told: dict[str, Any], __: Any) -> None:
        """What the page says was done."""
        if "pick" in told:
            self.picked = [told["pick"], told["number"]]
            self.heard = told["number"]


class SectorMosaic(Panel):
    """The sectors of a session's run; the one chosen is the bin shown in every panel.

    Attributes
    ----------
    number : ipywidgets.Dropdown
        ``"contrast"`` of the data at short lags, ``"chi2"`` of the fit shown, or ``"fringes"``: the frequency of the
        fringes across the diagonal in the middle of the run, where their peak is clear.
    view : MosaicView
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.number = widgets.Dropdown(
            options=_NUMBERS, tooltip="What colours the sectors", layout={"width": "230px"}
        )
        self.view = MosaicView()
        self.answers = Latest(lambda error: self.say(str(error)))
        self.widget = row(
            self.view, widgets.VBox([self.number, self.message, self.page]), align_items="flex-start"
        )
        self.watch(self.view, "picked", lambda: session.select_bin(self.view.picked[0]))
        self.watch(self.number, "value", self._measure)
        self.watch(session, "dataset", self._lay_out)
        self.watch(session, "bin", lambda: setattr(self.view, "chosen", session.bin))
        self.watch(session, ["shown", "history"], self._another_fit)
        self._lay_out()

    def _lay_out(self) -> None:
        ds = self.session.dataset
        if ds is None:
            return
        q, phi = places(ds)
        with self.view.hold_sync():
            self.view.values = self.view.names = []
            self.view.sectors = sector_edges(q, phi).tolist()
            self.view.rings = levels(q)[1].tolist()
            self.view.chosen = self.session.bin
        self._measure()

    def _another_fit(self) -> None:
        if self.number.value == "chi2":
            self._measure()

    def _measure(self) -> None:
        """Ask for the numbers: beside the page, as every map is looked into."""
        ds, session, kind = self.session.dataset, self.session, self.number.value
        if ds is None:
            return
        compute: Callable[[], np.ndarray]
        if kind == "chi2":
            result = None if session.shown is None else session.history[session.shown].result
            compute = partial(_chi2, ds, result)
        else:
            compute = partial(_of_bins, ds, _contrast if kind == "contrast" else _frequency)

        def show(values: np.ndarray) -> None:
            if session.dataset is ds:
                self._show(ds, kind, values)

        self.answers.ask(compute, show, at_once=kind == "chi2")

    def _show(self, ds: xr.Dataset, kind: str, values: np.ndarray) -> None:
        title = next(title for title, name in _NUMBERS if name == kind)
        alive = live_bins(stack_bins(ds, drop_dead=False))
        nothing = {"contrast": "no data", "chi2": "not fitted", "fringes": "no clear fringes"}[kind]
        names = []
        for q, phi, value, has_data in zip(*places(ds), values, alive, strict=True):
            told = f"{title} {value:.4g}" if np.isfinite(value) else nothing if has_data else "no data"
            names.append(f"q {q:.4g} Å⁻¹, φ {phi:.4g}°: {told}".replace("-", "−"))
        with self.view.hold_sync():
            self.view.title, self.view.names = title, names
            self.view.values = [float(value) if np.isfinite(value) else None for value in values]

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until the numbers are there; False when the time runs out first."""
        return self.answers.wait(timeout)

    def close(self) -> None:
        """Also let what is being computed go."""
        self.answers.close()
        super().close()


def sector_edges(q: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Where the sectors of bins lie: rings of equal width from the lowest q, angles half way to the neighbours.

    Parameters
    ----------
    q, phi : (n,) arrays
        1/Å and degrees.

    Returns
    -------
    (n, 4) array
        Inner and outer radius (at most 1), first and last angle in degrees.
    """
    rings, ring_of = levels(q)
    inner = _HOLE + (1 - _HOLE) * ring_of / rings.size
    edges = np.stack(
        [inner, inner + (1 - _HOLE) / rings.size, np.zeros(len(q)), np.full(len(q), 360.0)], axis=1
    )
    for ring in range(rings.size):
        members = np.flatnonzero(ring_of == ring)
        members = members[np.argsort(phi[members] % 360, kind="stable")]
        if members.size > 1:
            angles = phi[members] % 360
            after = np.diff(angles, append=angles[0] + 360)
            widest = min(float(np.median(after)), _WIDEST)
            half = np.minimum(after, widest) / 2
            edges[members, 2], edges[members, 3] = angles - np.roll(half, 1), angles + half
    return edges


def _of_bins(ds: xr.Dataset, number: Callable[[xr.Dataset], float]) -> np.ndarray:
    """A number of each bin; NaN where it holds no data."""
    stacked = stack_bins(ds, drop_dead=False)
    alive = live_bins(stacked)
    return np.array([number(stacked.isel(bin=[k])) if alive[k] else np.nan for k in range(alive.size)])


def _contrast(one: xr.Dataset) -> float:
    return contrast_and_noise(one.isel(bin=0))[0] - 1


def _frequency(one: xr.Dataset) -> float:
    """Of the clear fringes in the middle of the run, in Hz."""
    if "c2" not in one:
        return np.nan
    t = one["t"].values
    found = fringe_spectrum(
        one, age=float((t[0] + t[-1]) / 2), width=0.03 * float(t[-1] - t[0]), cut="diagonal"
    )
    clear = float(found["peak_to_median"].values.item()) > CLEAR_PEAK
    return float(found["peak_frequency"].values.item()) if clear else np.nan


def _chi2(ds: xr.Dataset, result: FitResult | None) -> np.ndarray:
    """Reduced chi-square of the bins that were fitted."""
    q, phi = places(ds)
    values = np.full(q.size, np.nan)
    if result is not None and "chi2_reduced_bin" in result.dataset:
        fitted = (np.atleast_1d(result.dataset[name].values) for name in ("q", "phi", "chi2_reduced_bin"))
        for ring, angle, chi2 in zip(*fitted, strict=True):
            values[is_level(q, ring) & is_level(phi, angle)] = chi2
    return values
