"""How the next fit is made: mode, method, loss, contrast, starts, limits."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.number_field import NumberField
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.optimize import STRATEGIES
from heterodyne_nb.options import CONTRASTS, LOSSES, FitOptions

__all__ = ["SettingsForm"]

_CONTRASTS = {
    "per_bin": "one a bin",
    "per_q": "one a q",
    "shared": "one for all",
    "smooth_phi": "smooth in φ",
}
#: Settings with a field for a number.
_TYPED = ("multistart", "seed", "time_limit", "gap", "loss_scale")


class SettingsForm(Panel):
    """The settings of the next fit of a session.

    Attributes
    ----------
    mode, method, loss, contrast : ipywidgets.Dropdown
    loss_scale : NumberField
        Empty for "auto"; shown for losses that have one.
    multistart, seed : NumberField
        Whole numbers; multistart empty lets the search decide.
    time_limit : NumberField
        s; empty for none.
    gap : NumberField
        Å; shown for modes that need it.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.mode = _menu("mode", [(n.replace("_", " "), n) for n in ModelFactory.names()], 250)
        self.method = _menu("method", [(n.replace("_", " "), n) for n in STRATEGIES.names()], 200)
        self.loss = _menu("loss", [(n.replace("_", " "), n) for n in LOSSES.names()], 150)
        self.contrast = _menu("contrast", [(_CONTRASTS[n], n) for n in CONTRASTS.names()], 190)
        self.multistart = _field(
            "starts", "Start vectors fitted; empty: the search decides; 0: the given start alone", 130
        )
        self.loss_scale = _field(
            "outliers from (σ)", FitOptions.model_fields["loss_scale"].description or "", 190, whole=False
        )
        self.loss_scale.placeholder = "auto"
        self.seed = _field("seed", "Seed of the search", 100, optional=False)
        self.time_limit = _field(
            "time limit (s)", "The best so far is kept then; empty: none", 180, whole=False
        )
        self.gap = _field("gap (Å)", "Gap of the shear cell", 160, whole=False)
        self.widget = widgets.VBox(
            [
                row(
                    self.mode,
                    self.method,
                    self.loss,
                    self.loss_scale,
                    self.contrast,
                    self.multistart,
                    self.time_limit,
                    self.seed,
                    self.gap,
                ),
                self.message,
                self.page,
            ]
        )
        self._showing = False
        for name in ("mode", "method", "loss", "contrast"):
            self.watch(getattr(self, name), "value", partial(self._chosen, name))
        for name in _TYPED:
            self.watch(getattr(self, name), "value", partial(self._typed, name))
        self.watch(session, "settings", self._show)
        self._show()

    def _show(self) -> None:
        settings = self.session.settings
        self._showing = True
        try:
            for name in ("mode", "method", "loss", "contrast"):
                menu, value = getattr(self, name), getattr(settings, name)
                if value not in [v for _, v in menu.options]:
                    menu.options = (*menu.options, (value, value))
                menu.value = value
            for name in _TYPED:
                value = getattr(settings, name)
                getattr(self, name).put(None if value == "auto" else value)
            self.loss_scale.layout.display = "none" if settings.loss == "linear" else ""
            model = ModelFactory.create_model(settings.mode)
            self.gap.layout.display = "" if getattr(model, "needs_gap", False) else "none"
        finally:
            self._showing = False
        self.say("")

    def _chosen(self, name: str) -> None:
        if self._showing:
            return
        try:
            self.session.change_settings(**{name: getattr(self, name).value})
        except Exception:
            self._show()
            raise

    def _typed(self, name: str) -> None:
        field: Any = getattr(self, name)
        if self._showing or not field.edited:
            return
        field.mark(True)
        value = field.read()
        empty = FitOptions.default(name) if name == "loss_scale" else None
        self.session.change_settings(**{name: empty if value is None else value})
        self._show()


def _menu(label: str, options: list[tuple[str, str]], width: int) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=options,
        description=label,
        layout={"width": f"{width}px"},
        style={"description_width": "initial"},
    )


def _field(label: str, tip: str, width: int, *, optional: bool = True, whole: bool = True) -> NumberField:
    return NumberField(
        label,
        optional=optional,
        whole=whole,
        description=label,
        tooltip=tip,
        placeholder="auto" if label == "starts" else "none" if optional else "",
        layout={"width": f"{width}px"},
        style={"description_width": "initial"},
    )
