"""Initial parameters of a configuration: values, roles, bounds and priors, all by published name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from heterodyne_nb.options.fields import (
    Flag,
    OptionalTexts,
    Pair,
    Section,
    Text,
    Texts,
    a_number,
    refuse,
    setting,
)
from heterodyne_nb.config.parameters import ParameterSpec
from heterodyne_nb.config.parameters_table import LEVELS
from heterodyne_nb.options.problems import Problem, shown, unknown_name
from heterodyne_nb.config.requests import Request, published_name

_PATH = "initial_parameters"


def _values(given: Any) -> Any:
    """Pass numbers by name or in a list; say which one is no number."""
    if given is None:
        return None
    if not isinstance(given, dict | list | tuple):
        raise refuse(f"{shown(given)} is neither", "a list of numbers, or a mapping of names to numbers")
    entries = given.items() if isinstance(given, dict) else enumerate(given)
    wrong = [f"[{key}] = {shown(value)}" for key, value in entries if not _is_number(value)]
    if wrong:
        raise refuse(f"{', '.join(wrong)} not finite numbers", "finite numbers")
    return given if isinstance(given, dict) else tuple(given)


def _is_number(value: Any) -> bool:
    try:
        a_number(value)
    except ValueError:
        return False
    return True


class InitialParameters(Section):
    """Start values, roles, bounds and priors of the published parameters."""

    values: Annotated[dict[str, float] | tuple[float, ...] | None, BeforeValidator(_values)] = setting(
        None,
        description="Start values by name, or as a list in published order (or that of parameter_names). "
        "Null: guessed from the data.",
    )
    parameter_names: OptionalTexts = setting(
        None, description="Names that a list of values belongs to, in its order. Null: the published order."
    )
    active_parameters: OptionalTexts = setting(
        None, description="Names of the parameters that are fitted; all others are fixed. Null: all are."
    )
    fixed: Texts = setting(
        (), description="Names of parameters held at their values; contrast and offset too."
    )
    tied: dict[str, Text] = setting(
        dict, description="Parameter to the parameter of the same unit that it always equals."
    )
    bounds: dict[str, Pair] = setting(
        dict,
        description="Parameter to [lower, upper] in its unit; the others keep their default bounds. contrast and offset may stand here, too.",
    )
    priors: dict[str, Pair] = setting(
        dict, description="Parameter to [mean, standard deviation] of a Gaussian prior, in its unit."
    )
    use_priors: Flag = setting(
        True, description="Whether the priors take part in the fit; false keeps them on record only."
    )


def settings_requests(
    initial: InitialParameters, specs: Sequence[ParameterSpec], problems: list[Problem]
) -> dict[str, Request]:
    """Turn the ``initial_parameters`` section into one request a parameter.

    Parameters
    ----------
    initial : InitialParameters
        The section.
    specs : sequence of ParameterSpec
        Published parameters of the mode.
    problems : list of Problem
        Receives unknown and duplicate names, a wrong number of values, sigma <= 0.
    """
    published = tuple(spec.name for spec in specs)
    known = (*published, *(name for name in LEVELS if name not in published))
    requests = {name: Request(f"{_PATH}: {name}") for name in known}
    for name, value, path in _named_values(initial, published, known, problems):
        requests[name].value, requests[name].path = value, path
    _set_roles(initial, published, known, requests, problems)
    for name, (lower, upper) in _by_name(initial.bounds, f"{_PATH}.bounds", known, problems):
        requests[name].lower, requests[name].upper = lower, upper
    for name, (mu, sigma) in _by_name(initial.priors, f"{_PATH}.priors", known, problems):
        if sigma <= 0:
            problems.append(
                Problem(f"{_PATH}.priors.{name}", f"sigma {sigma:g} is not positive", "sigma > 0")
            )
        elif initial.use_priors:
            requests[name].prior = (mu, sigma)
    return requests


def _set_roles(
    initial: InitialParameters,
    published: tuple[str, ...],
    known: tuple[str, ...],
    requests: dict[str, Request],
    problems: list[Problem],
) -> None:
    fixed = set(_names(initial.fixed, f"{_PATH}.fixed", known, problems))
    for name in fixed:
        requests[name].vary = False
    for name, target in _by_name(initial.tied, f"{_PATH}.tied", known, problems):
        path = f"{_PATH}.tied.{name}"
        requests[name].tie = _published(path, target, known, problems)
    if initial.active_parameters is None:
        return
    active = set(_names(initial.active_parameters, f"{_PATH}.active_parameters", known, problems))
    for name in sorted(active & fixed):
        path = f"{_PATH}.fixed"
        problems.append(Problem(path, f"{name} is both fixed and in active_parameters", "one of the two"))
    for name in set(published) - active:
        if requests[name].tie is None:
            requests[name].vary = False


def _named_values(
    initial: InitialParameters, published: tuple[str, ...], known: tuple[str, ...], problems: list[Problem]
) -> Iterable[tuple[str, float, str]]:
    """Yield name, value and path of every start value that is given and can be placed."""
    values, path = initial.values, f"{_PATH}.values"
    if isinstance(values, dict):
        if initial.parameter_names is not None:
            _names(initial.parameter_names, f"{_PATH}.parameter_names", known, problems)
        for name, value in _by_name(values, path, known, problems):
            yield name, value, f"{path}.{name}"
        return
    names: Sequence[str | None] = published
    if initial.parameter_names is not None:
        names = _names(initial.parameter_names, f"{_PATH}.parameter_names", known, problems, keep_place=True)
    if values is None:
        return
    if len(values) != len(names):
        listed = ", ".join(published if initial.parameter_names is None else initial.parameter_names)
        problems.append(Problem(path, f"{len(values)} values are given", f"{len(names)} values: {listed}"))
        return
    for i, (place, value) in enumerate(zip(names, values, strict=True)):
        if place is not None:
            yield place, value, f"{path}[{i}]"


def _names(
    given: Iterable[str],
    path: str,
    known: tuple[str, ...],
    problems: list[Problem],
    *,
    keep_place: bool = False,
) -> list[Any]:
    """Return published names; unknown and repeated ones are noted and dropped (or None in their place)."""
    found: list[str | None] = []
    for i, name in enumerate(given):
        published = _published(f"{path}[{i}]", name, known, problems)
        if published is not None and published in found:
            problems.append(Problem(f"{path}[{i}]", f"{name!r} is listed twice", "each name once"))
            published = None
        if published is not None or keep_place:
            found.append(published)
    return found


def _by_name(
    given: Mapping[str, Any], path: str, known: tuple[str, ...], problems: list[Problem]
) -> Iterable[tuple[str, Any]]:
    """Yield the entries of a mapping by published name; unknown and repeated names are noted."""
    seen: set[str] = set()
    for name, entry in given.items():
        published = _published(f"{path}.{name}", name, known, problems)
        if published is None:
            continue
        if published in seen:
            problems.append(Problem(f"{path}.{name}", f"{published!r} is given twice, by name and by alias"))
            continue
        seen.add(published)
        yield published, entry


def _published(path: str, name: str, known: tuple[str, ...], problems: list[Problem]) -> str | None:
    published = published_name(name, known)
    if published is None:
        problems.append(unknown_name(path, name, known, kind="parameter"))
    return published
