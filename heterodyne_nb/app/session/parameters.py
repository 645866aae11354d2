"""Edit a parameter table: what the user asked is read back from it, changed, and resolved anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from heterodyne_nb.config import ParameterTable, asked_of, default_table, resolve_parameters
from heterodyne_nb.config.parameters import FIELDS
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.one_time_scopes import LAWS
from heterodyne_nb.models.parameters import LEVELS
from heterodyne_nb.names import find_name

__all__ = ["asked_of", "default_table", "edited", "for_mode", "resolved", "with_values"]


def resolved(mode: str, asked: Mapping[str, Any]) -> ParameterTable:
    """The checked table of a mode.

    Raises
    ------
    ConfigurationError
        Listing every problem.
    """
    return resolve_parameters(mode, asked, specs=ModelFactory.create_model(mode).parameters)


def edited(table: ParameterTable, name: str, changes: Mapping[str, Any]) -> ParameterTable:
    """The table with some fields of one parameter changed; None takes a field back to its default.

    Raises
    ------
    ConfigurationError
        Unknown name or field, or a value that does not go with the others.
    """
    known = find_name(name, (*table.names, *table.laws, *LEVELS), "parameter")
    asked = asked_of(table)
    entry = dict(asked.get(known, {}))
    for field, value in changes.items():
        entry.pop(find_name(field, (*FIELDS, "scope"), "field"), None)
        if value is not None:
            entry[field] = value
    if changes.get("vary") is False and "value" not in entry and known in table.names:
        entry["value"] = float(table.values[table.index(known)])
    if changes.get("scope") in LAWS:
        entry = {"scope": changes["scope"]}
    asked = {k: v for k, v in asked.items() if "scope" not in changes or not k.startswith(f"{known}.")}
    if entry.get("tie") is not None:
        entry = {k: v for k, v in entry.items() if k in ("tie", "prior", "scope")}
    return resolved(table.mode, {**asked, known: entry})


def for_mode(table: ParameterTable, mode: str) -> ParameterTable:
    """The table of another mode; what was asked of parameters of the same name and unit is kept."""
    if table.mode == mode:
        return table
    target = default_table(mode)
    units = dict(zip(target.names, target.units, strict=True))
    same = {n for n, unit in zip(table.names, table.units, strict=True) if units.get(n) == unit}
    kept = {
        name: entry
        for name, entry in asked_of(table).items()
        if name.partition(".")[0] in same | set(LEVELS) and entry.get("tie", name) in same | set(LEVELS)
    }
    if not ModelFactory.create_model(mode).one_time:
        kept = {
            name: {k: v for k, v in entry.items() if k != "scope"}
            for name, entry in kept.items()
            if "." not in name
        }
    return resolved(mode, kept)


def with_values(table: ParameterTable, values: Mapping[str, float]) -> ParameterTable:
    """The table with other start values, moved into the bounds where they lean out of them."""
    new = np.array(table.values)
    for i, name in enumerate(table.names):
        if np.isfinite(values.get(name, np.nan)):
            new[i] = np.clip(values[name], table.lower[i], table.upper[i])
    for i, target in enumerate(table.tie):
        if target is not None:
            new[i] = new[table.index(target)]
    given = np.array([name in values for name in table.names]) if table.scopes else np.ones(len(table), bool)
    return replace(table, values=new, given=given | table.given)
