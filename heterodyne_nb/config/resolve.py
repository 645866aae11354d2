"""From what a user asked to the checked :class:`ParameterTable` of one fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from heterodyne_nb.config.initial import settings_requests
from heterodyne_nb.config.parameters import PARAMETERS, ParameterSpec, multicomponent_parameters
from heterodyne_nb.config.parameters_table import Level, ParameterTable
from heterodyne_nb.options.problems import ConfigurationProblems, Problem, raise_if_any, shown, unknown_name
from heterodyne_nb.config.requests import Request, read_requests
from heterodyne_nb.config.ties import Ties
from heterodyne_nb.errors import ConfigurationWarning, warn

if TYPE_CHECKING:
    from heterodyne_nb.config.schema import Settings

MULTICOMPONENT = "multicomponent"
_LEVELS = (
    ParameterSpec("contrast", "1", 0.5, 0.0, 1.0, "contrast of every bin"),
    ParameterSpec("offset", "1", 1.0, 0.8, 2.0, "offset of every bin"),
)
#: Every mode that a configuration may name.
MODES: tuple[str, ...] = (*PARAMETERS, MULTICOMPONENT)


def mode_parameters(mode: str, n_components: int | None = None) -> tuple[ParameterSpec, ...]:
    """Return the published parameters of a mode, in order.

    Parameters
    ----------
    mode : str
        One of :data:`MODES`.
    n_components : int, optional
        Number of components, needed by ``"multicomponent"`` alone.

    Raises
    ------
    ConfigurationError
        For an unknown mode, or a number of components that does not suit it.
    """
    if mode == MULTICOMPONENT:
        if not isinstance(n_components, int) or n_components not in range(2, 7):
            found = "is missing" if n_components is None else f"is {shown(n_components)}"
            path = "analysis_settings.n_components"
            raise_if_any(
                [Problem(path, f"{found}, and mode 'multicomponent' needs it", "an integer, 2 to 6")]
            )
        return multicomponent_parameters(int(n_components))  # type: ignore[arg-type]
    if mode not in PARAMETERS:
        raise_if_any([unknown_name("analysis_settings.mode", mode, MODES, kind="mode")])
    if n_components is not None:
        message = f"{shown(n_components)} is given, but mode {mode!r} has a fixed number of components"
        raise_if_any([Problem("analysis_settings.n_components", message, "null, or mode 'multicomponent'")])
    return PARAMETERS[mode]


def resolve_parameters(
    settings: Settings | ParameterTable | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    n_components: int | None = None,
    specs: Sequence[ParameterSpec] | None = None,
) -> ParameterTable:
    """Resolve what the user asked into the table the optimiser is given.

    Parameters
    ----------
    settings : Settings, ParameterTable or str
        A configuration, or the name of a mode. A table is returned as it is.
    parameters : mapping, optional
        With a mode: name to value, or to ``dict(value=, min=, max=, vary=, tie=, prior=)``.
        What is not said keeps the defaults of the mode.
    n_components : int, optional
        For mode ``"multicomponent"``.
    specs : sequence of ParameterSpec, optional
        Parameters of a model that is not built in (a plugin); ``settings`` is then just its name.

    Returns
    -------
    ParameterTable

    Raises
    ------
    ConfigurationError
        Listing every problem: unknown names (with the nearest one), wrong number of values, numbers
        that are not finite, ``lower >= upper``, a start outside its bounds, ``sigma <= 0``, unknown
        or circular ties, a parameter both fixed and tied.

    Warns
    -----
    ConfigurationWarning
        When a value was given but cannot be used, e.g. the start value of a tied parameter.
    """
    if isinstance(settings, ParameterTable):
        return settings
    problems: list[Problem] = []
    if not isinstance(settings, str):
        mode = settings.mode
        specs = mode_parameters(mode, settings.analysis_settings.n_components)
        requests = settings_requests(settings.initial_parameters, specs, problems)
        return build_table(mode, specs, requests, problems)
    specs = tuple(specs) if specs is not None else mode_parameters(settings, n_components)
    requests = read_requests(parameters or {}, tuple(s.name for s in specs), problems)
    table = build_table(settings, specs, requests, problems)
    for note in table.notes:
        warn(note, ConfigurationWarning)
    return table


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
    if request.value is not None or row.fixed:
        row.settle_value(problems, notes)
    if request.value is not None and not row.fixed:
        notes.append(
            f"{request.path}: the start value is not used, because {spec.name} is solved for in every step; "
            "to hold it there, fix it"
        )
    return Level(row.lower, row.upper, row.value if row.fixed else None, request.prior, given=True)


class _Row:
    """One parameter while it is being resolved."""

    def __init__(self, spec: ParameterSpec, request: Request) -> None:
        self.spec, self.request = spec, request
        self.lower = spec.lower if request.lower is None else request.lower
        self.upper = spec.upper if request.upper is None else request.upper
        self.value = request.value

    @property
    def fixed(self) -> bool:
        return self.request.vary is False

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
        elif self.fixed:
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
