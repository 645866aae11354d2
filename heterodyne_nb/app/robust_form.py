"""What a robust fit guards against, and how far: methods, radii, tolerances, scenarios, solver."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.number_field import NumberField
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.names import find_name
from heterodyne_nb.options import ROBUST_METHODS

__all__ = ["RobustForm"]

_ABOUT = {
    "wasserstein": "the worst law of the data near theirs: steadies what they hardly determine",
    "scenario": "the worst of many resamplings of frames and bins",
    "ellipsoidal": "the worst instrument within its tolerances",
}
_SOLVERS = ("CLARABEL", "SCS", "GUROBI")


class RobustForm(Panel):
    """The arguments of a robust fit.

    Attributes
    ----------
    methods : dict of str to ipywidgets.Checkbox
    radii : dict of str to ipywidgets.Text
        ``"auto"``, ``"cv"`` (cross-validation over bins), or a number.
    n_scenarios, cvar : NumberField
        cvar empty: the worst scenario alone.
    q_scale, phi_zero_deg, frame_time, baseline : NumberField
        Tolerances of the instrument for ellipsoidal.
    price : NumberField
        How much worse the fit may get on the data as they are; see :func:`heterodyne_nb.fit_robust`.
    solver : ipywidgets.Dropdown
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.methods = {
            name: widgets.Checkbox(value=True, description=name, indent=False, layout={"width": "120px"})
            for name in ROBUST_METHODS.names()
        }
        self.radii = {
            name: widgets.Text(
                value="auto", description="radius", continuous_update=False, layout={"width": "140px"}
            )
            for name in ROBUST_METHODS.names()
        }
        for field in self.radii.values():
            field.style.description_width = "initial"
        self.n_scenarios = _number("scenarios", 50, "Number of resamplings", whole=True)
        self.cvar = _number("worst part", None, "Mean of this worst part of them; empty: the worst alone")
        self.q_scale = _number("q (relative)", 0.01, "Tolerance of the q scale")
        self.phi_zero_deg = _number("φ zero (°)", 1.0, "Tolerance of the zero of φ")
        self.frame_time = _number(
            "frame time (relative)", 0.0, "Tolerance of the time between frames", width=190
        )
        self.baseline = _number(
            "baseline drift", 0.0, "Drift of c2 from the first to the last frame", width=160
        )
        self.price = _number(
            "price", 0.25, "Part of the expected rise of χ² that may be paid; empty: no limit", width=110
        )
        self.solver = widgets.Dropdown(options=_SOLVERS, description="solver", layout={"width": "170px"})
        self.solver.style.description_width = "initial"
        own = {
            "wasserstein": [],
            "scenario": [self.n_scenarios, self.cvar],
            "ellipsoidal": [self.q_scale, self.phi_zero_deg, self.frame_time, self.baseline],
        }
        lines = [
            row(self.methods[n], self.radii[n], *own[n], _about(_ABOUT[n])) for n in ROBUST_METHODS.names()
        ]
        self.widget = widgets.VBox([*lines, row(self.price, self.solver), self.message, self.page])

    def chosen(self) -> list[str]:
        """The methods ticked.

        Raises
        ------
        ConfigurationError
            None is.
        """
        found = [name for name, box in self.methods.items() if box.value]
        if not found:
            raise ConfigurationError("no method is chosen", where="robust", expected="at least one")
        return found

    def arguments(self, methods: list[str]) -> dict[str, Any]:
        """Arguments of :func:`heterodyne_nb.fit_robust` for some methods, but for the radius; defaults left out.

        Raises
        ------
        ConfigurationError
            A field holds no number.
        """
        given: dict[str, Any] = {"solver": self.solver.value} if self.solver.value != _SOLVERS[0] else {}
        if (price := self.price.read()) != 0.25:
            given["price"] = price
        if "scenario" in methods:
            given |= {"n_scenarios": self.n_scenarios.read(), "cvar": self.cvar.read()}
        if "ellipsoidal" in methods:
            names = ("q_scale", "phi_zero_deg", "frame_time", "baseline")
            numbers = {name: getattr(self, name).read() for name in names}
            given["calibration"] = {name: number for name, number in numbers.items() if number}
        return {name: value for name, value in given.items() if value is not None or name == "price"}

    def radius(self, method: str) -> float | str:
        """The radius asked for a method.

        Raises
        ------
        ConfigurationError
            It is neither a number nor a rule.
        """
        text = self.radii[method].value.strip()
        try:
            return float(text)
        except ValueError:
            return find_name(text or "auto", ("auto", "cv"), f"radius of {method}")


def _number(
    label: str, value: float | None, tip: str, *, whole: bool = False, width: int = 150
) -> NumberField:
    field = NumberField(
        label,
        optional=value is None or label == "price",
        whole=whole,
        description=label,
        tooltip=tip,
        layout={"width": f"{width}px"},
        style={"description_width": "initial"},
    )
    field.put(value)
    return field


def _about(text: str) -> widgets.HTML:
    style = "opacity:0.75;font-size:12px;line-height:1.3"
    return widgets.HTML(f'<span style="{style}">{text}</span>', layout={"flex": "1 1 200px"})
