"""The form of a configuration: settings read from the schema, a row with a control for each, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.number_field import number_text
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.options import Options

__all__ = [
    "FieldRow",
    "FieldSpec",
    "Section",
    "read_text",
    "section_box",
    "section_of",
    "sections",
    "write_text",
]


@dataclass(frozen=True)
class FieldSpec:
    """One setting of a form.

    Attributes
    ----------
    path : str
        Dotted, e.g. ``"optimization.loss"``.
    label, description, unit : str
    kind : {"menu", "flag", "text", "list", "value"}
        ``"list"``: simple entries between commas; ``"value"``: a number, or anything as JSON.
    choices : tuple of str
        Of a menu or a list; empty where any text goes.
    optional : bool
        Whether an empty field is null.
    default : Any
        Shown where a configuration does not write the setting.
    """

    path: str
    label: str
    description: str
    unit: str
    kind: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    default: Any = None


@dataclass(frozen=True)
class Section:
    """Fields under one heading, with the sections inside it."""

    path: str
    title: str
    description: str
    fields: tuple[FieldSpec, ...]
    parts: tuple[Section, ...] = ()

    def every_field(self) -> Iterator[FieldSpec]:
        """Its own fields and those of its parts."""
        yield from self.fields
        for part in self.parts:
            yield from part.every_field()


def sections() -> tuple[Section, ...]:
    """The sections of a configuration, in the order of the schema."""
    schema = ConfigManager.json_schema()
    found = ((name, _resolved(entry, schema)) for name, entry in schema["properties"].items())
    return tuple(_section(name, name, entry, schema) for name, entry in found)


def section_of(options: type[Options], path: str) -> Section:
    """The fields of some options by themselves; their paths start with `path`."""
    schema = options.model_json_schema()
    return _section(path, path, schema, schema)


def _section(path: str, name: str, entry: Mapping[str, Any], schema: Mapping[str, Any]) -> Section:
    fields, parts = [], []
    for key, raw in entry["properties"].items():
        inner, place = _resolved(raw, schema), f"{path}.{key}"
        if "properties" in inner:
            parts.append(_section(place, key, inner, schema))
        else:
            fields.append(_field(place, key, inner))
    return Section(path, _words(name), entry.get("description", ""), tuple(fields), tuple(parts))


def _resolved(entry: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with what it refers to; what it says itself goes first."""
    if "$ref" not in entry:
        return dict(entry)
    target = schema["$defs"][entry["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in entry.items() if key != "$ref"}}


def _field(path: str, key: str, entry: Mapping[str, Any]) -> FieldSpec:
    options = entry.get("anyOf", [entry])
    kinds = [one for one in options if one.get("type") != "null"]
    items: dict[str, Any] = next(
        (one["items"] for one in kinds if one.get("type") == "array" and "items" in one), {}
    )
    kind, choices = "value", ()
    if len(kinds) == 1 and "enum" in kinds[0]:
        kind, choices = "menu", tuple(kinds[0]["enum"])
    elif len(kinds) == 1 and kinds[0].get("type") == "boolean":
        kind = "flag"
    elif len(kinds) == 1 and kinds[0].get("type") == "string":
        kind = "text"
    elif all(one.get("type") == "array" for one in kinds) and "type" in items and items["type"] != "array":
        kind, choices = "list", tuple(items.get("enum", ()))
    text = entry.get("description", "").replace("Null:", "Empty:")
    optional, default = len(options) > len(kinds), entry.get("default")
    return FieldSpec(path, _words(key), text, entry.get("unit", ""), kind, choices, optional, default)


def _words(name: str) -> str:
    return name.replace("_", " ")


def write_text(value: Any) -> str:
    """A setting's value as it stands in its field."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(float(value), digits=15)
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(write_text(one) for one in value)
    return json.dumps(value, ensure_ascii=False)


def read_text(text: str, spec: FieldSpec) -> Any:
    """The value a field's text stands for; what cannot be understood comes back as it is, to be refused."""
    text = text.strip()
    if spec.kind == "list":
        return [_scalar(one.strip()) for one in text.strip("[]").split(",") if one.strip()] or _nothing(spec)
    if not text:
        return None if spec.optional or spec.kind != "value" else _nothing(spec)
    return text if spec.kind == "text" else _scalar(text)


def _nothing(spec: FieldSpec) -> Any:
    return None if spec.optional else []


def _scalar(text: str) -> Any:
    """A number, a list or mapping in JSON, several numbers between commas, or the text itself."""
    for form in (text, f"[{text}]" if re.fullmatch(r"[-+.\deE\s,\[\]]+", text) and "," in text else text):
        try:
            return json.loads(form)
        except ValueError:
            continue
    try:
        return float(text)
    except ValueError:
        return text.strip("\"'")


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
