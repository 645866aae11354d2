"""The parameters of a model plugin: as given, or read from the code of its ``compute_correlation``."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.names import unknown_name

#: What a plugin's parameters may be given as; see :meth:`heterodyne_nb.models.ModelFactory.register`.
PluginParameters = Mapping[str, Any] | Sequence[Any]

_FIELDS = ("value", "min", "max", "unit", "description")
#: A start value is taken to be right to this factor where no limits are given.
_RANGE = 1e3


def plugin_parameters(
    name: str, given: PluginParameters, compute: Callable[..., Any]
) -> tuple[ParameterSpec, ...]:
    """The described parameters of a plugin.

    ``name``: Of the model. ``given``: ``ParameterSpec`` objects, names, or a mapping of name to start value or to
    ``dict(value=, min=, max=, unit=, description=)``; empty: read from the code. ``compute``: The plugin's
    ``compute_correlation``.

    Raises ConfigurationError: They are neither given nor can be read from the code, or what is given is wrong.
    """
    if not given:
        given = _names_in(compute)
    if not given or isinstance(given, str):
        raise ConfigurationError(
            f"model plugin {name!r} names no parameters, and its code does not show them",
            where=f"compute_correlation of {name!r}",
            expected="a line such as `D, v = params` in it, or a class attribute `parameters`",
            hint='give them: ModelFactory.register(..., parameters={"D": 1000.0, "v": 0.5})',
        )
    entries: Iterable[tuple[Any, Any]]
    entries = given.items() if isinstance(given, Mapping) else ((entry, None) for entry in given)
    specs = tuple(
        key if isinstance(key, ParameterSpec) else _spec(f"{name}.{key}", key, entry)
        for key, entry in entries
    )
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"parameters {', '.join(names)}", where=name, expected="a name once each")
    return specs


def _spec(where: str, name: Any, entry: Any) -> ParameterSpec:
    """One parameter; limits that are not given lie a factor of 1000 from the start value."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigurationError(f"{name!r} is no name of a parameter", where=where, expected="a plain word")
    fields = dict(entry) if isinstance(entry, Mapping) else {} if entry is None else {"value": entry}
    for field in fields:
        if field not in _FIELDS:
            raise unknown_name(field, _FIELDS, f"field of parameter {name!r}:")
    numbers = {key: _number(f"{where}.{key}", fields.get(key)) for key in ("value", "min", "max")}
    start, lower, upper = numbers.values()
    if start is None:
        start = 1.0 if lower is None or upper is None else 0.5 * (lower + upper)
    size = abs(start) or 1.0
    if lower is None:
        lower = size / _RANGE if start > 0 else -size * _RANGE
    upper = size * _RANGE if upper is None else upper
    if not lower < upper or not lower <= start <= upper:
        raise ConfigurationError(
            f"start {start:g}, limits {lower:g} to {upper:g}",
            where=where,
            expected="min <= value <= max, min < max",
        )
    said = str(fields.get("description") or f"parameter of the plugin, {lower:g} to {upper:g} unless given")
    return ParameterSpec(name, str(fields.get("unit", "1")), start, lower, upper, said)


def _number(where: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ConfigurationError(f"{value!r} is not a number", where=where, expected="a finite number")
    return float(value)


def _names_in(compute: Callable[..., Any]) -> tuple[str, ...]:
    """Names that the code gives to the entries of its second argument, in order; none where it does not tell.

    Read are ``D, v = params`` (also of ``np.asarray(params)`` or the like), ``D = params[0]`` and a bare ``params[0]``.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(compute)))
        params = list(inspect.signature(compute).parameters)[1]
    except (OSError, TypeError, ValueError, SyntaxError, IndexError):
        return ()
    named: dict[int, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple | ast.List) and _is_all_of(node.value, params):
                    if all(isinstance(one, ast.Name) for one in target.elts):
                        return tuple(one.id for one in target.elts if isinstance(one, ast.Name))
                    return ()
                place = _place(node.value, params)
                if isinstance(target, ast.Name) and place is not None:
                    named[place] = target.id
        place = _place(node, params)
        if place is not None:
            named.setdefault(place, f"p{place}")
    return tuple(named.get(k, f"p{k}") for k in range(1 + max(named, default=-1)))


def _is_all_of(node: ast.AST, params: str) -> bool:
    """Whether an expression is the parameters, or one call after the other on them."""
    while isinstance(node, ast.Call) and node.args:
        node = node.args[-1]
    return isinstance(node, ast.Name) and node.id == params


def _place(node: ast.AST, params: str) -> int | None:
    """k where the expression is ``params[k]``."""
    if not isinstance(node, ast.Subscript) or not _is_all_of(node.value, params):
        return None
    index = node.slice
    whole = isinstance(index, ast.Constant) and type(index.value) is int and index.value >= 0
    return index.value if whole else None  # type: ignore[attr-defined]
