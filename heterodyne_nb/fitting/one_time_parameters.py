"""What is asked of the parameters of a one-time fit: scopes, laws, and contrast and offset bin by bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.config import ParameterTable, asked_of, resolve_parameters
from heterodyne_nb.engine.one_time import LevelRequest
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.one_time_scopes import GROUPINGS, LAWS, ScopedModel, bin_groups, known_scopes
from heterodyne_nb.models.parameters import LEVELS


def scoped(parameters: Any) -> bool:
    """Whether any parameter is asked for bin by bin, or with a scope."""
    if not isinstance(parameters, Mapping):
        return bool(parameters is not None and parameters.scopes)
    return any(
        isinstance(entry, Mapping) and ("scope" in entry or _many(entry.get("value")))
        for entry in parameters.values()
    )


def one_time_parameters(
    model: Any, parameters: Mapping[str, Any] | ParameterTable | None, q: FloatArray, phi: FloatArray
) -> tuple[Any, ParameterTable, dict[str, LevelRequest]]:
    """The model on its bins, the table of what is fitted, and what is asked of contrast and offset.

    Parameters
    ----------
    model : OneTimeModel
    parameters : mapping or ParameterTable, optional
        As for :func:`heterodyne_nb.fit`; entries may hold ``scope=``, and a ``value=`` for each group of bins.
    q, phi : (B,)
        The bins that are fitted.

    Raises
    ------
    ConfigurationError
        An unknown name or scope, or values that are not as many as there are groups.
    """
    from heterodyne_nb.fitting.fitting import parameter_table

    if isinstance(parameters, ParameterTable) and parameters.scopes:
        parameters = asked_of(parameters)
    if not scoped(parameters):
        return model, parameter_table(model, parameters), {}
    assert isinstance(parameters, Mapping)
    entries: dict[str, Any] = dict(parameters)
    levels = {name: _level(name, entries, q, phi) for name in LEVELS if name not in model.parameter_names}
    scopes = _scopes(model, entries)
    on_bins = ScopedModel(model, scopes, q, phi)
    asked: dict[str, Any] = {}
    for name, entry in entries.items():
        scope = scopes.get(name)
        if scope is None or scope == "shared":
            asked[name] = entry
        elif scope in LAWS:
            if entry:
                own = [spec.name for spec in on_bins.parameters if spec.name.startswith(f"{name}.")]
                raise ConfigurationError(
                    f"{name} follows the law {scope!r} and has no {', '.join(entry)} of its own",
                    where=f"parameters.{name}",
                    hint=f"state them for {', '.join(own)}",
                )
        else:
            asked |= _by_group(name, entry, scope, on_bins, q, phi)
    table = resolve_parameters(model.name, asked, specs=on_bins.parameters)
    return on_bins, table, {name: request for name, request in levels.items() if request}


def _many(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _scopes(model: Any, entries: dict[str, Any]) -> dict[str, str]:
    """Take the scopes out of the entries; a tied parameter has that of its target."""
    scopes = {}
    for name, entry in entries.items():
        if not isinstance(entry, Mapping):
            continue
        entries[name] = {key: value for key, value in entry.items() if key != "scope"}
        scope = entry.get("scope", "each" if _many(entry.get("value")) else None)
        if scope is None:
            continue
        if scope not in GROUPINGS and scope not in LAWS:
            raise ConfigurationError(
                f"unknown scope {scope!r}",
                where=f"parameters.{name}.scope",
                expected=f"one of {known_scopes()}",
            )
        if name not in model.parameter_names:
            raise ConfigurationError(
                f"{name!r} cannot have a scope",
                where=f"parameters.{name}",
                expected=f"one of {', '.join([*model.parameter_names, *LEVELS])}",
            )
        scopes[name] = str(scope)
    for name, entry in entries.items():
        target = entry.get("tie") if isinstance(entry, Mapping) else None
        if target is None or name not in model.parameter_names:
            continue
        if scopes.get(str(target), "shared") != scopes.get(name, "shared"):
            if name in scopes or scopes[str(target)] in LAWS:
                raise ConfigurationError(
                    f"{name} is tied to {target}, which has another scope",
                    where=f"parameters.{name}",
                    expected="one scope for both, not a law",
                )
            scopes[name] = scopes[str(target)]
    return scopes


def _by_group(
    name: str, entry: Mapping[str, Any], scope: str, model: ScopedModel, q: FloatArray, phi: FloatArray
) -> dict[str, Any]:
    """The entry of a parameter for each of its groups."""
    _, labels = bin_groups(scope, q, phi)
    values = _values(f"parameters.{name}.value", entry.get("value"), len(labels))
    out = {}
    for k, label in enumerate(labels):
        one = {key: value for key, value in entry.items() if key != "value"}
        if values is not None:
            one["value"] = float(values[k])
        if one.get("tie"):
            one["tie"] = f"{one['tie']}[{label}]"
        out[f"{name}[{label}]"] = one
    return out


def _values(where: str, value: Any, count: int) -> FloatArray | None:
    if value is None:
        return None
    values = np.asarray(value, float) if _many(value) else np.full(count, value, float)
    if values.shape != (count,):
        raise ConfigurationError(
            f"{values.size} values", where=where, expected=f"1, or {count}: one a group of bins"
        )
    return values


def _level(name: str, entries: dict[str, Any], q: FloatArray, phi: FloatArray) -> LevelRequest | None:
    """Take scope and values of contrast or offset out of its entry."""
    entry = entries.get(name)
    if not isinstance(entry, Mapping) or not ("scope" in entry or _many(entry.get("value"))):
        return None
    scope = entry.get("scope")
    if scope is not None and scope not in GROUPINGS:
        raise ConfigurationError(
            f"unknown scope {scope!r}",
            where=f"parameters.{name}.scope",
            expected=f"one of {', '.join(GROUPINGS)}",
        )
    rest = {key: value for key, value in entry.items() if key != "scope"}
    if not _many(entry.get("value")):
        entries[name] = rest
        return LevelRequest(scope)
    if entry.get("vary", True) is not False:
        raise ConfigurationError(
            f"{name} has a value for each group of bins, but is not fixed",
            where=f"parameters.{name}",
            expected="vary=False beside the values",
            hint="contrast and offset are solved for at every step and need no start",
        )
    count = np.size(entry["value"])
    fitting = [
        s for s in ([scope] if scope else ["each", "q", "phi"]) if len(bin_groups(s, q, phi)[1]) == count
    ]
    group, labels = bin_groups(fitting[0] if fitting else scope or "each", q, phi)
    values = _values(f"parameters.{name}.value", entry["value"], len(labels))
    assert values is not None
    del rest["value"], rest["vary"]
    entries[name] = rest
    if not rest:
        del entries[name]
    return LevelRequest(scope, values[group])
