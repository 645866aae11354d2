"""From what the schema refuses to problems in plain words, with paths as the user wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from heterodyne_nb.config.problems import Problem, shown, unknown_name

_COMPARISONS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}


def problems_of(
    error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> list[Problem]:
    """Translate everything one validation refused.

    Parameters
    ----------
    error : pydantic.ValidationError
        What the schema said.
    model : type
        The schema (section) that said it.
    prefix : tuple of str
        Path of that section in the configuration.
    """
    return [_problem(entry, model, prefix) for entry in error.errors(include_url=False)]


def _problem(entry: Mapping[str, Any], model: type[BaseModel], prefix: tuple[str, ...]) -> Problem:
    loc, context, value = tuple(entry["loc"]), entry.get("ctx", {}), entry["input"]
    path = dotted((*prefix, *loc))
    kind = entry["type"]
    if kind == "setting":
        return Problem(path, context["message"], context["allowed"], context["hint"])
    if kind == "extra_forbidden":
        return unknown_name(path, loc[-1], _fields(model, loc[:-1]))
    if kind == "missing":
        return Problem(path, f"is missing: {_description(model, loc)}")
    if kind in _COMPARISONS:
        key, sign = _COMPARISONS[kind]
        return Problem(path, f"{shown(value)} is out of range", f"{sign} {context[key]:g}")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        names = _fields(model, loc)
        allowed = f"a section with {', '.join(names)}" if names else "a mapping of names to values"
        return Problem(path, f"{shown(value)} is not a section", allowed)
    return Problem(path, f"{shown(value)} is not allowed: {entry['msg']}", _description(model, loc))


def dotted(loc: tuple[Any, ...]) -> str:
    """Write a location as ``section.name[2].field``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def section_at(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel] | None:
    """Return the section that a location leads to, or None when it leads to a plain value."""
    current: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(str(part)) if current else None
        current = _model_in(field.annotation) if field else None
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section inside an annotation such as ``tuple[AngleRange, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model), None)


def _fields(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, ...]:
    section = section_at(model, loc)
    return tuple(section.model_fields) if section else ()


def _description(model: type[BaseModel], loc: tuple[Any, ...]) -> str:
    section = section_at(model, loc[:-1])
    field = section.model_fields.get(str(loc[-1])) if section else None
    return (field.description or "").rstrip(".") if field else ""
