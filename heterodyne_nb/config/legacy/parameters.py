"""Mode, initial parameters and parameter space of the foreign templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heterodyne_nb.config.legacy.translation import Foreign, Translation
from heterodyne_nb.config.parameters import PARAMETERS, published_name
from heterodyne_nb.config.schema import InitialParameters
from heterodyne_nb.options.problems import Problem, nearest, shown, unknown_name

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


_INITIAL = "initial_parameters"
_SPACE = "parameter_space.bounds"
_ENTRY = ("name", "min", "max", "type", "prior_mu", "prior_sigma", "unit")
_GAUSSIAN = ("normal", "truncatednormal", "gaussian")
_OTHER_UNITS = ("nm", "µm", "μm", "um", "rad")


def translate_parameters(foreign: Foreign, done: Translation) -> None:
    """Move names, values and roles; turn the parameter space into bounds and priors by name."""
    names, values = foreign.take(f"{_INITIAL}.parameter_names"), foreign.take(f"{_INITIAL}.values")
    names, values = _of_this_mode(names, values, done)
    done.put(f"{_INITIAL}.parameter_names", names, f"{_INITIAL}.parameter_names")
    done.put(f"{_INITIAL}.values", values, f"{_INITIAL}.values")
    for key in InitialParameters.model_fields:
        if key not in ("parameter_names", "values", "bounds"):
            done.put(f"{_INITIAL}.{key}", foreign.take(f"{_INITIAL}.{key}"), f"{_INITIAL}.{key}")
    bounds = foreign.take(f"{_INITIAL}.bounds")
    done.put(f"{_INITIAL}.bounds", _by_place(bounds, names, done), f"{_INITIAL}.bounds")
    _drop_foreign_active(done)
    _translate_space(foreign.take(_SPACE), done)


def _known(done: Translation) -> tuple[str, ...] | None:
    """Return the published names of the mode; None when the mode is not one of the tables."""
    mode = done.values.get("analysis_settings", {}).get("mode")
    specs = PARAMETERS.get(mode) if isinstance(mode, str) else None
    return tuple(spec.name for spec in specs) if specs else None


def _is_of_other_mode(name: Any, known: tuple[str, ...]) -> bool:
    """Whether a name belongs to another mode, as templates made for all modes carry them."""
    if not isinstance(name, str) or published_name(name, known) is not None:
        return False
    return any(published_name(name, tuple(s.name for s in specs)) for specs in PARAMETERS.values())


def _of_this_mode(names: Any, values: Any, done: Translation) -> tuple[Any, Any]:
    """Leave out names (and their values) of other modes: a static fit of a template for flow."""
    known = _known(done)
    if known is None or not isinstance(names, list):
        return names, values
    keep = [not _is_of_other_mode(name, known) for name in names]
    if all(keep):
        return names, values
    dropped = [str(name) for name, kept in zip(names, keep, strict=True) if not kept]
    done.ignore(f"{_INITIAL}: {', '.join(dropped)}: not parameters of this mode")
    if isinstance(values, list) and len(values) == len(names):
        values = [value for value, kept in zip(values, keep, strict=True) if kept]
    return [name for name, kept in zip(names, keep, strict=True) if kept], values


def _drop_foreign_active(done: Translation) -> None:
    known, initial = _known(done), done.values.get(_INITIAL, {})
    active = initial.get("active_parameters") if isinstance(initial, dict) else None
    if known is None or not isinstance(active, list):
        return
    dropped = [str(name) for name in active if _is_of_other_mode(name, known)]
    if dropped:
        done.ignore(f"{_INITIAL}.active_parameters: {', '.join(dropped)}: not parameters of this mode")
        initial["active_parameters"] = [name for name in active if name not in dropped]


def _by_place(bounds: Any, names: Any, done: Translation) -> Any:
    """Give a plain list of [lower, upper] the names it belongs to."""
    if not isinstance(bounds, list):
        return bounds
    order = names if isinstance(names, list) else _known(done)
    if order is None or len(order) != len(bounds):
        expected = f"{len(order)} pairs" if order else "names for them"
        message = f"{len(bounds)} pairs are given"
        done.problems.append(Problem(f"{_INITIAL}.bounds", message, expected))
        return None
    return dict(zip(order, bounds, strict=True))


def _translate_space(entries: Any, done: Translation) -> None:
    if entries is None:
        return
    if not isinstance(entries, list):
        done.problems.append(Problem(_SPACE, f"{shown(entries)} is not a list", "a list of bounds"))
        return
    priors = [name for i, entry in enumerate(entries) if (name := _translate_entry(i, entry, done))]
    if priors:
        done.put(f"{_INITIAL}.use_priors", False, _SPACE)
        done.ignore(
            f"{_SPACE}: the priors of {', '.join(priors)} are kept, but take no part in the fit "
            "(as in the classical fits there) unless initial_parameters.use_priors is set to true"
        )


def _translate_entry(i: int, entry: Any, done: Translation) -> str | None:
    """Move one entry; return its name when it has a Gaussian prior."""
    path = f"{_SPACE}[{i}]"
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if not isinstance(name, str):
        done.problems.append(Problem(path, f"{shown(entry)} has no name", "{name, min, max}"))
        return None
    _check_entry_keys(path, entry, done)
    known = _known(done)
    if known is not None and _is_of_other_mode(name, known):
        done.ignore(f"{path}: {name} is no parameter of this mode")
        return None
    if "min" in entry and "max" in entry:
        done.put(f"{_INITIAL}.bounds.{name}", [entry["min"], entry["max"]], path)
    else:
        done.problems.append(Problem(path, f"{name} has no min or no max", "{name, min, max}"))
    _check_unit(path, entry, done)
    return name if _put_prior(path, name, entry, done) else None


def _put_prior(path: str, name: str, entry: Mapping[str, Any], done: Translation) -> bool:
    if "prior_mu" not in entry and "prior_sigma" not in entry:
        return False
    kind = str(entry.get("type", "Normal"))
    if kind.casefold() not in _GAUSSIAN:
        done.ignore(f"{path}: the prior of {name} is of type {kind}; only Gaussian ones are known")
        return False
    if "prior_mu" not in entry or "prior_sigma" not in entry:
        done.problems.append(Problem(path, f"{name} has half a prior", "prior_mu and prior_sigma"))
        return False
    done.put(f"{_INITIAL}.priors.{name}", [entry["prior_mu"], entry["prior_sigma"]], path)
    return True


def _check_entry_keys(path: str, entry: Mapping[str, Any], done: Translation) -> None:
    for key in entry:
        if key in _ENTRY:
            continue
        likely = nearest(key, [k for k in _ENTRY if k not in entry], cutoff=0.8)
        if likely:
            hint = f"did you mean {likely!r}?"
            done.problems.append(
                Problem(f"{path}.{key}", f"unknown setting {key!r}", ", ".join(_ENTRY), hint)
            )
        else:
            done.ignore(f"{path}.{key}")


def _check_unit(path: str, entry: Mapping[str, Any], done: Translation) -> None:
    unit = str(entry.get("unit", ""))
    if any(other in unit.casefold() for other in _OTHER_UNITS):
        done.ignore(f"{path}.unit = {unit!r}: the bounds are read in the published unit of {entry['name']}")
