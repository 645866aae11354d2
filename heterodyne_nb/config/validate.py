"""Validate a whole configuration, section by section, so that one fault hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from heterodyne_nb.config.legacy import FOREIGN_SECTIONS
from heterodyne_nb.options.problems import problems_of
from heterodyne_nb.config.parameters_table import ParameterTable
from heterodyne_nb.options.problems import (
    ConfigurationProblems,
    Problem,
    nearest,
    raise_if_any,
    shown,
    unknown_name,
)
from heterodyne_nb.config.resolve import resolve_parameters
from heterodyne_nb.config.schema import Settings


def validate_settings(
    values: Mapping[str, Any], *, where: str | None = None, earlier: list[Problem] | None = None
) -> tuple[Settings, ParameterTable]:
    """Turn plain values into settings and the parameter table they ask for.

    Parameters
    ----------
    values : mapping
        Sections of the schema.
    where : str, optional
        Name of the file, for the error.
    earlier : list of Problem, optional
        What was found wrong before, to be listed too.

    Raises
    ------
    ConfigurationError
        Listing every problem of every section.
    """
    problems = list(earlier or [])
    sections: dict[str, Any] = {}
    for name in values:
        if name not in Settings.model_fields:
            problems.append(_unknown_section(name))
    for name, field in Settings.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        if name in values or not field.is_required():
            sections[name] = _section(name, section, values.get(name, {}), problems)
        else:
            hint = "give analysis_settings.mode"
            text = f"is missing: {(field.description or '').rstrip('.')}"
            problems.append(Problem(name, text, "", hint))
    table = None
    if sections.get("analysis_settings") and sections.get("initial_parameters"):
        table = _table(sections, problems)
    raise_if_any(problems, where=where)
    assert table is not None
    return Settings(**sections), table


def _unknown_section(name: str) -> Problem:
    problem = unknown_name(str(name), name, Settings.model_fields, kind="section")
    likely = nearest(name, (*Settings.model_fields, *FOREIGN_SECTIONS))
    return replace(problem, hint=f"did you mean {likely!r}?") if likely else problem


def _section(name: str, model: type[BaseModel], value: Any, problems: list[Problem]) -> BaseModel | None:
    if value is None:
        value = {}
    if not isinstance(value, Mapping | BaseModel):
        fields = ", ".join(model.model_fields)
        problems.append(Problem(name, f"{shown(value)} is not a section", f"a section with {fields}"))
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems.extend(problems_of(error, model, (name,)))
        return None


def _table(sections: dict[str, Any], problems: list[Problem]) -> ParameterTable | None:
    """Resolve the parameters, whatever the other sections are like."""
    parts = {k: sections[k] for k in ("analysis_settings", "initial_parameters")}
    try:
        return resolve_parameters(Settings.model_construct(**parts))
    except ConfigurationProblems as error:
        problems.extend(error.problems)
        return None
