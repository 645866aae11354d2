"""What is asked of a fit (settings and the parameter table), and an entry of the history: what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from pydantic import ValidationError, model_validator

from heterodyne_nb.app.session.selection import Range
from heterodyne_nb.config import ParameterTable, asked_of, default_table, resolve_parameters
from heterodyne_nb.config.parameters import FIELDS
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.one_time_scopes import LAWS
from heterodyne_nb.models.parameters import LEVELS
from heterodyne_nb.names import find_name
from heterodyne_nb.options import FitOptions
from heterodyne_nb.result import FitResult

__all__ = [
    "FitEntry",
    "FitSettings",
    "any_free",
    "asked_of",
    "default_table",
    "edited",
    "for_mode",
    "resolved",
    "with_values",
]


class FitSettings(FitOptions):
    """Arguments of :func:`heterodyne_nb.fit` besides data and parameters; they mean the same.

    Raises
    ------
    ConfigurationError
        A name or number is wrong; raised when the value is made.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise self.told(error) from None

    @model_validator(mode="after")
    def _named_as_the_model(self) -> Self:
        object.__setattr__(self, "mode", ModelFactory.create_model(self.mode).name)
        return self


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
    for key, value in changes.items():
        entry.pop(find_name(key, (*FIELDS, "scope"), "field"), None)
        if value is not None:
            entry[key] = value
    if changes.get("vary") is False and "value" not in entry and known in table.names:
        entry["value"] = float(table.values[table.index(known)])
    if changes.get("scope") in LAWS:
        entry = {"scope": changes["scope"]}
    asked = {k: v for k, v in asked.items() if "scope" not in changes or not k.startswith(f"{known}.")}
    if entry.get("tie") is not None:
        entry = {k: v for k, v in entry.items() if k in ("tie", "prior", "scope")}
    return resolved(table.mode, {**asked, known: entry})


def for_mode(table: ParameterTable, mode: str) -> ParameterTable:
    """The table of another mode; what was asked of parameters of the same name and unit is kept.

    An ``alpha`` of -0.6, an exponent of a rate, means nothing to a stretching exponent: what lies beyond the bounds is not.
    """
    if table.mode == mode:
        return table
    target = default_table(mode)
    units = dict(zip(target.names, target.units, strict=True))
    same = {n for n, unit in zip(table.names, table.units, strict=True) if units.get(n) == unit}
    bounds = dict(zip(target.names, zip(target.lower, target.upper, strict=True), strict=True))
    for name, entry in asked_of(table).items():
        low, high = bounds.get(name, (-np.inf, np.inf))
        if not entry.get("min", low) <= entry.get("value", low) <= entry.get("max", high):
            same.discard(name)
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


def any_free(table: ParameterTable) -> bool:
    """Whether a fit has anything to vary; one without is an evaluation of the model."""
    return bool(np.any(table.vary)) or bool(table.laws)


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


@dataclass(frozen=True)
class FitEntry:
    """A finished fit, or a set of robust fits made together.

    Attributes
    ----------
    name : str
        Shown in lists; no two entries of a session share it.
    kind : {"fit", "robust", "result"}
        ``"result"``: made outside the session.
    results : dict of str to FitResult
        One per method; a fit has one.
    settings : FitSettings
    parameters : ParameterTable
        As asked, before the fit.
    source : str
        The data file, or ``"<memory 1>"`` and so on for data made in memory.
    source_options : mapping
        Keyword arguments the file was opened with.
    masked : tuple of (first, last)
    crop : (first, last) or None
    excluded : tuple of (q, phi, tau)
    bins : tuple of int or None
        Places of the bins fitted in the stacked form; None for all.
    time : str
        When it ended, ISO 8601 in UTC.
    seconds : float
    warnings : tuple of str
    robust : mapping
        Keyword arguments of ``fit_robust``; empty for a fit.
    start : str
        Name of the entry whose result a robust fit started from, or ``""``.
    """

    name: str
    kind: str
    results: Mapping[str, FitResult]
    settings: FitSettings
    parameters: ParameterTable
    source: str = ""
    source_options: Mapping[str, Any] = field(default_factory=dict)
    masked: tuple[Range, ...] = ()
    crop: Range | None = None
    excluded: tuple[tuple[float, float, float], ...] = ()
    bins: tuple[int, ...] | None = None
    time: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    robust: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""

    @property
    def result(self) -> FitResult:
        """The result, of a robust set the first one."""
        return next(iter(self.results.values()))

    @property
    def label(self) -> str:
        """One line for a list: name, mode, method, reduced chi-square."""
        methods = ", ".join(self.results).replace("_", " ")
        ended = "" if self.result.success else f" · {self.result.message}"
        mode = self.settings.mode.replace("_", " ")
        return f"{self.name} · {mode} · {methods} · reduced χ² {self.result.chi2_reduced:.5g}{ended}"

    def line(self, note: str = "") -> str:
        """One line for the history: when it ended (local time), what it is, how long it took, and the note."""
        when = datetime.fromisoformat(self.time).astimezone().strftime("%d %b %H:%M · ") if self.time else ""
        return f"{when}{self.label} · {self.seconds:.3g} s{f' · “{note}”' if note else ''}"
