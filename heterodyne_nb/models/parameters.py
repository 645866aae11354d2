"""The published parameters of every analysis mode, and the table of them that one fit is given.

One list serves the configuration, the models, the reports and the widgets.
Orders and meanings: He et al., PNAS (2025) 10.1073/pnas.2514216122, Eq. S-95 (heterodyne) and
PNAS 121 (2024) e2401162121 (static, laminar flow).
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from heterodyne_nb.errors import ConfigurationError

#: J in Å²/s, times in s, lengths in Å, angles in degrees; a power law's amplitude carries s**-exponent.
_J, _V, _RATE = "Å²/s", "Å/s", "1/s"


@dataclass(frozen=True)
class ParameterSpec:
    """A published parameter: its name, unit, default start value and default bounds; ``held`` ones are never fitted."""

    name: str
    unit: str
    default: float
    lower: float
    upper: float
    description: str
    held: bool = False


def _transport(suffix: str, d0: float, what: str) -> tuple[ParameterSpec, ...]:
    tail = f"_{suffix}" if suffix else ""
    return (
        ParameterSpec(f"D0{tail}", _J, d0, 0.0, 1e6, f"amplitude of J(t) = D0 t^alpha + D_offset, {what}"),
        ParameterSpec(f"alpha{tail}", "1", 0.0, -2.0, 2.0, f"exponent of J(t), {what}"),
        ParameterSpec(f"D_offset{tail}", _J, 0.0, -1e5, 1e5, f"constant part of J(t), {what}"),
    )


_PHI0 = ParameterSpec("phi0", "deg", 0.0, -360.0, 360.0, "direction of the flow; enters as phi0 - phi")
_STATIC = _transport("", 1000.0, "the only component")
_LAMINAR = (
    *_STATIC,
    ParameterSpec("gamma_dot_0", _RATE, 1e-3, 0.0, 1e2, "amplitude of the shear rate"),
    ParameterSpec("beta", "1", 0.0, -2.0, 2.0, "exponent of the shear rate"),
    ParameterSpec("gamma_dot_offset", _RATE, 0.0, -1e1, 1e1, "constant part of the shear rate"),
    _PHI0,
)
_HETERODYNE = (
    *_transport("ref", 100.0, "reference component"),
    *_transport("sample", 1000.0, "sample component"),
    ParameterSpec("v0", _V, 1e3, -1e6, 1e6, "amplitude of v(t) = v0 t^beta + v_offset"),
    ParameterSpec("beta", "1", 0.0, -2.0, 2.0, "exponent of v(t)"),
    ParameterSpec("v_offset", _V, 0.0, -1e5, 1e5, "constant part of v(t)"),
    ParameterSpec("f0", "1", 0.0, -1.0, 1.0, "amplitude of x_s(t) = f0 exp(f1 (t - f2)) + f3"),
    ParameterSpec("f1", _RATE, 0.0, -1.0, 1.0, "rate of x_s(t)"),
    ParameterSpec("f2", "s", 0.0, -1e4, 1e4, "time shift of x_s(t); only f0 exp(-f1 f2) is determined"),
    ParameterSpec("f3", "1", 0.5, -1.0, 2.0, "constant part of x_s(t)"),
    _PHI0,
)
_EQUILIBRIUM = (
    ParameterSpec("fraction", "1", 0.5, 0.0, 1.0, "intensity fraction x_s²/(x_s²+x_r²) of the sample"),
    ParameterSpec("J_ref", _J, 100.0, 0.0, 1e6, "transport coefficient of the reference"),
    ParameterSpec("J_sample", _J, 1000.0, 0.0, 1e6, "transport coefficient of the sample"),
    ParameterSpec("v", _V, 1e3, 0.0, 1e6, "mean velocity of the sample against the reference"),
    _PHI0,
)


def rate(suffix: str = "", what: str = "relaxation rate") -> ParameterSpec:
    """A rate Gamma of a field that decays as exp(-Gamma tau)."""
    return ParameterSpec(f"Gamma{suffix}", _RATE, 1.0, 1e-9, 1e9, what)


def exponent(
    suffix: str = "", lower: float = 0.05, upper: float = 3.0, default: float = 1.0
) -> ParameterSpec:
    """The exponent of a stretched (below 1) or compressed (above 1) decay."""
    return ParameterSpec(
        f"alpha{suffix}", "1", default, lower, upper, "stretching exponent of exp(-2 (Gamma tau)^alpha)"
    )


def share(suffix: str = "", what: str = "share of the first decay in the intensity") -> ParameterSpec:
    """The intensity fraction of a component."""
    return ParameterSpec(f"fraction{suffix}", "1", 0.5, 0.0, 1.0, what)


_CUMULANTS = (
    rate(what="mean relaxation rate (first cumulant)"),
    ParameterSpec("polydispersity", "1", 0.1, 0.0, 2.0, "second cumulant over the squared rate, mu2/Gamma^2"),
    ParameterSpec("skew", "1", 0.0, -5.0, 5.0, "third cumulant over the cubed rate, mu3/Gamma^3"),
)
_FAST_SLOW = rate("_fast", "rate of the faster decay"), rate("_slow", "rate of the slower decay")
_FRACTION_FAST = share("_fast", "share of the faster decay in the field correlation")

#: Published parameters by analysis mode.
PARAMETERS: dict[str, tuple[ParameterSpec, ...]] = {
    "static_isotropic": _STATIC,
    "static_anisotropic": _STATIC,
    "laminar_flow": _LAMINAR,
    "heterodyne": _HETERODYNE,
    "heterodyne_equilibrium": _EQUILIBRIUM,
    "kww": (rate(), exponent()),
    "single_exponential": (rate(),),
    "double_exponential": (*_FAST_SLOW, _FRACTION_FAST),
    "double_stretched": (
        _FAST_SLOW[0],
        exponent("_fast"),
        _FAST_SLOW[1],
        exponent("_slow"),
        _FRACTION_FAST,
    ),
    "compressed_exponential": (rate(), exponent(lower=1.0, default=1.5)),
    "ballistic": (rate(),),
    "cumulants_2": _CUMULANTS[:2],
    "cumulants_3": _CUMULANTS,
    "partial_siegert": (rate(), exponent(), share(what="share of the light that fluctuates")),
    "oscillating": (
        rate("_sample", "rate of the moving component"),
        ParameterSpec(
            "omega", "rad/s", 1.0, 0.0, 1e9, "angular frequency of the fringes, q v cos(phi0 - phi)"
        ),
        rate("_ref", "rate of the reference"),
        share("_sample", "intensity fraction of the moving component"),
    ),
    "laminar_sinc2": (
        rate(),
        ParameterSpec("dv", _V, 1e3, 0.0, 1e9, "difference of velocity across the beam, shear rate x gap"),
        _PHI0,
    ),
}

#: Other packages' names for the same quantities.
PARAMETER_ALIASES: dict[str, str] = {
    "gamma_dot_t0": "gamma_dot_0",
    "gamma_dot_t_offset": "gamma_dot_offset",
    "gamma_dot0": "gamma_dot_0",
    "gamma0": "gamma_dot_0",
    "gamma_offset": "gamma_dot_offset",
    "phi_0": "phi0",
    "D_0": "D0",
}


def multicomponent_parameters(n: int) -> tuple[ParameterSpec, ...]:
    """Published parameters of the N-component model (Eq. S-94), component by component.

    Component 1 is the reference at rest, x_1(t) = 1 - sum of the others; components 2..n carry a
    velocity power law, a fraction x_k(t) = f0_k exp(f1_k t) + f3_k and a direction.
    """
    specs: list[ParameterSpec] = []
    for k in range(1, n + 1):
        specs += _transport(str(k), 100.0 * 3.0 ** (k - 1), f"component {k}")
        if k == 1:
            continue
        specs += [
            ParameterSpec(f"v0_{k}", _V, 1e3 * (k - 1), -1e6, 1e6, f"velocity amplitude of component {k}"),
            ParameterSpec(f"beta_{k}", "1", 0.0, -2.0, 2.0, f"velocity exponent of component {k}"),
            ParameterSpec(f"v_offset_{k}", _V, 0.0, -1e5, 1e5, f"constant velocity of component {k}"),
            ParameterSpec(f"f0_{k}", "1", 0.0, -1.0, 1.0, f"amplitude of x_{k}(t) = f0 exp(f1 t) + f3"),
            ParameterSpec(f"f1_{k}", _RATE, 0.0, -1.0, 1.0, f"rate of x_{k}(t)"),
            ParameterSpec(f"f3_{k}", "1", 1.0 / n, -1.0, 2.0, f"constant part of x_{k}(t)"),
            ParameterSpec(f"phi0_{k}", "deg", 0.0, -360.0, 360.0, f"direction of component {k}"),
        ]
    return tuple(specs)


#: What every mode has besides its parameters; solved for in every bin at every step.
LEVELS = ("contrast", "offset")
#: How near a calibrated bin must be: relative in q, and in degrees.
_NEAR_Q, _NEAR_PHI = 0.1, 10.0
_COLUMNS = ("parameter", "value", "lower", "upper", "unit", "role", "prior")


def _frozen(values: object, dtype: type) -> np.ndarray:
    array: np.ndarray = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Level:
    """Limits of contrast or offset, alike in all bins, and what is known of it in each."""

    lower: float
    upper: float
    fixed: float | None = None  #: The value it is held at.
    #: Mean and standard deviation of a Gaussian prior.
    prior: tuple[float, float] | None = None
    given: bool = False  #: Whether the user stated any of these.
    #: Measured values, 1/Å and degrees; None stands for all angles of that q.
    calibration: tuple[tuple[float, float | None, float, float], ...] = ()
    #: Whether the bins are held at the calibration; otherwise it is a Gaussian prior of each.
    held: bool = False

    @property
    def free(self) -> bool:
        """Whether it is fitted."""
        return self.fixed is None and not self.held

    def known(self, q: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Value and error of each bin (B,) by prior or calibration, and in how many bins each holds; None without any.

        Raises ConfigurationError: A bin lies far from all that were calibrated.
        """
        if self.prior is not None and not self.calibration:
            return tuple(np.full(len(q), each) for each in (*self.prior, len(q)))  # type: ignore[return-value]
        if not self.calibration:
            return None
        rows = np.array([[a, np.nan if b is None else b, c, d] for a, b, c, d in self.calibration], float)
        ring = np.abs(q[:, None] / rows[:, 0] - 1.0)
        turn = np.nan_to_num(np.abs((phi[:, None] - rows[:, 1] + 180.0) % 360.0 - 180.0))
        place = np.argmin(ring / _NEAR_Q + turn / _NEAR_PHI, axis=1)
        at = np.arange(len(q))
        far = np.flatnonzero((ring[at, place] > _NEAR_Q) | (turn[at, place] > _NEAR_PHI))
        if far.size:
            named = ", ".join(f"q = {q[b]:.4g} 1/Å, phi = {phi[b]:.4g}°" for b in far[:3])
            raise ConfigurationError(
                f"{far.size} of {len(q)} bins were not calibrated: {named}",
                where="calibration",
                expected=f"one within {_NEAR_Q:.0%} in q and {_NEAR_PHI:g}° in phi for every bin",
                hint='calibrate_contrast(…, per="q") serves all angles of a q; or leave these bins out',
            )
        return rows[place, 2], rows[place, 3], np.bincount(place, minlength=len(rows))[place]

    def to_dict(self) -> dict[str, object]:
        """The form that ``heterodyne_nb.fit(parameters=...)`` accepts; empty where nothing was stated."""
        if not self.given:
            return {}
        entry: dict[str, object] = {"min": self.lower, "max": self.upper}
        if self.fixed is not None:
            entry |= {"value": self.fixed, "vary": False}
        if self.prior is not None:
            entry["prior"] = self.prior
        if self.calibration:
            entry |= {"calibration": [list(row) for row in self.calibration], "vary": not self.held}
        return entry


@dataclass(frozen=True, eq=False)
class ParameterTable:
    """Start value, bounds and role of every published parameter of a mode, in published order."""

    mode: str  #: Analysis mode.
    names: tuple[str, ...]  #: Published names, p of them.
    #: (p,): Start values in published units; a tied parameter holds the value of its target. Where the user stated
    #: none: the default of the mode, or the middle of the user's bounds that leave it out.
    values: np.ndarray
    #: lower, upper (p,): Bounds, finite, ``lower <= values <= upper``. A group of tied parameters has the
    #: intersection of its members' bounds.
    lower: np.ndarray
    upper: np.ndarray
    vary: np.ndarray  #: (p,): True where the parameter is fitted on its own: neither fixed nor tied.
    tie: tuple[str | None, ...]  #: Name of the parameter this one always equals (never itself tied), or None.
    #: Mean and standard deviation of a Gaussian prior in published units, or None.
    prior: tuple[tuple[float, float] | None, ...]
    units: tuple[str, ...]  #: Unit of each parameter.
    #: (p,): True where the user stated the start value; elsewhere a guess from data may replace it.
    given: np.ndarray
    notes: tuple[str, ...] = field(default=())  #: What was adjusted on the way, in words.
    #: contrast, offset: Limits of contrast and offset; default ones follow the data where their baseline is 0 or
    #: they are not normalised.
    contrast: Level = Level(0.0, 1.0)
    offset: Level = Level(0.8, 2.0)
    #: One-time modes: how parameters, contrast and offset differ over bins, where they do.
    scopes: Mapping[str, str] = field(default_factory=dict)
    #: What is asked of the numbers of laws among these, as ``{"Gamma.n": {"value": 2.0, "vary": False}}``.
    laws: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("values", "lower", "upper"):
            object.__setattr__(self, name, _frozen(getattr(self, name), float))
        for name in ("vary", "given"):
            object.__setattr__(self, name, _frozen(getattr(self, name), bool))

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParameterTable):
            return NotImplemented
        plain = ("mode", "names", "tie", "prior", "units", "scopes", "laws", *LEVELS)
        arrays = ("values", "lower", "upper", "vary", "given")
        return all(getattr(self, n) == getattr(other, n) for n in plain) and all(
            np.array_equal(getattr(self, n), getattr(other, n)) for n in arrays
        )

    __hash__ = None  # type: ignore[assignment]

    def index(self, name: str) -> int:
        """Return the position of a published name."""
        return self.names.index(name)

    @property
    def bounds(self) -> np.ndarray:
        """Bounds as an array of shape (p, 2)."""
        return np.column_stack([self.lower, self.upper])

    @property
    def role(self) -> tuple[str, ...]:
        """``"free"``, ``"fixed"`` or ``"tied to NAME"`` of each parameter."""
        pairs = zip(self.tie, self.vary, strict=True)
        roles = (f"tied to {t}" if t else "free" if v else "fixed" for t, v in pairs)
        over = (self.scopes.get(name, "") for name in self.names)
        return tuple(f"{role}, {scope}" if scope else role for role, scope in zip(roles, over, strict=True))

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return the form that ``heterodyne_nb.fit(parameters=...)`` accepts."""
        entries: dict[str, dict[str, object]] = {}
        for i, name in enumerate(self.names):
            entry: dict[str, object] = {"min": float(self.lower[i]), "max": float(self.upper[i])}
            if self.tie[i]:
                entry["tie"] = self.tie[i]
            else:
                entry |= {"value": float(self.values[i]), "vary": bool(self.vary[i])}
            if self.prior[i]:
                entry["prior"] = self.prior[i]
            entries[name] = entry
        return self.with_scopes(
            entries | {name: told for name in LEVELS if (told := getattr(self, name).to_dict())}
        )

    def with_scopes(self, entries: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
        """Entries as :meth:`to_dict` gives them, with the scopes; what follows a law has its numbers instead."""
        followed = {name.rpartition(".")[0] for name in self.laws}
        out = {name: dict(entry) for name, entry in entries.items() if name not in followed}
        for name, scope in self.scopes.items():
            out.setdefault(name, {})["scope"] = scope
        return out | {name: dict(entry) for name, entry in self.laws.items() if entry}

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield one row of text a parameter: name, value, lower, upper, unit, role, prior."""
        for i, name in enumerate(self.names):
            numbers = (f"{x[i]:g}" for x in (self.values, self.lower, self.upper))
            prior = self.prior[i]
            shown = f"{prior[0]:g} ± {prior[1]:g}" if prior else ""
            yield (name, *numbers, self.units[i], self.role[i], shown)

    def __str__(self) -> str:
        table = [_COLUMNS, *self.rows()]
        widths = [max(len(row[k]) for row in table) for k in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([f"{self.mode}: {int(self.vary.sum())} free of {len(self)} parameters", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(f"<th>{c}</th>" for c in _COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self.rows()
        )
        return (
            f"<table><caption>{html.escape(self.mode)}</caption>"
            f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
        )
