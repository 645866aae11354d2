"""What a user asked of each parameter, before it is checked: one request a published name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from heterodyne_nb.config.parameters import PARAMETER_ALIASES
from heterodyne_nb.config.parameters_table import LEVELS
from heterodyne_nb.options.problems import Problem, shown, unknown_name

#: Fields of ``fit(parameters={name: dict(...)})``.
FIELDS = ("value", "min", "max", "vary", "tie", "prior")


@dataclass
class Request:
    """What the user said about one parameter; None where nothing was said."""

    path: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    vary: bool | None = None
    tie: str | None = None
    prior: tuple[float, float] | None = None

    @property
    def says_anything(self) -> bool:
        """Whether the user stated any of the fields."""
        return any(
            x is not None for x in (self.value, self.lower, self.upper, self.vary, self.tie, self.prior)
        )


def published_name(name: str, known: tuple[str, ...]) -> str | None:
    """Return the published name for a name or alias, or None when there is none in ``known``."""
    if name in known:
        return name
    alias = PARAMETER_ALIASES.get(name)
    return alias if alias in known else None


def finite_number(path: str, value: Any, problems: list[Problem]) -> float | None:
    """Return ``value`` as a float; otherwise note the problem and return None."""
    if isinstance(value, bool) or not isinstance(value, Real):
        problems.append(Problem(path, f"{shown(value)} is not a number", "a finite number"))
        return None
    number = float(value)
    if not math.isfinite(number):
        problems.append(Problem(path, f"{number} is not finite", "a finite number"))
        return None
    return number


def read_requests(
    given: Mapping[str, Any], known: tuple[str, ...], problems: list[Problem]
) -> dict[str, Request]:
    """Read ``{name: value | dict(value=, min=, max=, vary=, tie=, prior=)}``.

    Parameters
    ----------
    given : mapping
        The form of ``heterodyne_nb.fit(parameters=...)``.
    known : tuple of str
        Published names of the mode; ``contrast`` and ``offset`` may be given besides.
    problems : list of Problem
        Receives what is wrong.
    """
    requests: dict[str, Request] = {}
    known = (*known, *(name for name in LEVELS if name not in known))
    for name, entry in given.items():
        path = f"parameters.{name}"
        published = published_name(str(name), known)
        if published is None:
            problems.append(unknown_name(path, name, known, kind="parameter"))
        elif published in requests:
            problems.append(Problem(path, f"{published!r} is given twice, by its name and by an alias"))
        else:
            requests[published] = _read_entry(path, entry, known, problems)
    return requests


def _read_entry(path: str, entry: Any, known: tuple[str, ...], problems: list[Problem]) -> Request:
    request = Request(path)
    if not isinstance(entry, Mapping):
        request.value = finite_number(path, entry, problems)
        return request
    for field in entry:
        if field not in FIELDS:
            problems.append(unknown_name(f"{path}.{field}", field, FIELDS, kind="field"))
    request.value = _number(path, entry, "value", problems)
    request.lower = _number(path, entry, "min", problems)
    request.upper = _number(path, entry, "max", problems)
    request.vary = _flag(f"{path}.vary", entry.get("vary"), problems)
    request.tie = _target(f"{path}.tie", entry.get("tie"), known, problems)
    request.prior = _prior(f"{path}.prior", entry.get("prior"), problems)
    return request


def _number(path: str, entry: Mapping[str, Any], field: str, problems: list[Problem]) -> float | None:
    value = entry.get(field)
    return None if value is None else finite_number(f"{path}.{field}", value, problems)


def _flag(path: str, value: Any, problems: list[Problem]) -> bool | None:
    if value is None or value is True or value is False:
        return value
    if type(value).__name__ in ("bool", "bool_"):  # numpy's own
        return bool(value)
    problems.append(Problem(path, f"{shown(value)} is neither true nor false", "true, false"))
    return None


def _target(path: str, value: Any, known: tuple[str, ...], problems: list[Problem]) -> str | None:
    if value is None:
        return None
    target = published_name(str(value), known)
    if target is None:
        problems.append(unknown_name(path, value, known, kind="parameter"))
    return target


def _prior(path: str, value: Any, problems: list[Problem]) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        mu, sigma = value
    except (TypeError, ValueError):
        problems.append(Problem(path, f"{shown(value)} is not a prior", "two numbers: (mu, sigma)"))
        return None
    centre = finite_number(f"{path}.mu", mu, problems)
    width = finite_number(f"{path}.sigma", sigma, problems)
    if width is not None and width <= 0:
        problems.append(Problem(f"{path}.sigma", f"{width:g} is not positive", "sigma > 0"))
        return None
    return None if centre is None or width is None else (centre, width)
