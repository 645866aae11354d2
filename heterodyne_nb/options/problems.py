"""Every problem of some settings at once, in plain words: where it is, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.text.escaping import printable

_LONGEST_VALUE = 80
_COMPARISONS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a setting."""

    path: str  #: Dotted path of the setting, e.g. ``"optimization.robust.radius"``.
    message: str  #: What is wrong, with the offending value.
    allowed: str = ""  #: What would have been right; empty when the message says it.
    hint: str = ""  #: How to mend it, e.g. the nearest valid name of a misspelt key.

    def __str__(self) -> str:
        extra = [f"allowed: {self.allowed}"] if self.allowed else []
        extra += [self.hint] if self.hint else []
        return f"{printable(self.path)}: {self.message}" + "".join(f"; {text}" for text in extra)


class ConfigurationProblems(ConfigurationError):
    """All problems found in one configuration, in one error.

    ``problems``: At least one problem. ``where``: The file or object that holds them.
    """

    def __init__(self, problems: Iterable[Problem], *, where: str | None = None) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        if len(self.problems) == 1:
            message = str(self.problems[0])
        else:
            message = f"{len(self.problems)} problems" + "".join(f"\n  - {p}" for p in self.problems)
        super().__init__(message, where=where)


def raise_if_any(problems: Iterable[Problem], *, where: str | None = None) -> None:
    """Raise one :class:`ConfigurationProblems` when there is any problem at all."""
    found = tuple(problems)
    if found:
        raise ConfigurationProblems(found, where=where)


def nearest(name: object, known: Iterable[str], *, cutoff: float | None = None) -> str | None:
    """Return the known name that looks most like ``name``, or None when none does."""
    if cutoff is None:
        cutoff = 0.6 if len(str(name)) > 3 else 0.5  # one wrong letter of two
    by_folded = {k.casefold(): k for k in known}
    match = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[match[0]] if match else None


def unknown_name(path: str, name: object, known: Iterable[str], *, kind: str = "setting") -> Problem:
    """Describe a name that does not exist, with the nearest one that does."""
    known = tuple(known)
    likely = nearest(name, known)
    hint = f"did you mean {likely!r}?" if likely else ""
    return Problem(path, f"unknown {kind} {str(name)!r}", ", ".join(known), hint)


def shown(value: Any) -> str:
    """Return a value as it should stand in a message: short, and with its quotes."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def problems_of(
    error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> list[Problem]:
    """Translate everything one validation refused.

    ``error``: What the schema said. ``model``: The schema (section) that said it. ``prefix``: Path of that section in
    the configuration.
    """
    return [found for entry in error.errors(include_url=False) for found in _problems(entry, model, prefix)]


def _problems(entry: Mapping[str, Any], model: type[BaseModel], prefix: tuple[str, ...]) -> list[Problem]:
    """What one refusal says; settings that are read by other options say theirs."""
    told = entry.get("ctx", {}).get("error", entry["input"])
    if not isinstance(told, ConfigurationError):
        return [_problem(entry, model, prefix)]
    here = dotted((*prefix, *entry["loc"]))
    if isinstance(told, ConfigurationProblems):
        return [replace(one, path=f"{here}.{one.path}".strip(".")) for one in told.problems]
    place = f"{here}.{told.where or ''}".strip(".")
    return [Problem(place, told.message, told.expected or "", told.hint or "")]


def _problem(entry: Mapping[str, Any], model: type[BaseModel], prefix: tuple[str, ...]) -> Problem:
    loc, context, value = tuple(entry["loc"]), entry.get("ctx", {}), entry["input"]
    path = dotted((*prefix, *loc))
    kind = entry["type"]
    if kind == "setting":
        return Problem(path, context["message"], context["allowed"], context["hint"])
    if kind in ("extra_forbidden", "is_instance_of"):
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
