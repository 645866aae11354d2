"""A model of one's own: the plugin form for a model without curves, and a look at a model before it is fitted."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import FORMS, ROLES, Curve
from heterodyne_nb.models.model import Model, OneTimeModel, Parameters, SeparableModel, Terms, TwoTimeModel
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.symmetries import Symmetry
from heterodyne_nb.names import unknown_name

_CURVES = ("amplitude", "decay", "displacement", "weight")


class ModelPlugin(ABC):
    """A user's own model without curves: a name and a function.

    A two-time plugin sets ``two_time = True``; ``tau`` is then a pair of arrays (t1, t2) that broadcast. Derivatives
    are taken by finite differences.

    The parameters, with units and limits, are those of the attribute ``parameters`` or those given at registration
    (:meth:`ModelFactory.register`), and else the names that the code of ``compute_correlation`` gives to the entries
    of ``params``: ``D, v = params`` or ``D = params[0]``. A name alone starts at 1, limits 0.001 to 1000. Where they
    describe curves, set ``curve_specs`` and ``symmetries``, as of a :class:`Model`.

    Examples
    --------
    >>> class CustomFlowModel(ModelPlugin):
    ...     parameters = {"D": 1000.0, "v": {"value": 0.0, "min": -50.0, "max": 50.0, "unit": "Å/s"}}
    ...     def get_model_name(self):
    ...         return "custom_flow"
    ...     def compute_correlation(self, tau, params, q, phi=None):
    ...         D, v = params
    ...         return np.exp(-2 * D * q**2 * tau) * np.cos(q * v * tau)
    >>> adapt_plugin(CustomFlowModel()).parameter_names
    ('D', 'v')
    """

    parameters: PluginParameters = ()
    curve_specs: tuple[Curve, ...] = ()
    symmetries: tuple[Symmetry, ...] = ()
    two_time: bool = False

    @abstractmethod
    def get_model_name(self) -> str:
        """Name under which :class:`ModelFactory` knows the model."""

    @abstractmethod
    def compute_correlation(self, tau: Any, params: Any, q: Any, phi: Any = None) -> Any:
        """Normalised correlation, 1 at zero lag; arguments broadcast."""


def _declared(model: Any) -> Any:
    """The model, when what it says of its parameters and curves makes sense."""
    specs = getattr(model, "parameters", ())
    if not specs or not all(isinstance(spec, ParameterSpec) for spec in specs):
        raise ConfigurationError(
            f"model {model.name!r} names no parameters",
            expected="a class attribute `parameters`, a tuple of ParameterSpec",
        )
    for curve in model.curve_specs:
        problem = _misdeclared(curve, len(specs))
        if problem:
            raise ConfigurationError(
                f"curve {curve.name!r} of model {model.name!r}: {problem[0]}",
                where="curve_specs",
                expected=problem[1],
            )
    return model


def _misdeclared(curve: Curve, count: int) -> tuple[str, str] | None:
    """What is wrong with a curve, and what is expected."""
    if curve.role not in ROLES:
        return f"unknown role {curve.role!r}", f"one of {', '.join(ROLES)}"
    if curve.form is not None and curve.form not in FORMS:
        return f"unknown form {curve.form!r}", f"one of {', '.join(FORMS)}, or None"
    places = (*curve.parameters, *(() if curve.direction is None else (curve.direction,)))
    if not all(0 <= i < count for i in places):
        return f"places {places}", f"places of the {count} parameters, 0 to {count - 1}"
    words = FORMS.get(curve.form or "", ())
    if words and len(curve.parameters) not in (len(words), len(words) - words.count("shift")):
        return f"{len(curve.parameters)} parameters", f"those of a {curve.form}: {', '.join(words)}"
    return None


class _PluginCheck:
    """The one place where a plugin's answer is checked before anything else sees it."""

    def __init__(self, plugin: ModelPlugin, parameters: PluginParameters | None = None) -> None:
        self.plugin = plugin
        self.name = plugin.get_model_name()
        given = plugin.parameters if parameters is None else parameters
        self.parameters = plugin_parameters(self.name, given, plugin.compute_correlation)
        self.curve_specs, self.symmetries = plugin.curve_specs, plugin.symmetries
        _declared(self)

    def answer(self, argument: Any, values: Any, q: Any, phi: Any, shape: tuple[int, ...]) -> FloatArray:
        try:
            result = np.asarray(self.plugin.compute_correlation(argument, values, q, phi), float)
        except Exception as error:
            raise ConfigurationError(
                f"model plugin {self.name!r} failed: {type(error).__name__}: {error}",
                where=f"compute_correlation of {type(self.plugin).__name__}",
            ) from error
        try:
            return np.broadcast_to(result, shape)
        except ValueError:
            raise ConfigurationError(
                f"model plugin {self.name!r} returned shape {result.shape}", expected=f"shape {shape}"
            ) from None


class PluginTwoTimeModel(_PluginCheck, TwoTimeModel):
    """Adapter: a two-time :class:`ModelPlugin` as a model."""

    def correlation(
        self, params: Parameters, t1: Any, t2: Any, *, q: Any, phi: Any = 0.0, gap: float | None = None
    ) -> FloatArray:
        """See :meth:`TwoTimeModel.correlation`."""
        t1, t2, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (t1, t2, q, phi)))
        return self.answer((t1, t2), self.unpack(params), q, phi, t1.shape)


class PluginOneTimeModel(_PluginCheck, OneTimeModel):
    """Adapter: a one-time :class:`ModelPlugin` as a model."""

    def correlation(self, params: Parameters, tau: Any, *, q: Any = 0.0, phi: Any = 0.0) -> FloatArray:
        """See :meth:`OneTimeModel.correlation`."""
        tau, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (tau, q, phi)))
        return self.answer(tau, self.unpack(params), q, phi, tau.shape)


def adapt_plugin(plugin: ModelPlugin | Model, parameters: PluginParameters | None = None) -> Model:
    """Wrap a plugin so that it looks like any other model; a model stays as it is."""
    if not isinstance(plugin, Model):
        return (PluginTwoTimeModel if plugin.two_time else PluginOneTimeModel)(plugin, parameters)
    if parameters is not None:
        raise ConfigurationError(
            f"model {plugin.name!r} has parameters of its own", where="parameters", hint="leave them out"
        )
    _declared(plugin)
    return plugin


def check_model(
    model: SeparableModel,
    params: Parameters | Mapping[str, float],
    t: ArrayLike,
    *,
    phi: ArrayLike = 0.0,
    tolerance: float = 1e-5,
) -> dict[str, float]:
    """Compare the derivatives of a separable model with differences of its curves.

    A wrong derivative raises no error in a fit; it only makes it slow, or ends it early in a wrong place.

    Parameters
    ----------
    model : SeparableModel
    params : sequence or mapping
        A point inside the bounds at which no parameter is special (an exponent of 0, a share of 0).
    t : array_like
        Frame times in s, increasing, above 0.
    phi : array_like
        Azimuths, degrees; some along and some across the flow.
    tolerance : float
        Largest deviation allowed, relative to the largest derivative of that curve by that parameter.

    Returns
    -------
    dict of str to float
        Parameter -> largest relative deviation over all curves.

    Raises
    ------
    ConfigurationError
        A derivative is off, naming the curve and the parameter; or M is not 1 on the diagonal.
    """
    if not isinstance(model, SeparableModel):
        raise ConfigurationError(
            f"a {type(model).__name__} has no terms to check",
            expected="a SeparableModel; other models are differentiated numerically",
        )
    theta = model.unpack(
        [params[n] for n in model.parameter_names] if isinstance(params, Mapping) else params
    )
    times, azimuths = np.atleast_1d(np.asarray(t, float)), np.atleast_1d(np.asarray(phi, float))
    exact = model.terms(theta, times, azimuths)
    _check_diagonal(model, exact)
    return {
        name: max(_deviation(model, exact, theta, times, azimuths, k, curve, tolerance) for curve in _CURVES)
        for k, name in enumerate(model.parameter_names)
        if not model.parameters[k].held
    }


def _check_diagonal(model: Any, terms: Terms) -> None:
    total = np.sum(terms.amplitude**2, axis=0)
    if not np.allclose(total, 1.0, atol=1e-9):
        worst = int(np.argmax(np.abs(total - 1.0)))
        raise ConfigurationError(
            f"model {model.name!r} is {total[worst]:.6g} on the diagonal, at frame {worst + 1}",
            where="amplitude",
            expected="squares of the amplitudes that add up to 1: M(t, t) = 1",
        )


def _deviation(
    model: SeparableModel,
    exact: Terms,
    theta: FloatArray,
    t: FloatArray,
    phi: FloatArray,
    k: int,
    curve: str,
    tolerance: float,
) -> float:
    step = np.zeros_like(theta)
    step[k] = 1e-5 * max(abs(theta[k]), 1e-2 * (model.parameters[k].upper - model.parameters[k].lower), 1e-8)
    up, down = (getattr(model.terms(theta + sign * step, t, phi), curve) for sign in (1, -1))
    measured = (up - down) / (2 * step[k])
    stated = np.take(getattr(exact, f"d_{curve}"), k, axis=-2)
    size = max(float(np.abs(measured).max(initial=0.0)), float(np.abs(stated).max(initial=0.0)))
    rounding = 1e-15 * float(np.abs(up).max(initial=0.0)) / step[k]
    off = float(np.abs(measured - stated).max(initial=0.0)) / size if size > 100 * rounding else 0.0
    if off > tolerance:
        raise ConfigurationError(
            f"the derivative of model {model.name!r} is off by {off:.2g} of its size",
            where=f"d_{curve} by {model.parameter_names[k]}",
            expected=f"the slope of {curve}, to {tolerance:g}",
        )
    return off


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
