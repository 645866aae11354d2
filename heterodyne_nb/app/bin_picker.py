"""Which (q, φ) bin is shown, and which are fitted."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.sector_mosaic import SectorMosaic
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.selection import places
from heterodyne_nb.data.dataset import levels, live_bins, stack_bins

__all__ = ["BinPicker"]

_FITTED = (("all bins", "all"), ("this q", "ring"), ("this bin", "bin"))
_WIDE = {"flex": "1 1 260px", "width": "auto", "min_width": "220px"}


class _Steps(widgets.SelectionSlider):
    """A slider that stays where it is while its steps mean the same, whatever they are called.

    ipywidgets' own goes to the first step and back and tells the page of both: as the answer to another slider, late
    on a busy machine, that undid where this one had been moved meanwhile.
    """

    @traitlets.observe("options")
    def _propagate_options(self, change: Any) -> None:
        labels, values = zip(*self._options_full, strict=True)
        if values != getattr(self, "_options_values", None):
            super()._propagate_options(change)
            return
        self.set_trait("_options_labels", labels)
        self.label = labels[self.index]


class BinPicker(Panel):
    """Sliders for q and φ of the bin shown, and a choice of the bins that are fitted.

    Attributes
    ----------
    q : ipywidgets.SelectionSlider
        1/Å.
    phi : ipywidgets.SelectionSlider
        Degrees; the angles of the ring chosen.
    fitted : ipywidgets.Dropdown
        ``"all"``, ``"ring"``, ``"bin"``, or ``"own"`` for a choice made elsewhere.
    sectors : ipywidgets.ToggleButton
        Shows the bins as sectors of a polar picture, to choose one by a click.
    mosaic : SectorMosaic or None
        That picture; None until it is first shown.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        slider = {"options": [("–", 0.0)], "value": 0.0, "disabled": True, "layout": _WIDE}
        self.q = _Steps(description="q", style={"description_width": "20px"}, **slider)
        self.phi = _Steps(description="φ", style={"description_width": "20px"}, **slider)
        self.fitted = widgets.Dropdown(
            options=_FITTED,
            description="fit",
            tooltip="Which bins the next fit takes",
            layout={"width": "150px"},
            style={"description_width": "24px"},
        )
        self.sectors = widgets.ToggleButton(
            description="Sectors",
            tooltip="The bins as sectors, coloured by contrast, χ² or fringe frequency: click one to show it",
            icon="pie-chart",
            layout={"width": "100px"},
        )
        self.mosaic: SectorMosaic | None = None
        self._below = widgets.VBox()
        self.widget = widgets.VBox(
            [row(self.q, self.phi, self.fitted, self.sectors), self.message, self._below, self.page]
        )
        self._setting = False
        self.watch(self.q, "value", self._ring_chosen)
        self.watch(self.phi, "value", self._angle_chosen)
        self.watch(self.fitted, "value", self._fitted_chosen)
        self.watch(self.sectors, "value", self._open_mosaic)
        self.watch(session, ["dataset", "bin", "bins"], self._show)
        self._show()

    def _show(self) -> None:
        """Put the sliders where the session is."""
        ds = self.session.dataset
        if ds is None:
            return
        self._q, self._phi = places(ds)
        self._rings, self._ring_of = levels(self._q)
        self._alive = live_bins(stack_bins(ds, drop_dead=False))
        ring = int(self._ring_of[self.session.bin])
        self._setting = True
        try:
            _offer(self.q, [(f"{q:.4g} Å⁻¹", float(q)) for q in self._rings], float(self._rings[ring]))
            members = self._members(ring)
            angles = [(self._angle_label(k), float(self._phi[k])) for k in members]
            _offer(self.phi, angles, float(self._phi[self.session.bin]))
            choice = self._fitted_now()
            own = (("own choice", "own"),) if choice == "own" else ()
            self.fitted.options = (*_FITTED, *own)
            self.fitted.value = choice
        finally:
            self._setting = False

    def _open_mosaic(self) -> None:
        if self.mosaic is None:
            self.mosaic = self.add(SectorMosaic(self.session))
        self._below.children = (self.mosaic.widget,) if self.sectors.value else ()

    def _members(self, ring: int) -> np.ndarray:
        members = np.flatnonzero(self._ring_of == ring)
        return members[np.argsort(self._phi[members], kind="stable")]

    def _angle_label(self, bin: int) -> str:
        text = f"{self._phi[bin]:.4g}°".replace("-", "−")
        return text if self._alive[bin] else f"{text} (no data)"

    def _ring_chosen(self) -> None:
        if not self._setting:
            self.session.select_bin(q=self.q.value, phi=self.phi.value)

    def _angle_chosen(self) -> None:
        if not self._setting:
            members = self._members(int(self._ring_of[self.session.bin]))
            self.session.select_bin(int(members[self.phi.index]))

    def _fitted_now(self) -> str:
        chosen = self.session.bins
        if chosen is None:
            return "all"
        ring = tuple(sorted(map(int, self._members(int(self._ring_of[self.session.bin])))))
        return "bin" if chosen == (self.session.bin,) else "ring" if chosen == ring else "own"

    def _fitted_chosen(self) -> None:
        if self._setting or self.session.dataset is None:
            return
        ring = [int(k) for k in self._members(int(self._ring_of[self.session.bin])) if self._alive[k]]
        choice = {"all": None, "ring": ring, "bin": [self.session.bin]}
        if self.fitted.value in choice:
            self.session.fit_bins(choice[self.fitted.value])


def _offer(slider: widgets.SelectionSlider, options: list[tuple[str, float]], value: float) -> None:
    """Other options and value of a slider; what is right already is not sent again."""
    if list(slider.options) != options:
        slider.options = options
    if slider.value != value:
        slider.value = value
    slider.disabled = len(options) < 2
