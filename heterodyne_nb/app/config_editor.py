"""ConfigEditor: a form made from the schema, what is wrong beside each field, what differs from the template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.config_form import FieldRow, FieldSpec, Section, section_box, sections, write_text
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.options.problems import Problem

__all__ = ["ConfigEditor"]


class ConfigEditor(Panel):
    """A configuration as a form.

    Every change is checked at once; `apply` gives the configuration to the session, `take` makes one from what
    the session would do now.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    fields : dict of str to FieldRow
        By dotted path; ``fields["optimization.loss"].control`` is the widget of that setting.
    path : ipywidgets.Text
        File to load from or save to.
    load, save, apply, take, template : ipywidgets.Button
    summary, differences : ipywidgets.HTML
        What is wrong as a whole, and what differs from the template.
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        self.path = widgets.Text(
            placeholder="file to load from or save to (.yaml, .json, .toml)", layout={"flex": "1 1 260px"}
        )
        self.load = button("Load", "Read this file into the form")
        self.save = button("Save", "Write the form to this file")
        self.apply = button("Apply", "Let the session use this configuration", style="primary")
        self.take = button("From session", "Fill the form with what the session would do now")
        self.template = button("Template", "Start over from the template of this mode")
        self.summary, self.differences = widgets.HTML(), widgets.HTML()
        self.fields: dict[str, FieldRow] = {}
        whole = sections()
        self._form = widgets.Accordion([section_box(one, self._make_row) for one in whole])
        for place, one in enumerate(whole):
            self._form.set_title(place, one.title)
        self._form.selected_index = 0
        self._sections: tuple[Section, ...] = whole
        self._manager: ConfigManager | None = None
        self._showing = False
        buttons = row(self.path, self.load, self.save, self.template, self.take, self.apply)
        self.widget = widgets.VBox(
            [buttons, self.message, self.summary, self._form, self.differences, self.page]
        )
        self.on_press(self.load, lambda: self.show(ConfigManager(self._file())))
        self.on_press(self.save, self._save)
        self.on_press(self.apply, self._apply)
        self.on_press(self.take, lambda: self.show(self.session.to_config()))
        self.on_press(self.template, self._start_over)
        self.watch(self.session, "config", self._config_changed)
        self.show(self.session.config or self.session.to_config())

    @property
    def config(self) -> ConfigManager:
        """The configuration in the form.

        Raises
        ------
        ConfigurationError
            Listing everything that is wrong with it.
        """
        manager = self._read()
        manager.require_valid()
        return manager

    def show(self, config: ConfigManager) -> None:
        """Fill the form; what the file of `config` had wrong is said beside its fields."""
        values: Mapping[str, Any] = config.to_dict()
        self._manager = config
        self._showing = True
        try:
            for one in self.fields.values():
                one.show(_at(values, one.spec))
            if config.path is not None:
                self.path.value = str(config.path)
        finally:
            self._showing = False
        self._check()

    def _make_row(self, spec: FieldSpec) -> FieldRow:
        made = FieldRow(spec)
        self.fields[spec.path] = made
        self.watch(made.control, "value", partial(self._changed, made))
        return made

    def _changed(self, one: FieldRow) -> None:
        if not self._showing:
            self.say("")
            self._check()

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path, one in self.fields.items():
            *homes, key = path.split(".")
            place = values
            for name in homes:
                place = place.setdefault(name, {})
            place[key] = one.read()
        return values

    def _read(self) -> ConfigManager:
        manager = ConfigManager.from_dict(self._values())
        if self._manager is not None:
            manager.path = self._manager.path
        return manager

    def _check(self) -> None:
        """Say beside each field what is wrong with it, and above the form how much there is."""
        manager = self._read()
        problems = manager.problems
        by_field: dict[str, list[Problem]] = {}
        for problem in problems:
            by_field.setdefault(self._field_of(problem.path), []).append(problem)
        for path, one in self.fields.items():
            one.say([_beside(problem, path) for problem in by_field.get(path, ())])
        self.apply.disabled = self.save.disabled = bool(problems)
        self._summarise(by_field)
        self.differences.value = "" if problems else _differences(manager)

    def _field_of(self, path: str) -> str:
        """The field that a problem's path leads to; of the deepest one where it leads into a value."""
        wanted = path.replace(": ", ".").replace("[", ".[")
        inside = [p for p in self.fields if wanted == p or wanted.startswith(p + ".")]
        return max(inside, key=len, default="")

    def _summarise(self, by_field: Mapping[str, list[Problem]]) -> None:
        count = sum(map(len, by_field.values()))
        lines = [escape(str(problem)) for problem in by_field.get("", ())]
        for place, one in enumerate(self._sections):
            wrong = sum(len(by_field.get(spec.path, ())) for spec in one.every_field())
            self._form.set_title(place, f"{one.title} — {wrong} to mend" if wrong else one.title)
        head = "All settings are valid." if not count else f"{count} setting{'s' * (count > 1)} to mend:"
        colour = "#D55E00" if count else "#009E73"
        told = "".join(f"<div>{line}</div>" for line in lines)
        self.summary.value = (
            f'<div style="border-left:4px solid {colour};padding:2px 10px">{head}{told}</div>'
        )

    def _file(self) -> Path:
        if not self.path.value.strip():
            raise ConfigurationError(
                "no file is named", where="path", expected="a .yaml, .json or .toml file"
            )
        return Path(self.path.value.strip()).expanduser()

    def _save(self) -> None:
        manager = self.config
        self.path.value = str(manager.save(self._file()))

    def _apply(self) -> None:
        manager = self.config
        self._manager = manager
        self.session.set_config(manager)

    def _start_over(self) -> None:
        mode = self.fields["analysis_settings.mode"].control.value
        count = self.fields["analysis_settings.n_components"].read()
        fresh = ConfigManager.template(mode, count if isinstance(count, int) else None)
        source = self.session.source
        self.show(fresh.updated({"data.file": source if source and not source.startswith("<") else None}))

    def _config_changed(self) -> None:
        config = self.session.config
        if config is not None and config is not self._manager:
            self.show(config)


def _at(values: Mapping[str, Any], spec: FieldSpec) -> Any:
    """The value of a setting; its default where its section is not written, as of a registered method."""
    found: Any = values
    for name in spec.path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return spec.default
        found = found[name]
    return found


def _beside(problem: Problem, path: str) -> str:
    """The problem without the path, which the field's own place says; deeper places keep theirs."""
    deeper = problem.path.removeprefix(path).lstrip(".: ")
    extra = [f"allowed: {problem.allowed}"] if problem.allowed else []
    text = "; ".join([problem.message, *extra, *([problem.hint] if problem.hint else [])])
    return f"{deeper}: {text}" if deeper else text


def _differences(manager: ConfigManager) -> str:
    found = [d for d in manager.diff() if d.path not in ("metadata.title", "data.file")]
    if not found:
        return '<div style="opacity:0.75">Nothing differs from the template of this mode.</div>'
    rows = "".join(
        f"<tr><td style='padding-right:16px'>{escape(d.path)}</td>"
        f"<td style='padding-right:16px'>{escape(write_text(d.value) or '–')}</td>"
        f"<td style='opacity:0.75'>{escape(write_text(d.other) or '–')}</td></tr>"
        for d in found
    )
    head = "<tr><th align='left'>setting</th><th align='left'>here</th><th align='left'>template</th></tr>"
    return (
        f"<details open><summary>{len(found)} setting{'s differ' if len(found) > 1 else ' differs'} from the template</summary>"
        f"<table style='border-collapse:collapse;text-align:left'>{head}{rows}</table></details>"
    )
