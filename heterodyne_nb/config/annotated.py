"""YAML with the description, unit and range of every setting beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heterodyne_nb.options.problems import section_at
from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.config.reading import YAML_FLOAT
from heterodyne_nb.config.resolve import mode_parameters
from heterodyne_nb.config.schema import Settings
from heterodyne_nb.text.escaping import printable


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our reader would take for a number."""


_Dumper.add_implicit_resolver(*YAML_FLOAT)

_WIDTH = 110
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_BY_PARAMETER = ("values", "bounds", "priors")


def annotated_yaml(settings: Settings, values: dict[str, Any]) -> str:
    """Write the settings as YAML that a person can read and edit.

    Parameters
    ----------
    settings : Settings
        Their mode tells the units of the parameters.
    values : dict
        The settings as plain values.
    """
    specs = {s.name: s for s in mode_parameters(settings.mode, settings.analysis_settings.n_components)}
    return "\n".join(_section(Settings, values, "", specs)).lstrip("\n") + "\n"


def _section(
    model: type[BaseModel], values: dict[str, Any], indent: str, specs: dict[str, ParameterSpec]
) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = values[name]
        inner = section_at(model, (name,))
        if inner is not None and isinstance(value, dict):
            if not indent:
                yield ""
            yield f"{indent}# {field.description}"
            yield f"{indent}{name}:"
            yield from _section(inner, value, indent + "  ", specs)
        elif name in _BY_PARAMETER and isinstance(value, dict) and value:
            yield from _with_comment(f"{indent}{name}:", field.description or "", indent)
            yield from _by_parameter(name, value, indent + "  ", specs)
        else:
            yield from _with_comment(f"{indent}{name}: {_flow(value)}", comment_of(field), indent)


def _by_parameter(
    name: str, value: dict[str, Any], indent: str, specs: dict[str, ParameterSpec]
) -> Iterator[str]:
    for key, entry in value.items():
        spec = specs.get(key)
        text = f"[{spec.unit}] {spec.description}" if spec else ""
        yield from _with_comment(f"{indent}{_flow(key)}: {_flow(entry)}", text, indent)


def _with_comment(line: str, comment: str, indent: str) -> Iterator[str]:
    """Put the comment behind the line, or above it where that would be too wide."""
    comment = printable(comment)
    if not comment:
        yield line
    elif len(line) + len(comment) + 4 <= _WIDTH:
        yield f"{line}  # {comment}"
    else:
        yield from textwrap.wrap(
            comment, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        yield line


def comment_of(field: FieldInfo) -> str:
    """Return unit, description, allowed names and range of a field in one line."""
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    parts = [f"[{unit}]"] if unit else []
    parts.append(field.description or "")
    allowed = field_range(field) or " | ".join(field_names(field.annotation))
    if allowed:
        parts.append(f"({allowed})")
    return " ".join(parts)


def field_range(field: FieldInfo) -> str:
    """Return the range of a numeric field, e.g. ``"> 0, < 1"``."""
    limits = [
        f"{sign} {getattr(rule, key):g}"
        for rule in field.metadata
        for key, sign in _SIGNS.items()
        if getattr(rule, key, None) is not None
    ]
    return ", ".join(limits)


def field_names(annotation: Any) -> tuple[str, ...]:
    """Return the names that a field chooses from; none when it is free."""
    if get_origin(annotation) is Literal:
        return tuple(str(name) for name in get_args(annotation))
    if get_origin(annotation) in (tuple, Annotated):
        return field_names(get_args(annotation)[0])
    return ()


def _flow(value: Any) -> str:
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
    )
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")
