"""What a robust fit guards against, and how far: the robust section of a configuration as a form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.config_form import FieldRow, FieldSpec, section_box, section_of
from heterodyne_nb.app.panel import Panel
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.config.schema import Robust
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options import ROBUST_METHODS, RobustMethodOptions, Tolerances
from heterodyne_nb.options.robust import RobustPrice

__all__ = ["RobustForm"]

#: Ticked instead of typed, or a setting of the plain fit already.
_ELSEWHERE = ("robust.methods", "robust.scenario.seed")


class RobustForm(Panel):
    """The arguments of a robust fit.

    Attributes
    ----------
    methods : dict of str to ipywidgets.Checkbox
    fields : dict of str to FieldRow
        By dotted path, as in a configuration: ``fields["scenario.n_scenarios"].control``.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.methods = {
            name: widgets.Checkbox(value=True, description=name, indent=False, layout={"width": "160px"})
            for name in ROBUST_METHODS.names()
        }
        self.fields: dict[str, FieldRow] = {}
        whole = section_of(Robust, "robust")
        parts = {part.path.rpartition(".")[2]: part for part in whole.parts}
        lines: list[widgets.Widget] = []
        for name, box in self.methods.items():
            lines.append(box)
            if name in parts:
                shown = tuple(spec for spec in parts[name].fields if spec.path not in _ELSEWHERE)
                lines.append(section_box(replace(parts[name], fields=shown), self._make_row))
        common = tuple(spec for spec in whole.fields if spec.path not in _ELSEWHERE)
        lines.append(section_box(replace(whole, fields=common, parts=()), self._make_row))
        self.widget = widgets.VBox([*lines, self.message, self.page])

    def _make_row(self, spec: FieldSpec) -> FieldRow:
        made = FieldRow(spec)
        made.show(spec.default)
        self.fields[spec.path.removeprefix("robust.")] = made
        return made

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
            A field holds what its setting does not take.
        """
        asked = self._read(methods)
        stated = asked.stated()
        shared = (*RobustMethodOptions.model_fields, *RobustPrice.model_fields)
        given = {name: stated[name] for name in shared if name in stated}
        if "scenario" in methods:
            given |= asked.scenario.stated()
        if "ellipsoidal" in methods and asked.ellipsoidal.tolerances != Tolerances():
            given["calibration"] = Tolerances.above_zero(asked.ellipsoidal.tolerances.model_dump())
        given.pop("radius", None)
        return given

    def radius(self, method: str) -> float | str:
        """The radius asked for a method.

        Raises
        ------
        ConfigurationError
            It is neither a number nor a rule.
        """
        section = getattr(self._read([method]), method, None)
        return "auto" if section is None else section.radius

    def _read(self, methods: list[str]) -> Robust:
        """The fields that matter to some methods, checked."""
        values: dict[str, Any] = {"methods": methods}
        for path, one in self.fields.items():
            *homes, key = path.split(".")
            if homes and homes[0] not in methods:
                continue
            place = values
            for name in homes:
                place = place.setdefault(name, {})
            place[key] = one.read()
        return Robust.read(values, where="robust")
