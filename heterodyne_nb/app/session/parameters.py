"""Edit a parameter table: what the user asked is read back from it, changed, and resolved anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from heterodyne_nb.config import ParameterTable, resolve_parameters
from heterodyne_nb.config.parameters import FIELDS
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.parameters import LEVELS
from heterodyne_nb.names import find_name

Asked = dict[str, dict[str, Any]]


def default_table(mode: str) -> ParameterTable:
    """The table of a mode of which nothing is asked."""
    return resolve_parameters(mode, {}, specs=ModelFactory.create_model(mode).parameters)


def asked_of(table: ParameterTable) -> Asked:
    """What was asked of each parameter, as ``fit(parameters=...)`` takes it; defaults are left out."""
    plain = default_table(table.mode)
    asked: Asked = {}
    for i, name in enumerate(table.names):
        entry: dict[str, Any] = {}
        if table.tie[i]:
            entry["tie"] = table.tie[i]
        else:
            if table.given[i]:
                entry["value"] = float(table.values[i])
            entry |= _bounds(table, plain, i)
            if not table.vary[i]:
                entry |= {"value": float(table.values[i]), "vary": False}
        if (prior := table.prior[i]) is not None:
            entry["prior"] = prior
        if entry:
            asked[name] = entry
    return asked | {name: told for name in LEVELS if (told := getattr(table, name).to_dict())}


def _bounds(table: ParameterTable, plain: ParameterTable, i: int) -> dict[str, float]:
    sides = {"min": (table.lower[i], plain.lower[i]), "max": (table.upper[i], plain.upper[i])}
    return {side: float(here) for side, (here, usual) in sides.items() if here != usual}


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
    known = find_name(name, (*table.names, *LEVELS), "parameter")
    asked = asked_of(table)
    entry = dict(asked.get(known, {}))
    for field, value in changes.items():
        entry.pop(find_name(field, FIELDS, "field"), None)
        if value is not None:
            entry[field] = value
    if changes.get("vary") is False and "value" not in entry and known in table.names:
        entry["value"] = float(table.values[table.index(known)])
    if entry.get("tie") is not None:
        entry = {k: v for k, v in entry.items() if k in ("tie", "prior")}
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
        if name in same | set(LEVELS) and entry.get("tie", name) in same | set(LEVELS)
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
    return replace(table, values=new, given=np.ones(len(table), dtype=bool))
