"""Which mode a configuration means: by name, by static_mode and static_submode, or by its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heterodyne_nb.config.legacy.translation import Foreign, Translation
from heterodyne_nb.config.parameters import PARAMETERS
from heterodyne_nb.options.problems import Problem, shown, unknown_name

_SECTION = "analysis_settings"
_OWN = ("mode", "n_components")
_SUBMODES = {"isotropic": "static_isotropic", "anisotropic": "static_anisotropic"}
#: Keys that describe the model to a reader and steer nothing.
_DESCRIPTIONS = ("model_description", "description")


def translate_mode(foreign: Foreign, done: Translation, values: Mapping[str, Any]) -> None:
    """Find the analysis mode and put it to ``analysis_settings.mode``.

    A mode by name wins; then ``static_mode`` with ``static_submode``; then ``analysis_mode``; then the
    number of parameters, 14 or 7.
    """
    raw = values.get(_SECTION, {})
    if not isinstance(raw, Mapping):
        return
    done.values[_SECTION] = {}
    for key in _OWN:
        done.put(f"{_SECTION}.{key}", foreign.take(f"{_SECTION}.{key}"), f"{_SECTION}.{key}")
    named = _named_mode(foreign, done)
    mode = _static_mode(foreign, done, named)
    if "mode" not in done.values[_SECTION]:
        _settle(mode, named, values, done)
    for key in _DESCRIPTIONS:
        if foreign.take(f"{_SECTION}.{key}") is not None:
            done.note(f"{_SECTION}.{key}: a description, not read")


def refuse_other_keys(foreign: Foreign, done: Translation) -> None:
    """Make every key of the section that has not been taken a problem."""
    for key in foreign.keys(_SECTION):
        known = (*_OWN, "static_mode", "static_submode")
        done.problems.append(unknown_name(f"{_SECTION}.{key}", key, known))


def _named_mode(foreign: Foreign, done: Translation) -> tuple[str, Any] | None:
    """Return path and value of ``analysis_mode``, wherever those packages keep it."""
    for path in ("analysis_mode", "metadata.analysis_mode", "model"):
        value = foreign.take(path)
        if value is not None:
            return path, value
    return None


def _static_mode(foreign: Foreign, done: Translation, named: tuple[str, Any] | None) -> str | None:
    """Return the mode that ``static_mode: true`` means; None when it is false or absent."""
    static = foreign.take(f"{_SECTION}.static_mode")
    submode = foreign.take(f"{_SECTION}.static_submode")
    if static is not None and not isinstance(static, bool):
        message = f"{shown(static)} is neither true nor false"
        done.problems.append(Problem(f"{_SECTION}.static_mode", message, "true, false"))
        return None
    if submode is not None and submode not in _SUBMODES:
        path = f"{_SECTION}.static_submode"
        done.problems.append(unknown_name(path, submode, (*_SUBMODES, "null"), kind="submode"))
        return None
    if not static:
        if submode is not None:
            done.ignore(f"{_SECTION}.static_submode: only used with static_mode: true")
        return None
    if submode is None and named is not None and str(named[1]) in _SUBMODES.values():
        return str(named[1])
    if submode is None:
        done.note(f"{_SECTION}.static_submode is not given: anisotropic is assumed, which keeps the angles")
    return _SUBMODES[submode or "anisotropic"]


def _settle(
    static: str | None, named: tuple[str, Any] | None, values: Mapping[str, Any], done: Translation
) -> None:
    if static is not None:
        done.put(f"{_SECTION}.mode", static, f"{_SECTION}.static_mode")
        done.note(f"{_SECTION}: static_mode means mode {static}")
        if named is not None and named[1] != static:
            done.ignore(f"{named[0]} = {shown(named[1])}: static_mode says {static}")
        return
    if named is not None:
        done.put(f"{_SECTION}.mode", named[1], named[0])
        return
    counted = _mode_by_count(values.get("initial_parameters"))
    if counted is not None:
        done.put(f"{_SECTION}.mode", counted, f"{_SECTION}.mode")
        done.note(f"{_SECTION}.mode is not given: {len(PARAMETERS[counted])} parameters mean {counted}")


def _mode_by_count(initial: Any) -> str | None:
    """Return the mode whose number of parameters is unique, if the values have that number."""
    if not isinstance(initial, Mapping):
        return None
    for key in ("parameter_names", "values"):
        given = initial.get(key)
        if isinstance(given, list | tuple | dict):
            for mode in ("heterodyne", "laminar_flow"):
                if len(given) == len(PARAMETERS[mode]):
                    return mode
    return None
