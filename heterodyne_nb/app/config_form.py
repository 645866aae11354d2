"""The rows and boxes of the form: a label, a control made for the setting's kind, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.config_fields import FieldSpec, Section, read_text, write_text

__all__ = ["FieldRow", "section_box"]

_WRONG = "1px solid #D55E00"


class FieldRow:
    """One setting of the form.

    Attributes
    ----------
    spec : FieldSpec
    control : ipywidgets.Dropdown, Checkbox or Text
    problem : ipywidgets.HTML
        What is wrong, in words; empty when nothing is.
    widget : ipywidgets.HBox
    """

    def __init__(self, spec: FieldSpec) -> None:
        self.spec = spec
        self.control = _control(spec)
        tip = escape(spec.description)
        unit = f' <span style="opacity:0.7">({escape(spec.unit)})</span>' if spec.unit else ""
        label = widgets.HTML(
            f'<span title="{tip}">{escape(spec.label)}{unit}</span>',
            layout={"width": "190px", "flex": "0 0 auto"},
        )
        self.problem = widgets.HTML(layout={"flex": "1 1 300px"})
        self._about = f'<span style="opacity:0.7;font-size:12px;line-height:1.3">{tip}</span>'
        self.problem.value = self._about
        layout = {"align_items": "center", "flex_flow": "row wrap", "width": "100%"}
        self.widget = widgets.HBox([label, self.control, self.problem], layout=layout)

    def show(self, value: Any) -> None:
        """Put a value into the control."""
        kind = self.spec.kind
        self.control.value = value if kind == "menu" else bool(value) if kind == "flag" else write_text(value)

    def read(self) -> Any:
        """The value in the control."""
        if self.spec.kind in ("menu", "flag"):
            return self.control.value
        return read_text(self.control.value, self.spec)

    def say(self, problems: Sequence[str]) -> None:
        """Say what is wrong; nothing shows the description again."""
        border = _WRONG if problems else None
        if self.control.layout.border_top != border:
            self.control.layout.border = border
        mark = 'role="alert" style="border-left:3px solid #D55E00;padding-left:6px;line-height:1.3"'
        told = "".join(f"<div {mark}>{escape(text)}</div>" for text in problems)
        if self.problem.value != (told or self._about):
            self.problem.value = told or self._about


def _control(spec: FieldSpec) -> Any:
    if spec.kind == "menu":
        options = [(name.replace("_", " "), name) for name in spec.choices]
        return widgets.Dropdown(options=options, layout={"width": "240px"})
    if spec.kind == "flag":
        return widgets.Checkbox(indent=False, layout={"width": "240px"})
    hint = "none" if spec.optional else ""
    if spec.kind == "list":
        hint = ", ".join(spec.choices[:2]) + ", …" if spec.choices else "one, another, …"
    return widgets.Text(continuous_update=False, placeholder=hint, layout={"width": "240px"})


def section_box(section: Section, make_row: Callable[[FieldSpec], FieldRow]) -> widgets.VBox:
    """A section of the form: its fields, then its parts under headings of their own."""
    children: list[widgets.Widget] = [_about(section)]
    children += [make_row(spec).widget for spec in section.fields]
    for part in section.parts:
        head = f'<div style="font-weight:600;margin-top:6px">{escape(part.title)}</div>'
        inner = section_box(part, make_row)
        inner.layout.margin = "0 0 0 14px"
        children += [widgets.HTML(head), inner]
    return widgets.VBox(children)


def _about(section: Section) -> widgets.HTML:
    return widgets.HTML(f'<div style="opacity:0.75">{escape(section.description)}</div>')
