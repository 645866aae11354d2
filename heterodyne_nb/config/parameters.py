"""From what a user asks of the parameters, in a call or in a configuration, to the checked table of one fit."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from heterodyne_nb.errors import ConfigurationWarning, warn
from heterodyne_nb.models.one_time_scopes import GROUPINGS, LAWS, law_numbers
from heterodyne_nb.models.parameters import (
    LEVELS,
    PARAMETER_ALIASES,
    PARAMETERS,
    Level,
    ParameterSpec,
    ParameterTable,
    multicomponent_parameters,
)
from heterodyne_nb.models.registry import ModelFactory
from heterodyne_nb.options import MODES as KNOWN_MODES
from heterodyne_nb.options.problems import ConfigurationProblems, Problem, raise_if_any, shown, unknown_name

if TYPE_CHECKING:
    from heterodyne_nb.config.schema import InitialParameters, Settings

__all__ = [
    "FIELDS",
    "MODES",
    "MULTICOMPONENT",
    "PARAMETERS",
    "ParameterSpec",
    "asked_of",
    "build_table",
    "default_table",
    "mode_parameters",
    "multicomponent_parameters",
    "published_name",
    "read_requests",
    "resolve_parameters",
]

_PATH = "initial_parameters"
#: Fields of ``fit(parameters={name: dict(...)})``.
FIELDS = ("value", "min", "max", "vary", "tie", "prior", "calibration")


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
    calibration: tuple[tuple[float, float | None, float, float], ...] | None = None

    @property
    def says_anything(self) -> bool:
        """Whether the user stated any of the fields."""
        return bool(self.stated())

    def stated(self) -> dict[str, Any]:
        """What was said, in the form that it is read from."""
        values = (self.value, self.lower, self.upper, self.vary, self.tie, self.prior, self.calibration)
        return {field: value for field, value in zip(FIELDS, values, strict=True) if value is not None}


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

    ``given``: The form of ``heterodyne_nb.fit(parameters=...)``. ``known``: Published names of the mode; ``contrast``
    and ``offset`` may be given besides. ``problems``: Receives what is wrong.
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
            if requests[published].calibration is not None and published not in LEVELS:
                problems.append(Problem(path, f"{published} has no calibration", " or ".join(LEVELS)))
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
    request.calibration = _calibration(f"{path}.calibration", entry.get("calibration"), problems)
    return request


def _calibration(path: str, given: Any, problems: list[Problem]) -> Any:
    """Rows (q, phi or None, value, error) as :func:`heterodyne_nb.calibrate_contrast` makes them."""
    if given is None:
        return None
    rows = []
    try:
        for q, phi, value, error in given:
            row = (float(q), None if phi is None else float(phi), float(value), float(error))
            if not (row[0] > 0 and row[3] > 0 and all(math.isfinite(x) for x in row if x is not None)):
                raise ValueError
            rows.append(row)
    except (TypeError, ValueError):
        rows = []
    if not rows:
        expected = "rows [q in 1/Å, phi in degrees or null, value, error], q and error above 0"
        problems.append(Problem(path, f"{shown(given)} is no calibration", expected))
    return tuple(rows)


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


class Ties:
    """Equalities between parameters, each pointing from a follower to its target.

    ``targets``: For every parameter the one it equals, or None.
    """

    def __init__(self, targets: Mapping[str, str | None]) -> None:
        self._targets = dict(targets)

    def root(self, name: str) -> str:
        """Return the parameter at the end of the chain that starts at ``name``."""
        return self._chain(name)[-1]

    def groups(self) -> dict[str, list[str]]:
        """Return each root that has followers, with them."""
        found: dict[str, list[str]] = {}
        for name, target in self._targets.items():
            if target is not None:
                found.setdefault(self.root(name), []).append(name)
        return found

    def _chain(self, name: str) -> list[str]:
        """Follow the targets from ``name``; a cycle ends with its first repeated name."""
        chain = [name]
        while (target := self._targets[chain[-1]]) is not None:
            chain.append(target)
            if target in chain[:-1]:
                break
        return chain

    def check(
        self,
        units: Mapping[str, str],
        paths: Mapping[str, str],
        fixed: Collection[str],
        problems: list[Problem],
    ) -> None:
        """Note self-ties, cycles, ties across units, and parameters both fixed and tied."""
        for name, target in self._targets.items():
            if target is None:
                continue
            path = f"{paths[name]}.tie"
            chain = self._chain(name)
            if name in chain[1:]:
                message = f"{name} is tied to itself: " + " -> ".join(chain)
                problems.append(Problem(path, message, "ties that end at a parameter of its own"))
            elif units[name] != units[target]:
                message = f"{name} ({units[name]}) cannot equal {target} ({units[target]})"
                problems.append(Problem(path, message, "a parameter of the same unit"))
            if name in fixed:
                problems.append(Problem(path, f"{name} is both fixed and tied to {target}", "one of the two"))


MULTICOMPONENT = "multicomponent"
_LEVELS = (
    ParameterSpec("contrast", "1", 0.5, 0.0, 1.0, "contrast of every bin"),
    ParameterSpec("offset", "1", 1.0, 0.8, 2.0, "offset of every bin"),
)
#: Every mode that a configuration may name.
MODES: tuple[str, ...] = (*PARAMETERS, MULTICOMPONENT)


def mode_parameters(mode: str, n_components: int | None = None) -> tuple[ParameterSpec, ...]:
    """Return the published parameters of a mode, in order.

    ``mode``: One of :data:`MODES`, or of a registered model. ``n_components``: Number of components, needed by
    ``"multicomponent"`` alone.

    Raises ConfigurationError: For an unknown mode, or a number of components that does not suit it.
    """
    if mode == MULTICOMPONENT:
        if not isinstance(n_components, int) or n_components not in range(2, 7):
            found = "is missing" if n_components is None else f"is {shown(n_components)}"
            path = "analysis_settings.n_components"
            raise_if_any(
                [Problem(path, f"{found}, and mode 'multicomponent' needs it", "an integer, 2 to 6")]
            )
        return multicomponent_parameters(int(n_components))  # type: ignore[arg-type]
    if KNOWN_MODES.spelt(mode) is None:
        raise_if_any([unknown_name("analysis_settings.mode", mode, MODES, kind="mode")])
    if n_components is not None:
        message = f"{shown(n_components)} is given, but mode {mode!r} has a fixed number of components"
        raise_if_any([Problem("analysis_settings.n_components", message, "null, or mode 'multicomponent'")])
    return tuple(ModelFactory.create_model(mode).parameters)


def resolve_parameters(
    settings: Settings | ParameterTable | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    n_components: int | None = None,
    specs: Sequence[ParameterSpec] | None = None,
) -> ParameterTable:
    """Resolve what the user asked into the table the optimiser is given.

    ``settings``: A configuration, or the name of a mode. A table is returned as it is. ``parameters``: With a mode:
    name to value, or to ``dict(value=, min=, max=, vary=, tie=, prior=, calibration=)``, in one-time modes also
    ``scope=``. What is not said keeps the defaults of the mode. ``n_components``: For mode ``"multicomponent"``.
    ``specs``: Parameters of a model that is not built in (a plugin); ``settings`` is then just its name.

    Raises ConfigurationError: Listing every problem: unknown names (with the nearest one), wrong number of values,
    numbers that are not finite, ``lower >= upper``, a start outside its bounds, ``sigma <= 0``, unknown or circular
    ties, a parameter both fixed and tied. Warns ConfigurationWarning: When a value was given but cannot be used, e.g.
    the start value of a tied parameter.
    """
    if isinstance(settings, ParameterTable):
        return settings
    problems: list[Problem] = []
    if not isinstance(settings, str):
        mode = settings.mode
        specs = mode_parameters(mode, settings.analysis_settings.n_components)
        asked = settings.initial_parameters.scopes
        scopes, numbers = _checked_scopes(mode, asked, specs, f"{_PATH}.scopes", problems)
        requests = settings_requests(settings.initial_parameters, (*specs, *numbers), problems)
        return _scoped_table(mode, specs, requests, scopes, numbers, problems)
    specs = tuple(specs) if specs is not None else mode_parameters(settings, n_components)
    given = dict(parameters or {})
    asked = {name: one["scope"] for name, one in given.items() if isinstance(one, Mapping) and "scope" in one}
    given |= {name: {k: v for k, v in given[name].items() if k != "scope"} for name in asked}
    scopes, numbers = _checked_scopes(settings, asked, specs, "parameters", problems)
    requests = read_requests(given, tuple(s.name for s in (*specs, *numbers)), problems)
    table = _scoped_table(settings, specs, requests, scopes, numbers, problems)
    for note in table.notes:
        warn(note, ConfigurationWarning)
    return table


def _checked_scopes(
    mode: str, asked: Mapping[str, Any], specs: Sequence[ParameterSpec], path: str, problems: list[Problem]
) -> tuple[dict[str, str], tuple[ParameterSpec, ...]]:
    """Scopes by published name, and the numbers of the laws among them."""
    by_name, scopes = {spec.name: spec for spec in specs}, dict[str, str]()
    numbers: list[ParameterSpec] = []
    if asked and mode in KNOWN_MODES.names() and not ModelFactory.create_model(mode).one_time:
        problems.append(Problem(path, f"{mode} has one set of parameters for all bins", "a one-time mode"))
    for name, scope in asked.items():
        known = published_name(str(name), (*by_name, *LEVELS))
        allowed = GROUPINGS if known in LEVELS and known not in by_name else (*GROUPINGS, *LAWS)
        if known is None:
            problems.append(unknown_name(f"{path}.{name}", name, (*by_name, *LEVELS), kind="parameter"))
        elif scope not in allowed:
            problems.append(unknown_name(f"{path}.{name}", scope, allowed, kind="scope"))
        else:
            scopes[known] = str(scope)
            if scope in LAWS:
                numbers += law_numbers(scope, by_name[known])
    return scopes, tuple(numbers)


def _scoped_table(
    mode: str,
    specs: Sequence[ParameterSpec],
    requests: Mapping[str, Request],
    scopes: dict[str, str],
    numbers: Sequence[ParameterSpec],
    problems: list[Problem],
) -> ParameterTable:
    """The table of the model's own parameters, with scopes and what is asked of the numbers of laws beside it."""
    for spec in specs:
        said = requests.get(spec.name)
        if said is None or scopes.get(spec.name) not in LAWS:
            continue
        bounds = (said.lower in (None, spec.lower)) and (said.upper in (None, spec.upper))
        if not bounds or any(x is not None for x in (said.value, said.vary, said.tie, said.prior)):
            own = ", ".join(n.name for n in numbers if n.name.startswith(f"{spec.name}."))
            text = f"{spec.name} follows the law {scopes[spec.name]!r} and has no value, bounds or role of its own"
            problems.append(Problem(said.path, text, f"these of {own}"))
    table = build_table(mode, specs, requests, problems)
    if numbers:
        build_table(
            mode, numbers, {n.name: requests[n.name] for n in numbers if n.name in requests}, problems
        )
    asked = {n.name: requests[n.name].stated() if n.name in requests else {} for n in numbers}
    laws = {
        name: {k: v for k, v in one.items() if v is not True} for name, one in asked.items()
    }  # free by default
    return replace(table, scopes=scopes, laws=laws)


def build_table(
    mode: str, specs: Sequence[ParameterSpec], requests: Mapping[str, Request], problems: list[Problem]
) -> ParameterTable:
    """Check the requests against each other and against the specs; raise all problems at once."""
    rows = {
        spec.name: _Row(spec, requests.get(spec.name) or Request(f"parameters.{spec.name}")) for spec in specs
    }
    for row in rows.values():
        row.check_bounds(problems)
    notes: list[str] = []
    contrast, offset = (
        _level(spec, None if spec.name in rows else requests.get(spec.name), problems, notes)
        for spec in _LEVELS
    )
    ties = Ties({name: row.request.tie for name, row in rows.items()})
    ties.check(
        {name: row.spec.unit for name, row in rows.items()},
        {name: row.request.path for name, row in rows.items()},
        {name for name, row in rows.items() if row.request.vary is False},
        problems,
    )
    if problems:
        raise ConfigurationProblems(problems)
    for root, members in ties.groups().items():
        _intersect(rows, root, members, problems)
    for name, row in rows.items():
        if ties.root(name) == name:
            row.settle_value(problems, notes)
    for name, row in rows.items():
        if ties.root(name) != name:
            row.follow(rows[ties.root(name)], notes)
    raise_if_any(problems)
    return replace(_table(mode, rows, ties, notes), contrast=contrast, offset=offset)


def _level(spec: ParameterSpec, request: Request | None, problems: list[Problem], notes: list[str]) -> Level:
    """Limits of contrast or offset as asked for."""
    if request is None or not request.says_anything:
        return Level(spec.lower, spec.upper)
    row = _Row(spec, request)
    if row.fixed and request.value is not None:  # in the units of the data, which need not be normalised
        row.lower = min(row.lower, request.value) if request.lower is None else row.lower
        row.upper = max(row.upper, request.value) if request.upper is None else row.upper
    if request.tie is not None:
        hint = "contrast='shared' (or 'per_q', 'smooth_phi') ties bins to each other"
        problems.append(Problem(request.path, f"{spec.name} cannot be tied to a parameter", hint))
    row.check_bounds(problems)
    held = row.fixed and bool(request.calibration)
    if request.calibration and (request.value is not None or request.prior is not None):
        problems.append(Problem(request.path, "has a value or prior beside its calibration", "one of them"))
    elif not held and (request.value is not None or row.fixed):
        row.settle_value(problems, notes)
    if request.value is not None and not row.fixed:
        notes.append(
            f"{request.path}: the start value is not used, because {spec.name} is solved for in every step; "
            "to hold it there, fix it"
        )
    return Level(
        row.lower, row.upper, row.value if row.fixed else None, request.prior, given=True,
        calibration=request.calibration or (), held=held,
    )  # fmt: skip


class _Row:
    """One parameter while it is being resolved."""

    def __init__(self, spec: ParameterSpec, request: Request) -> None:
        self.spec, self.request = spec, request
        self.lower = spec.lower if request.lower is None else request.lower
        self.upper = spec.upper if request.upper is None else request.upper
        self.value = request.value

    @property
    def fixed(self) -> bool:
        return self.request.vary is False or self.spec.held

    def check_bounds(self, problems: list[Problem]) -> None:
        if self.lower < self.upper:
            return
        message = f"lower bound {self._bound('lower')} is not below upper bound {self._bound('upper')}"
        hint = "to hold a parameter at one value, fix it instead"
        problems.append(Problem(self.request.path, message, "lower < upper", hint))

    def _bound(self, side: str) -> str:
        by_default = getattr(self.request, side) is None and getattr(self, side) == getattr(self.spec, side)
        return f"{getattr(self, side):g}" + (" (default)" if by_default else "")

    def settle_value(self, problems: list[Problem], notes: list[str]) -> None:
        if self.value is not None:
            self._check_value(problems)
        elif self.request.vary is False:
            problems.append(Problem(self.request.path, "is fixed but has no value", "a value to hold it at"))
        else:
            self._default_value()
        if self.fixed and self.request.prior is not None:
            notes.append(f"{self.request.path}: the prior of a fixed parameter has no effect")

    def _check_value(self, problems: list[Problem]) -> None:
        assert self.value is not None
        if self.lower <= self.value <= self.upper:
            return
        side = "lower" if self.value < self.lower else "upper"
        relation = "below its lower bound" if side == "lower" else "above its upper bound"
        message = f"start value {self.value:g} of {self.spec.name} is {relation} {self._bound(side)}"
        unit = "" if self.spec.unit == "1" else f" {self.spec.unit}"
        allowed = f"{self._bound('lower')} to {self._bound('upper')}{unit}"
        hint = "change the value, or set this parameter's bounds" if "default" in allowed else ""
        problems.append(Problem(self.request.path, message, allowed, hint))

    def _default_value(self) -> None:
        """Take the default of the mode, or the middle of bounds that leave it out."""
        self.value = self.spec.default
        if not self.lower <= self.value <= self.upper:
            self.value = 0.5 * (self.lower + self.upper)

    def follow(self, target: _Row, notes: list[str]) -> None:
        if self.value is not None and self.value != target.value:
            notes.append(
                f"{self.request.path}: value {self.value:g} is not used, because the parameter is tied "
                f"to {target.spec.name} = {target.value:g}"
            )
        self.value, self.lower, self.upper = target.value, target.lower, target.upper


def _intersect(rows: dict[str, _Row], root: str, members: Sequence[str], problems: list[Problem]) -> None:
    """Give the root of a tied group the bounds that all of its members allow."""
    lower = max(rows[name].lower for name in (root, *members))
    upper = min(rows[name].upper for name in (root, *members))
    if lower < upper:
        rows[root].lower, rows[root].upper = lower, upper
        return
    names = " and ".join([root, *members])
    message = f"{names} are tied, but their bounds have no value in common"
    problems.append(Problem(rows[root].request.path, message, "bounds that overlap"))


def _table(mode: str, rows: dict[str, _Row], ties: Ties, notes: list[str]) -> ParameterTable:
    tie = tuple(ties.root(name) if ties.root(name) != name else None for name in rows)
    listed = list(rows.values())
    return ParameterTable(
        mode=mode,
        names=tuple(rows),
        values=[row.value for row in listed],  # type: ignore[arg-type]
        lower=[row.lower for row in listed],  # type: ignore[arg-type]
        upper=[row.upper for row in listed],  # type: ignore[arg-type]
        vary=[not row.fixed and target is None for row, target in zip(listed, tie, strict=True)],  # type: ignore[arg-type]
        tie=tie,
        prior=tuple(row.request.prior for row in listed),
        units=tuple(row.spec.unit for row in listed),
        given=[rows[ties.root(name)].request.value is not None for name in rows],  # type: ignore[arg-type]
        notes=tuple(notes),
    )


def settings_requests(
    initial: InitialParameters, specs: Sequence[ParameterSpec], problems: list[Problem]
) -> dict[str, Request]:
    """Turn the ``initial_parameters`` section into one request a parameter.

    ``initial``: The section. ``specs``: Published parameters of the mode. ``problems``: Receives unknown and
    duplicate names, a wrong number of values, sigma <= 0.
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
    for name, rows in _by_name(initial.calibration, f"{_PATH}.calibration", LEVELS, problems):
        requests[name].calibration = _calibration(f"{_PATH}.calibration.{name}", rows, problems)
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


def default_table(mode: str) -> ParameterTable:
    """The table of a mode of which nothing is asked."""
    return resolve_parameters(mode, {}, specs=ModelFactory.create_model(mode).parameters)


def asked_of(table: ParameterTable) -> dict[str, dict[str, Any]]:
    """What was asked of each parameter, as ``fit(parameters=...)`` takes it; defaults are left out."""
    plain = default_table(table.mode)
    asked: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(table.names):
        entry: dict[str, Any] = {}
        if table.tie[i]:
            entry["tie"] = table.tie[i]
        else:
            if table.given[i]:
                entry["value"] = float(table.values[i])
            entry |= _changed_bounds(table, plain, i)
            if not table.vary[i]:
                entry |= {"value": float(table.values[i]), "vary": False}
        if (prior := table.prior[i]) is not None:
            entry["prior"] = prior
        if entry:
            asked[name] = entry
    return table.with_scopes(
        asked | {name: told for name in LEVELS if (told := getattr(table, name).to_dict())}
    )


def _changed_bounds(table: ParameterTable, plain: ParameterTable, i: int) -> dict[str, float]:
    sides = {"min": (table.lower[i], plain.lower[i]), "max": (table.upper[i], plain.upper[i])}
    return {side: float(here) for side, (here, usual) in sides.items() if here != usual}
