"""Settings of the schema as fields of a form: what kind each is, and its value as text and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heterodyne_nb.app.number_field import number_text
from heterodyne_nb.config import ConfigManager
from heterodyne_nb.options import Options

__all__ = ["FieldSpec", "Section", "read_text", "section_of", "sections", "write_text"]


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
